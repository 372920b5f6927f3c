//! One concrete query.

use std::sync::Arc;

/// The name of one Prometheus-compatible server in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendName(pub Arc<str>);

/// One concrete query: whom to ask, and the PromQL text, with namespace and selector in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Query {
    /// Whom to ask.
    pub backend: BackendName,
    /// What to ask.
    pub promql: Arc<str>,
}

/// Why a request cannot be put as a query: the client's selector asks for what the rule does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A key that Prometheus cannot have as a label.
    #[error(
        "the selector's key {key:?} is no Prometheus label name; use letters, digits and '_', and no digit in front"
    )]
    NotALabel {
        /// The key.
        key: String,
    },
    /// `>` and `<`, which Prometheus has no matcher for.
    #[error(
        "the selector compares {key:?} by '>' or '<', which Prometheus cannot do for labels; use =, !=, in or notin"
    )]
    Comparison {
        /// The key.
        key: String,
    },
    /// A label that the rule does not let the client ask for.
    #[error("the selector's key {key:?} is not allowed for this metric; allowed are: {allowed}")]
    NotAllowed {
        /// The key.
        key: String,
        /// The allowed labels, joined by commas.
        allowed: String,
    },
    /// A parameter of the query that the selector gives no single value for.
    #[error(
        "this metric needs the label {name:?} in the selector exactly once and with one value: write {name}=<value>"
    )]
    Parameter {
        /// The parameter, which is the label's name.
        name: String,
    },
    /// The query, with everything in it, would be longer than Prometheus should be sent.
    #[error("the query for this selector would be longer than {limit} bytes; use a shorter selector")]
    TooLong {
        /// The limit that was passed.
        limit: usize,
    },
}
