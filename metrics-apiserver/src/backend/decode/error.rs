//! Why a response has no content.

use crate::cache::QueryError;

/// What Prometheus says went wrong.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Failure {
    /// `errorType`: `timeout`, `execution`, `bad_data` …
    pub(crate) kind: String,
    /// `error`, in Prometheus' words.
    pub(crate) message: String,
}

/// Why a response has no content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// `status: error`.
    Failure(Failure),
    /// Not JSON, or not a Prometheus response.
    Malformed(String),
    /// A Prometheus response without numbers: the query is wrong.
    Unfit(&'static str),
    /// The response exceeds this limit.
    TooMuch(&'static str),
    /// The body could not be read.
    Body(QueryError),
}

impl From<serde_json::Error> for DecodeError {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<QueryError> for DecodeError {
    fn from(error: QueryError) -> Self {
        Self::Body(error)
    }
}
