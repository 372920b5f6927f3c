//! PromQL: checked, parsed, and split into the text around what a request adds.

mod calls;
mod dialect;
mod error;
mod expr;
mod inject;
mod large_stack;
mod lex;
mod limits;
mod modifiers;
mod outline;
mod parameter;
mod standin;
mod trim;

use std::panic::catch_unwind;

pub use error::PromqlError;
pub(super) use expr::Expr;
pub use inject::QueryTemplate;
pub use large_stack::with_large_stack;
pub use outline::{Outline, ResultLabels};
pub(super) use parameter::NAMESPACE;
#[cfg(any(test, fuzzing))]
pub(super) use parameter::fill;

/// What a query returns; an error if the server's parser does not understand it, or if it returns neither an instant
/// vector nor a scalar. Starts a thread, unless it is called within [`with_large_stack`].
pub fn outline(promql: &str) -> Result<Outline, PromqlError> {
    with_large_stack(|| catch_unwind(|| Expr::parse(promql).map(|query| query.outline())))?
        .unwrap_or_else(|_| Err(PromqlError::somewhere("the query cannot be parsed: the parser crashed")))
}
