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

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Visitor};

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

/// Passes a string to a function, without allocating.
struct Str<F>(F);

impl<'de, R, F: FnOnce(&str) -> R> DeserializeSeed<'de> for Str<F> {
    type Value = R;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<R, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<R, F: FnOnce(&str) -> R> Visitor<'_> for Str<F> {
    type Value = R;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, text: &str) -> Result<R, E> {
        Ok((self.0)(text))
    }
}
