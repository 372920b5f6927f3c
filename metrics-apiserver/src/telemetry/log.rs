//! The log, written to standard error by a thread of its own.
//!
//! The reader of standard error may block, for example on a node whose disk is full or slow. That must not block
//! requests: lines are queued, and dropped and counted when the queue is full.

use std::io;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use super::options::{Format, Verbosity};
use super::traces;

/// Lines in the queue; further lines are dropped. At 300 bytes each they use a hundredth of the memory that the
/// manifests allow; the line of a request is never longer than the request's head.
const QUEUE_LINES_MAX: usize = 4_096;

/// The running log. When dropped, it writes the lines in the queue, for about a second at most.
#[derive(Debug)]
pub struct Log {
    lost: ErrorCounter,
    _writing: WorkerGuard,
}

impl Log {
    /// Registers the metric of dropped lines.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(Lost(self.lost.clone())));
    }
}

/// Starts logging to `writer`.
pub(super) fn start<S>(
    writer: impl io::Write + Send + 'static,
    verbosity: Verbosity,
    format: Format,
) -> (impl Layer<S>, Log)
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let queue = NonBlockingBuilder::default().buffered_lines_limit(QUEUE_LINES_MAX).thread_name("log");
    let (writer, writing) = queue.finish(writer);
    let lost = writer.error_counter();
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match format {
        Format::Text => lines.with_ansi(false).boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    (lines.with_filter(filter(verbosity)), Log { lost, _writing: writing })
}

/// Dependencies log warnings only, until everything is logged.
fn filter(verbosity: Verbosity) -> Targets {
    let (own, server, others) = match verbosity {
        Verbosity::Operator => (LevelFilter::INFO, LevelFilter::INFO, LevelFilter::WARN),
        Verbosity::Requests => (LevelFilter::INFO, LevelFilter::DEBUG, LevelFilter::WARN),
        Verbosity::Queries => (LevelFilter::DEBUG, LevelFilter::DEBUG, LevelFilter::WARN),
        Verbosity::Everything => (LevelFilter::TRACE, LevelFilter::TRACE, LevelFilter::DEBUG),
    };
    Targets::new()
        .with_target("metrics_apiserver", own)
        .with_target("metrics_apiserver::server", server)
        .with_target(traces::TARGET, LevelFilter::OFF)
        .with_default(others)
}

#[derive(Debug)]
struct Lost(ErrorCounter);

impl Collector for Lost {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (name, help) =
            ("metrics_apiserver_log_lines_lost", "Log lines that were dropped because the queue was full");
        let encoder = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        let lost = u64::try_from(self.0.dropped_lines()).unwrap_or(u64::MAX);
        ConstCounter::new(lost).encode(encoder)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver, Sender};

    use tracing::Level;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// A pipe that nobody reads until `opened` receives something or its sender is dropped.
    struct Pipe {
        opened: Receiver<()>,
        lines: Sender<Vec<u8>>,
    }

    impl io::Write for Pipe {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.opened.recv();
            let _ = self.lines.send(line.to_vec());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_that_nobody_reads_does_not_block_and_dropped_lines_are_counted() {
        let (open, opened) = mpsc::channel();
        let (written, lines) = mpsc::channel();
        let (layer, log) = start(Pipe { opened, lines: written }, Verbosity::Operator, Format::Text);
        let subscriber = tracing_subscriber::registry().with(layer);
        let said = QUEUE_LINES_MAX + 1_000;
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..said {
                tracing::info!(target: "metrics_apiserver", number, "said");
            }
        });
        let mut registry = Registry::default();
        log.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        drop(open);
        drop(log);
        let written: Vec<_> = lines.iter().collect();
        assert!(written[0].ends_with(b"said number=0\n"), "{:?}", String::from_utf8_lossy(&written[0]));
        // One more than fits may have been on its way to the pipe.
        assert!((QUEUE_LINES_MAX..=QUEUE_LINES_MAX + 1).contains(&written.len()), "{}", written.len());
        let lost = format!("metrics_apiserver_log_lines_lost_total {}\n", said - written.len());
        assert!(text.contains(&lost), "{lost} in\n{text}");
    }

    #[test]
    fn spans_are_enabled_only_at_the_verbosity_that_shows_them() {
        let is_on = |verbosity, target, level| filter(verbosity).would_enable(target, &level);
        assert!(!is_on(Verbosity::Operator, "metrics_apiserver::server::observe", Level::DEBUG));
        assert!(is_on(Verbosity::Requests, "metrics_apiserver::server::observe", Level::DEBUG));
        assert!(!is_on(Verbosity::Requests, "metrics_apiserver::backend::client", Level::DEBUG));
        assert!(is_on(Verbosity::Queries, "metrics_apiserver::backend::client", Level::DEBUG));
        for verbosity in [Verbosity::Operator, Verbosity::Requests, Verbosity::Queries, Verbosity::Everything]
        {
            assert!(!is_on(verbosity, traces::TARGET, Level::ERROR), "{verbosity:?}");
        }
    }
}
