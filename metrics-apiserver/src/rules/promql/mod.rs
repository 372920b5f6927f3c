//! PromQL: checked, parsed, and split into the text around what a request adds.

mod error;
mod expr;
mod inject;
mod large_stack;
mod limits;

pub use error::PromqlError;
#[cfg(any(test, fuzzing))]
pub(super) use expr::Expr;
pub use inject::QueryTemplate;
pub use large_stack::with_large_stack;
