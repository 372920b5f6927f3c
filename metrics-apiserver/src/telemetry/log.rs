//! The log: lines for whoever reads them, written by a thread of its own.
//!
//! What reads standard error may stop reading: a node whose disk is full or slow does. Whoever has something to say, which
//! is whoever answers reads, must not stop with it. So lines wait in a queue, and what finds no room there is lost and
//! counted.

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

/// Lines that wait; one more is lost. At 300 bytes each they take a hundredth of the memory that the manifests allow; a line
/// about a request is never longer than the request's head.
const QUEUE_LINES_MAX: usize = 4_096;

/// The log under way. When this value ends, what waits is written first, for about a second at most.
#[derive(Debug)]
pub struct Log {
    lost: ErrorCounter,
    _writing: WorkerGuard,
}

impl Log {
    /// Registers how many lines were lost.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(Lost(self.lost.clone())));
    }
}

/// Begins to write lines to `writer`. The libraries below us speak only of warnings, until everything is wanted.
pub(super) fn begin<S>(
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

/// What the log shows.
fn filter(verbosity: Verbosity) -> Targets {
    let (own, others) = match verbosity {
        Verbosity::Operator => (LevelFilter::INFO, LevelFilter::WARN),
        Verbosity::Requests => (LevelFilter::DEBUG, LevelFilter::WARN),
        Verbosity::Everything => (LevelFilter::TRACE, LevelFilter::DEBUG),
    };
    Targets::new()
        .with_target("metrics_apiserver", own)
        .with_target(traces::TARGET, LevelFilter::OFF)
        .with_default(others)
}

#[derive(Debug)]
struct Lost(ErrorCounter);

impl Collector for Lost {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (name, help) = ("metrics_apiserver_log_lines_lost", "Log lines for which there was no room");
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

    /// Standard error as a pipe that nobody reads, until `opened` has come or its sender has gone.
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
    fn a_log_that_nobody_reads_stops_nobody_and_its_lost_lines_are_counted() {
        let (open, opened) = mpsc::channel();
        let (told, lines) = mpsc::channel();
        let (layer, log) = begin(Pipe { opened, lines: told }, Verbosity::Operator, Format::Text);
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
    fn a_span_costs_only_those_who_asked_for_it() {
        let is_on = |verbosity, target, level| filter(verbosity).would_enable(target, &level);
        assert!(!is_on(Verbosity::Operator, "metrics_apiserver::server::observe", Level::DEBUG));
        assert!(is_on(Verbosity::Requests, "metrics_apiserver::server::observe", Level::DEBUG));
        for verbosity in [Verbosity::Operator, Verbosity::Requests, Verbosity::Everything] {
            assert!(!is_on(verbosity, traces::TARGET, Level::ERROR), "{verbosity:?}");
        }
    }
}
