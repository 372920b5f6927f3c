//! How a metric becomes a query, and a query's samples become values.
//!
//! Pure: no I/O, no clock.

mod complexity;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod matcher;
mod policy;
mod promql;
mod question;
mod rule;
mod stack;
mod template;

pub use matcher::is_label_name;
pub use policy::{Combine, Fallback, Partial, Policies, ValueError};
pub use promql::PromqlError;
pub use question::{BackendName, Question, QuestionError};
pub use rule::{NamespaceMode, Rule, RuleError, SelectorMode};
pub use stack::with_large_stack;
pub use template::QueryTemplate;
