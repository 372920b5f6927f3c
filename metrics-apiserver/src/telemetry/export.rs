//! The way of spans to the collector: a queue that never makes anybody wait, and one task that empties it.
//!
//! Not the SDK's batch processor: its thread has no runtime, which the HTTP client needs, cannot be joined while a collector
//! hangs, and says every time that an export failed. A task of our runtime is joined as all others are.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Spans that wait; one more is lost. At a kilobyte each they take two of the 160 MB that the manifests allow. As a traced
/// read leaves two or three, some seven hundred of them can be answered while one batch is on its way.
const QUEUE_SPANS_MAX: usize = 2_048;

/// Spans sent at once: about half a megabyte; collectors take several.
const BATCH_SPANS_MAX: usize = 512;

/// How long a span waits for others to be sent with.
const BATCH_DELAY: Duration = Duration::from_secs(5);

/// How long a collector may take for a batch. It takes milliseconds; the queue fills meanwhile.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the process' end waits for what is left in the queue.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// A collector that is down says nothing new every five seconds.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// The end of the queue where spans come in, on whatever thread they end.
#[derive(Debug)]
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    lost: Counter,
}

/// The other end.
#[derive(Debug)]
pub struct Export<E> {
    exporter: E,
    spans: mpsc::Receiver<SpanData>,
    batch: Vec<SpanData>,
    lost: Counter,
    /// When and how many of them were last reported.
    reported: Option<(Instant, u64)>,
}

/// Both ends of a new queue.
pub(super) fn export<E>(exporter: E) -> (Queue, Export<E>) {
    let (sender, spans) = mpsc::channel(QUEUE_SPANS_MAX);
    let lost = Counter::default();
    let queue = Queue { spans: sender, lost: lost.clone() };
    (queue, Export { exporter, spans, batch: Vec::new(), lost, reported: None })
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.lost.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl<E: SpanExporter> Export<E> {
    /// Sends spans until told to stop, and then what is left of them.
    async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let mut is_stopped = false;
        loop {
            tokio::select! {
                biased;
                _ = &mut stop, if !is_stopped => {
                    is_stopped = true;
                    self.spans.close();
                }
                filled = timeout(BATCH_DELAY, self.fill()) => {
                    self.send().await;
                    if filled == Ok(Filled::Over) {
                        return;
                    }
                }
            }
        }
    }

    /// Takes spans off the queue until a batch is full. Given up before, it has lost none.
    async fn fill(&mut self) -> Filled {
        while self.batch.len() < BATCH_SPANS_MAX {
            let room = BATCH_SPANS_MAX - self.batch.len();
            if self.spans.recv_many(&mut self.batch, room).await == 0 {
                return Filled::Over;
            }
        }
        Filled::Up
    }

    async fn send(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let spans = batch.len() as u64;
        if spans == 0 {
            return;
        }
        let failure = match timeout(EXPORT_TIMEOUT, self.exporter.export(batch)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {EXPORT_TIMEOUT:?}")),
        };
        if failure.is_some() {
            self.lost.inc_by(spans);
        }
        self.report(failure.as_deref().unwrap_or("spans come faster than the collector takes them"));
    }

    /// Says that spans are lost, if any are, unless it was said a moment ago.
    fn report(&mut self, cause: &str) {
        let known = self.reported.map_or(0, |(_, lost)| lost);
        let is_new = self.reported.is_none_or(|(at, _)| at.elapsed() >= REPORT_INTERVAL);
        let lost = self.lost.get();
        if is_new && lost > known {
            self.reported = Some((Instant::now(), lost));
            let lost = lost - known;
            tracing::warn!(cause, lost, "traces do not reach the collector; their spans are dropped");
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Filled {
    /// A batch is full.
    Up,
    /// There will be no more spans.
    Over,
}

/// The task that empties the queue, if there is one.
#[derive(Debug)]
pub struct Exporting {
    tasks: JoinSet<()>,
    stop: oneshot::Sender<()>,
    lost: Counter,
}

impl Exporting {
    /// Begins to send spans; without an export, it does nothing.
    pub fn begin<E: SpanExporter + 'static>(export: Option<Export<E>>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let mut tasks = JoinSet::new();
        let lost = export.as_ref().map(|export| export.lost.clone()).unwrap_or_default();
        if let Some(export) = export {
            tasks.spawn(export.run(stopped));
        }
        Self { tasks, stop, lost }
    }

    /// Registers how many spans were lost.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Spans that reached no collector";
        registry.register("metrics_apiserver_trace_spans_lost", help, self.lost.clone());
    }

    /// The task, for whoever looks after the tasks of the process.
    pub fn tasks(&mut self) -> &mut JoinSet<()> {
        &mut self.tasks
    }

    /// Sends what is left, for two seconds at most; for when no more spans are made.
    pub async fn flush(self) {
        let Self { mut tasks, stop, .. } = self;
        drop(stop);
        if timeout(FLUSH_TIMEOUT, tasks.join_next()).await.is_err() {
            tracing::warn!("the last traces did not reach the collector in time");
        }
        tasks.shutdown().await;
    }
}

#[cfg(test)]
mod tests;
