//! A rule makes a plan of queries from a request, and values from the samples that the queries return.
//!
//! Pure: no I/O, no clock.

pub mod adapter;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod matcher;
mod native;
mod plan;
mod policy;
mod promql;
mod rule;

pub use matcher::is_label_name;
pub use native::{NamespaceMode, NativeQuery, RuleError, SelectorMode};
pub use plan::{BackendName, Group, Pick, Plan, PlanError, Query};
pub use policy::{Combine, Fallback, Partial, Policies, Situation, ValueError};
pub use promql::{PromqlError, QueryTemplate, with_large_stack};
pub use rule::Rule;
