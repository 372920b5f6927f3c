//! What every response of the Prometheus HTTP API has in common: status, error, warnings and infos.

use serde::Deserialize;

use super::error::{DecodeError, Failure};
use crate::backend::annotations::{Annotations, Infos, Warnings};

/// A response; `D` is its `data`.
#[derive(Deserialize)]
pub(super) struct Envelope<D> {
    status: String,
    data: Option<D>,
    #[serde(rename = "errorType")]
    error_type: Option<String>,
    error: Option<String>,
    #[serde(default)]
    warnings: Warnings,
    #[serde(default)]
    infos: Infos,
    /// `VictoriaMetrics` says so.
    #[serde(rename = "isPartial", default)]
    is_partial: bool,
}

impl<D> Envelope<D> {
    /// The data and the annotations, or the failure.
    pub(super) fn open(self) -> Result<(Option<D>, Annotations), DecodeError> {
        if self.status == "success" {
            return Ok((self.data, Annotations::new(self.warnings, self.infos, self.is_partial)));
        }
        let (kind, message) = (self.error_type.unwrap_or_default(), self.error.unwrap_or_default());
        Err(DecodeError::Failure(Failure { kind, message }))
    }
}

/// What a body with an error's status code says, if it is Prometheus'.
pub(crate) fn failure(body: &[u8]) -> Option<Failure> {
    match serde_json::from_slice::<Envelope<serde::de::IgnoredAny>>(body).ok()?.open() {
        Err(DecodeError::Failure(failure)) => Some(failure),
        _ => None,
    }
}
