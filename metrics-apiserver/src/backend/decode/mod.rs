//! Decodes responses of the Prometheus HTTP API, within limits.

mod build;
mod envelope;
mod error;
mod labels;
mod series;
mod vector;

pub use build::Engine;
pub(super) use build::engine;
pub(super) use envelope::failure;
pub(super) use error::{DecodeError, Failure};
#[cfg(test)]
pub(super) use series::KEPT_BYTES_MAX;
pub(super) use series::series;
pub use series::{LabelNames, SeriesSummary};
#[cfg(any(test, fuzzing))]
pub(super) use vector::SAMPLES_MAX;
pub(super) use vector::vector;
