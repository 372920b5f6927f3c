//! Sends spans to the collector: a queue that never blocks, and a task that sends what is in it.
//!
//! The SDK's batch processor is not used: its thread has no runtime, which the HTTP client needs, cannot be joined
//! while a collector hangs, and logs every failed export.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Spans in the queue; further spans are dropped. At a kilobyte each they use 2 of the 160 MB that the manifests
/// allow. A traced read has two or three spans, so about seven hundred reads fit while one batch is sent.
const QUEUE_SPANS_MAX: usize = 2_048;

/// Spans per batch: about half a megabyte; collectors accept several.
const BATCH_SPANS_MAX: usize = 512;

/// How long a span waits for its batch to fill.
const BATCH_DELAY: Duration = Duration::from_secs(5);

/// The timeout of a batch. Collectors need milliseconds; the queue fills meanwhile.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long shutdown waits for the spans in the queue.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// How often dropped spans are logged at most.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// The sending end of the queue, used by every thread that ends a span.
#[derive(Debug)]
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    lost: Counter,
}

/// The receiving end of the queue.
#[derive(Debug)]
pub struct Export<E> {
    exporter: E,
    spans: mpsc::Receiver<SpanData>,
    batch: Vec<SpanData>,
    lost: Counter,
    /// When dropped spans were last logged, and how many there were.
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
    /// Sends spans until `stop`, and then those that are left in the queue.
    async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let mut is_stopped = false;
        loop {
            tokio::select! {
                biased;
                _ = &mut stop, if !is_stopped => {
                    is_stopped = true;
                    self.spans.close();
                }
                is_closed = timeout(BATCH_DELAY, self.fill()) => {
                    self.send().await;
                    if is_closed == Ok(true) {
                        return;
                    }
                }
            }
        }
    }

    /// Receives spans until the batch is full; `true` if the queue is closed and empty. Cancel-safe.
    async fn fill(&mut self) -> bool {
        while self.batch.len() < BATCH_SPANS_MAX {
            let missing = BATCH_SPANS_MAX - self.batch.len();
            if self.spans.recv_many(&mut self.batch, missing).await == 0 {
                return true;
            }
        }
        false
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
        self.report(failure.as_deref().unwrap_or("the queue is full"));
    }

    /// Logs that spans were dropped, at most once per [`REPORT_INTERVAL`].
    fn report(&mut self, cause: &str) {
        let known = self.reported.map_or(0, |(_, lost)| lost);
        let is_new = self.reported.is_none_or(|(at, _)| at.elapsed() >= REPORT_INTERVAL);
        let lost = self.lost.get();
        if is_new && lost > known {
            self.reported = Some((Instant::now(), lost));
            let lost = lost - known;
            tracing::warn!(cause, lost, "cannot send traces to the collector; spans are dropped");
        }
    }
}

/// The task that sends spans, if traces are enabled.
#[derive(Debug)]
pub struct Exporting {
    tasks: JoinSet<()>,
    stop: oneshot::Sender<()>,
    lost: Counter,
}

impl Exporting {
    /// Starts the task; without an export, there is none.
    pub fn start<E: SpanExporter + 'static>(export: Option<Export<E>>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let mut tasks = JoinSet::new();
        let lost = export.as_ref().map(|export| export.lost.clone()).unwrap_or_default();
        if let Some(export) = export {
            tasks.spawn(export.run(stopped));
        }
        Self { tasks, stop, lost }
    }

    /// Registers the metric of dropped spans.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Trace spans that were dropped instead of sent";
        registry.register("metrics_apiserver_trace_spans_lost", help, self.lost.clone());
    }

    /// The task, for supervision.
    pub fn tasks(&mut self) -> &mut JoinSet<()> {
        &mut self.tasks
    }

    /// Sends the spans that are left, for at most `FLUSH_TIMEOUT`. Called when no more spans are made.
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
