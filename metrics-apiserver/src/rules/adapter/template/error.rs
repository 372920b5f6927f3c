//! What is wrong with a template.

/// Why a template is not valid, or why it cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// What is wrong, and what to do.
    pub message: String,
    /// Where, as a byte offset into the template.
    pub position: usize,
}

impl TemplateError {
    pub(super) fn at(position: usize, message: impl Into<String>) -> Self {
        Self { message: message.into(), position }
    }
}
