//! Telemetry of the process: its log, metrics about the process, and traces if they are enabled.
//!
//! Nothing here sees a header or a token. The room that logs a request logs its user and its outcome.

mod export;
mod log;
mod options;
mod process;
mod traces;

use opentelemetry_otlp::SpanExporter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

pub use export::{Export, Exporting};
pub use log::Log;
pub use options::{Format, Options, Verbosity};
pub use process::register_process_metrics;
pub use traces::{TraceError, Traces, continue_trace, traceparent};

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Traces cannot be sent.
    #[error("cannot send traces")]
    Traces(#[from] TraceError),
    /// There is a log already.
    #[error("cannot start logging")]
    Log(#[from] TryInitError),
}

/// Starts logging to standard error. Spans of traces are not part of the log; where they are enabled, what sends them
/// is returned, for [`Exporting`].
pub fn init(options: &Options) -> Result<(Log, Option<Export<SpanExporter>>), InitError> {
    let endpoint = options.endpoint().map_err(TraceError::from)?;
    let rate = options.otlp_sampling_rate_per_million;
    let traces = endpoint.map(|endpoint| Traces::new(&endpoint, rate)).transpose()?;
    let (lines, log) = log::begin(std::io::stderr(), options.verbosity, options.format);
    let lines = tracing_subscriber::registry().with(lines);
    let export = match traces.map(Traces::split) {
        None => lines.try_init().map(|()| None),
        Some((layer, export)) => lines.with(layer).try_init().map(|()| Some(export)),
    };
    Ok((log, export?))
}
