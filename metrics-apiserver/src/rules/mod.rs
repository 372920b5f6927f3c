//! How a metric becomes a query, and a query's samples become values.
//!
//! Pure: no I/O, no clock.

mod complexity;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod large_stack;
mod matcher;
mod policy;
mod promql;
mod query;
mod rule;
mod template;

pub use large_stack::with_large_stack;
pub use matcher::is_label_name;
pub use policy::{Combine, Fallback, Partial, Policies, ValueError};
pub use promql::PromqlError;
pub use query::{BackendName, PlanError, Query};
pub use rule::{NamespaceMode, Rule, RuleError, SelectorMode};
pub use template::QueryTemplate;
