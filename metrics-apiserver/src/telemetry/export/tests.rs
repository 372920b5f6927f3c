//! The queue and its task on a paused clock, with collectors that fail.

use std::sync::{Arc, Mutex};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};

use super::*;
use crate::testkit::Log;

/// What the collector does with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Play {
    Take,
    Refuse,
    Hang,
}

/// A collector that notes how many spans each batch has, and when it comes.
#[derive(Debug, Clone)]
struct Collector {
    play: Play,
    batches: Arc<Mutex<Vec<(usize, Instant)>>>,
}

impl Collector {
    fn new(play: Play) -> Self {
        Self { play, batches: Arc::default() }
    }

    fn sizes(&self) -> Vec<usize> {
        self.batches.lock().unwrap().iter().map(|(size, _)| *size).collect()
    }
}

impl SpanExporter for Collector {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.batches.lock().unwrap().push((batch.len(), Instant::now()));
        match self.play {
            Play::Take => Ok(()),
            Play::Refuse => Err(OTelSdkError::InternalFailure("not today".into())),
            Play::Hang => std::future::pending().await,
        }
    }
}

fn span() -> SpanData {
    let context =
        SpanContext::new(TraceId::from(1), SpanId::from(1), TraceFlags::SAMPLED, false, TraceState::NONE);
    SpanData {
        span_context: context,
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Server,
        name: "a span".into(),
        start_time: std::time::UNIX_EPOCH,
        end_time: std::time::UNIX_EPOCH,
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: opentelemetry::InstrumentationScope::default(),
    }
}

/// Ends spans, which never blocks.
fn end(queue: &Queue, spans: usize) {
    (0..spans).for_each(|_| queue.on_end(span()));
}

fn begin(play: Play) -> (Collector, Queue, Exporting) {
    let collector = Collector::new(play);
    let (queue, export) = export(collector.clone());
    (collector, queue, Exporting::start(Some(export)))
}

#[tokio::test(start_paused = true)]
async fn a_span_waits_a_little_for_others_and_a_full_batch_does_not() {
    let (collector, queue, _exporting) = begin(Play::Take);
    let began = Instant::now();
    end(&queue, 1);
    tokio::time::sleep(BATCH_DELAY * 2).await;
    assert_eq!(collector.batches.lock().unwrap()[..], [(1, began + BATCH_DELAY)]);
    end(&queue, BATCH_SPANS_MAX * 2 + 1);
    tokio::time::sleep(BATCH_DELAY / 10).await;
    assert_eq!(collector.sizes(), [1, BATCH_SPANS_MAX, BATCH_SPANS_MAX]);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_is_sent_at_the_end() {
    let (collector, queue, exporting) = begin(Play::Take);
    end(&queue, BATCH_SPANS_MAX + 1);
    exporting.flush().await;
    assert_eq!(collector.sizes(), [BATCH_SPANS_MAX, 1]);
    end(&queue, 1);
    assert_eq!(queue.lost.get(), 1, "and what ends later is lost");
}

#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_long_for_a_collector_that_hangs() {
    let (collector, queue, exporting) = begin(Play::Hang);
    end(&queue, QUEUE_SPANS_MAX);
    let began = Instant::now();
    exporting.flush().await;
    assert_eq!(began.elapsed(), FLUSH_TIMEOUT);
    assert_eq!(collector.sizes(), [BATCH_SPANS_MAX], "one was tried");
    assert!(queue.spans.is_closed(), "the task is gone");
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_if_traces_are_off() {
    let mut exporting = Exporting::start(None::<Export<Collector>>);
    assert!(exporting.tasks().is_empty());
    let began = Instant::now();
    exporting.flush().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_hangs_costs_spans_and_neither_time_nor_memory() {
    let (log, _guard) = Log::listen();
    let (_collector, queue, _exporting) = begin(Play::Hang);
    end(&queue, 1);
    // The task waits for the collector, which has the one span.
    tokio::time::sleep(BATCH_DELAY + BATCH_DELAY / 2).await;
    end(&queue, QUEUE_SPANS_MAX + 9);
    assert_eq!(queue.spans.capacity(), 0);
    assert_eq!(queue.lost.get(), 9);
    tokio::time::sleep(EXPORT_TIMEOUT).await;
    let lines = log.lines();
    assert!(lines.len() == 1 && lines[0].contains("lost=10"), "{lines:?}");
    assert!(lines[0].contains("no answer within 5s"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn failed_exports_are_logged_once_a_minute() {
    let (log, _guard) = Log::listen();
    let (collector, queue, _exporting) = begin(Play::Refuse);
    // Between two batches.
    tokio::time::sleep(BATCH_DELAY / 2).await;
    let began = Instant::now();
    while began.elapsed() < REPORT_INTERVAL * 2 {
        end(&queue, 1);
        tokio::time::sleep(BATCH_DELAY).await;
    }
    let (tries, lines) = (collector.sizes().len(), log.lines());
    assert!(tries > 20, "each of {tries} was tried");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("WARN") && lines[0].contains("not today"), "{lines:?}");
    assert!(lines[0].contains("lost=1"), "{lines:?}");
    assert!(lines[1].contains("lost=12"), "those of the minute between: {lines:?}");
}
