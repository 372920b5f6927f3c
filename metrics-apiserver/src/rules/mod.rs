//! How a metric becomes a query, and a query's samples become values.
//!
//! Pure: no I/O, no clock.

mod policy;
mod question;
mod rule;

pub use policy::{Combine, Fallback, Policies, ValueError};
pub use question::{BackendName, Question, QuestionError};
pub use rule::{NamespaceMode, Rule, SelectorMode};
