//! The metrics of the service.
//!
//! The encoder writes `OpenMetrics`, so the response must have that content type: parsed as the older text format, the
//! counters would have wrong names.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// The content type of [`Metrics::encode`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds in seconds: fine up to the 10 s of one inference, then coarser, for a long queue.
const BUCKETS_S: [f64; 14] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0];

/// The service's metrics; clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    duration: Histogram,
    in_flight: Gauge,
    queued: Gauge,
    abandoned: Counter,
    rejected: Family<Rejection, Counter>,
}

/// Why a request was answered 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Rejection {
    /// The cause.
    pub reason: RejectionReason,
}

/// The values of the label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(
    non_camel_case_types,
    reason = "the variant is the label's value, and a renamed one renames a time series"
)]
pub enum RejectionReason {
    /// The queue is full.
    queue_full,
    /// The model is still loading.
    loading,
}

impl Metrics {
    /// New metrics of a service with that many slots; all series are 0.
    pub fn new(slots: u16) -> Self {
        let duration = Histogram::new(BUCKETS_S);
        let (in_flight, queued, abandoned) = (Gauge::default(), Gauge::default(), Counter::default());
        let (rejected, slot_gauge) = (Family::<Rejection, Counter>::default(), Gauge::<i64>::default());
        slot_gauge.set(i64::from(slots));
        // A series that appears with its first event would hide that event from increase().
        for reason in [RejectionReason::queue_full, RejectionReason::loading] {
            drop(rejected.get_or_create(&Rejection { reason }));
        }
        let mut registry = Registry::default();
        registry.register_with_unit(
            "python_request_duration",
            "Time from a request's arrival to its answer or its client's disconnect, queue time included",
            Unit::Seconds,
            duration.clone(),
        );
        registry.register(
            "python_requests_in_flight",
            "Accepted requests that are running or queued",
            in_flight.clone(),
        );
        registry.register("python_requests_queued", "Requests waiting for a slot", queued.clone());
        registry.register("python_slots", "Maximum number of concurrent inferences", slot_gauge);
        registry.register(
            "python_requests_rejected",
            "Requests rejected with 503, by reason",
            rejected.clone(),
        );
        registry.register(
            "python_requests_abandoned",
            "Requests whose client disconnected before the answer",
            abandoned.clone(),
        );
        Self { registry: Arc::new(registry), duration, in_flight, queued, abandoned, rejected }
    }

    /// All metrics as text of type [`CONTENT_TYPE`].
    ///
    /// # Errors
    /// Only if the encoder refuses a metric.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }

    /// Measures a request that was accepted at `arrival`, until the returned value is finished or dropped.
    pub fn accept(&self, arrival: Instant) -> InFlight {
        self.in_flight.inc();
        InFlight { metrics: self.clone(), arrival, finished: false }
    }

    /// Counts a rejected request. It is not in the histogram, where it would make an overloaded service look fast.
    pub fn reject(&self, reason: RejectionReason) {
        self.rejected.get_or_create(&Rejection { reason }).inc();
    }

    /// Takes one of `limit` places in the queue, if one is free. Dropping the returned value frees it.
    pub fn queue(&self, limit: u32) -> Option<Queued> {
        let one_more = |queued| (queued < i64::from(limit)).then_some(queued + 1);
        // The gauge itself is the counter, so the exposed and the enforced number are the same.
        self.queued.inner().fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Queued(self.queued.clone()))
    }

    /// Accepted requests that are not answered yet.
    pub fn in_flight(&self) -> i64 {
        self.in_flight.get()
    }
}

/// A request between arrival and answer.
///
/// If it is dropped unfinished, the client has disconnected. Its time counts anyway, or a service that is so slow that
/// all clients give up would look idle.
#[derive(Debug)]
pub struct InFlight {
    metrics: Metrics,
    arrival: Instant,
    finished: bool,
}

impl InFlight {
    /// The answer is ready.
    pub fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        self.metrics.duration.observe(self.arrival.elapsed().as_secs_f64());
        if !self.finished {
            self.metrics.abandoned.inc();
        }
    }
}

/// A place in the queue.
#[derive(Debug)]
pub struct Queued(Gauge);

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(metrics: &Metrics, line: &str) -> bool {
        metrics.encode().unwrap().lines().any(|it| it == line)
    }

    #[test]
    fn every_series_is_there_from_the_start_under_its_exact_name() {
        let metrics = Metrics::new(3);
        for line in [
            "# TYPE python_request_duration_seconds histogram",
            "python_request_duration_seconds_sum 0.0",
            "python_request_duration_seconds_count 0",
            "python_request_duration_seconds_bucket{le=\"0.1\"} 0",
            "python_request_duration_seconds_bucket{le=\"300.0\"} 0",
            "python_request_duration_seconds_bucket{le=\"+Inf\"} 0",
            "python_requests_in_flight 0",
            "python_requests_queued 0",
            "python_slots 3",
            "python_requests_rejected_total{reason=\"queue_full\"} 0",
            "python_requests_rejected_total{reason=\"loading\"} 0",
            "python_requests_abandoned_total 0",
            "# EOF",
        ] {
            assert!(has(&metrics, line), "no line {line:?} in\n{}", metrics.encode().unwrap());
        }
    }

    #[test]
    fn a_request_given_up_is_measured_like_an_answered_one() {
        let metrics = Metrics::new(1);
        let (answered, given_up) = (metrics.accept(Instant::now()), metrics.accept(Instant::now()));
        assert!(has(&metrics, "python_requests_in_flight 2"));
        answered.finish();
        drop(given_up);
        assert!(has(&metrics, "python_requests_in_flight 0"));
        assert!(has(&metrics, "python_request_duration_seconds_count 2"));
        assert!(has(&metrics, "python_requests_abandoned_total 1"));
    }

    #[test]
    fn the_queue_has_no_more_places_than_its_limit() {
        let metrics = Metrics::new(1);
        let first = metrics.queue(2).expect("a place");
        let second = metrics.queue(2).expect("a place");
        assert!(metrics.queue(2).is_none());
        assert!(has(&metrics, "python_requests_queued 2"));
        drop((first, second));
        assert!(has(&metrics, "python_requests_queued 0"));
        assert!(metrics.queue(0).is_none());
    }
}
