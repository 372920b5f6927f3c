//! What is wrong with a regular expression.

/// Why a text is not one of Go's regular expressions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RegexError {
    /// What is wrong, and what to do.
    pub message: String,
    /// Where, as a byte offset into the expression.
    pub position: usize,
}

impl RegexError {
    pub(super) fn at(position: usize, message: impl Into<String>) -> Self {
        Self { message: message.into(), position }
    }
}
