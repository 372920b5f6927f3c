//! Decodes responses of the Prometheus HTTP API, within limits.

mod envelope;
mod series;
mod vector;

pub(super) use envelope::{Failure, failure};
#[cfg(any(test, fuzzing))]
pub(super) use vector::SAMPLES_MAX;
pub(super) use vector::vector;

#[cfg(test)]
pub(super) use series::KEPT_BYTES_MAX;
pub(super) use series::series;
pub use series::{LabelNames, SeriesSummary};

use crate::cache::QueryError;

/// Labels of one series; Mimir refuses series with more than 40.
const SERIES_LABELS_MAX: usize = 256;
const SERIES_LABELS_LIMIT: &str = "256 labels in a series";

/// The label with a series' metric name.
const NAME_LABEL: &str = "__name__";

/// Why a response has no content.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DecodeError {
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
