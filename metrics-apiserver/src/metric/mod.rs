//! What a request names and what an answer carries, as types that cannot hold an invalid value.
//!
//! Nothing here does I/O or reads a clock; time is an argument.

mod fields;
mod id;
mod labels;
mod name;
mod object;
mod quantity;
mod resources;
mod selector;
mod value;

pub use fields::{FieldSelector, ParseFieldSelectorError};
pub use id::MetricId;
pub use labels::{Labels, Packing};
pub use name::{FoldedName, MetricName, Namespace, ParseNameError};
pub use object::{GroupResource, ObjectRef, ResourceInfo, Scope};
pub use quantity::parse::ParseQuantityError;
pub use quantity::{Format, Quantity, QuantityError};
pub use resources::Resources;
pub use selector::parse::ParseSelectorError;
pub use selector::{Operator, Requirement, Selector};
pub use value::{Sample, Value};
