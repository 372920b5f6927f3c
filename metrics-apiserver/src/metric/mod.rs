//! What a request names and what an answer carries: types that cannot be wrong.
//!
//! Nothing here does I/O or reads a clock; time comes in as an argument.

mod labels;
mod name;
mod quantity;
mod selector;
mod value;

pub use labels::{Labels, Packing};
pub use name::{MetricName, Namespace, ParseNameError};
pub use quantity::{ParseQuantityError, Quantity, QuantityError};
pub use selector::{Operator, ParseSelectorError, Requirement, Selector};
pub use value::{Sample, Value};
