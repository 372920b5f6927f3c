//! The process' own voice: its log, metrics about the process, and traces where they are wanted.
//!
//! Nothing here sees a header or a token; who logs a request logs who asked and what was answered.

mod export;
mod log;
mod process;
mod traces;

use opentelemetry_otlp::SpanExporter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

pub use export::{Export, Exporting};
pub use log::{Format, Log, Verbosity};
pub use process::register_process_metrics;
pub use traces::{TraceError, TraceOptions, Traces, continue_trace, traceparent};

/// Begins to log to standard error. Spans of traces are no part of the log; with `traces` they go into what is returned, for
/// [`Exporting`].
pub fn init(
    verbosity: Verbosity,
    format: Format,
    traces: Option<Traces>,
) -> Result<(Log, Option<Export<SpanExporter>>), TryInitError> {
    let (lines, log) = log::begin(std::io::stderr(), verbosity, format);
    let lines = tracing_subscriber::registry().with(lines);
    let export = match traces.map(Traces::split) {
        None => lines.try_init().map(|()| None),
        Some((layer, export)) => lines.with(layer).try_init().map(|()| Some(export)),
    };
    Ok((log, export?))
}
