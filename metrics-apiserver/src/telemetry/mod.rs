//! Telemetry of the process: its log, metrics about the process, and traces if they are enabled.

mod error;
mod export;
mod log;
mod options;
mod process;
mod traces;

use opentelemetry_otlp::SpanExporter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use error::InitError;
pub use export::{Export, Exporting};
pub use log::Log;
pub use options::{Format, Options, Verbosity};
pub use process::register_process_metrics;
pub use traces::{continue_trace, traceparent};

/// Starts logging to standard error. If traces are enabled, returns the export that sends them, for [`Exporting`].
pub fn init(options: &Options) -> Result<(Log, Option<Export<SpanExporter>>), InitError> {
    let rate = options.otlp_sampling_rate_per_million;
    let traces = options.endpoint()?.map(|endpoint| traces::layer(&endpoint, rate)).transpose()?;
    let (lines, log) = log::start(std::io::stderr(), options.verbosity, options.format);
    let lines = tracing_subscriber::registry().with(lines);
    // Without traces there is no layer for them either, so that their spans are disabled at no cost.
    let export = match traces {
        None => lines.try_init().map(|()| None),
        Some((layer, export)) => lines.with(layer).try_init().map(|()| Some(export)),
    };
    Ok((log, export?))
}
