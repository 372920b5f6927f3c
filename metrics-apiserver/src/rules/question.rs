//! One concrete query.

use std::sync::Arc;

/// The name of one Prometheus-compatible server in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendName(pub Arc<str>);

/// One concrete query: whom to ask, and the PromQL text, with namespace and selector in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// Whom to ask.
    pub backend: BackendName,
    /// What to ask.
    pub promql: Arc<str>,
}

/// Why a request cannot be put as a question: the client's selector asks for what the rule does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {}
