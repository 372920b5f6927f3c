//! Why telemetry cannot start.

use opentelemetry_otlp::ExporterBuildError;
use tracing_subscriber::util::TryInitError;

use crate::syntax::ParseUrlError;

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The URL of the collector is not valid.
    #[error("--otlp-endpoint: {0}")]
    Endpoint(#[from] ParseUrlError),
    /// The HTTP client cannot be created; most likely because of TLS.
    #[error("cannot create the HTTP client for traces")]
    Client(#[from] reqwest::Error),
    /// The exporter refuses its settings.
    #[error("cannot create the exporter of traces")]
    Exporter(#[from] ExporterBuildError),
    /// The process already has a log.
    #[error("cannot start logging")]
    Log(#[from] TryInitError),
}
