//! The server's own metrics, and `/metrics`, which serves those of the whole process.

use std::time::Duration;

use hyper::{Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::large::{self, LargeAnswers};
use super::reply::{self, Response};

/// From an answer out of memory (tens of microseconds) to the longest deadline.
const BUCKETS: [f64; 12] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0];

/// The encoder always writes `OpenMetrics`; under the older type's name Prometheus could not read all of it.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Metrics of requests.
pub(super) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<DurationLabels, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verb: &'static str,
    resource: &'static str,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    resource: &'static str,
}

/// A request in flight. Counted until dropped: a client that disconnects ends the handling anywhere.
pub(super) struct InFlight<'a>(&'a Gauge);

impl Metrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            in_flight: Gauge::default(),
        };
        let own = registry.sub_registry_with_prefix("metrics_apiserver_http");
        own.register("requests", "Completed requests, by verb, resource and code", metrics.requests.clone());
        own.register(
            "request_duration_seconds",
            "Time from the parsed headers to the finished answer",
            metrics.durations.clone(),
        );
        own.register("requests_in_flight", "Requests in flight", metrics.in_flight.clone());
        metrics
    }

    pub(super) fn begin(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    pub(super) fn answered(&self, method: &Method, resource: &'static str, code: u16, took: Duration) {
        self.requests.get_or_create(&RequestLabels { verb: verb(method), resource, code }).inc();
        self.durations.get_or_create(&DurationLabels { resource }).observe(took.as_secs_f64());
    }

    /// Counts a request whose head could not be read.
    pub(super) fn refused(&self, code: u16) {
        let labels = RequestLabels { verb: "other", resource: "unknown", code };
        self.requests.get_or_create(&labels).inc();
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The method, if it is a known one: clients can invent methods.
pub(super) fn verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Everything registered.
pub(super) async fn scrape(registry: &Registry, large: &LargeAnswers, user: &str) -> Response {
    let permit = large.acquire_scrape(user).await;
    let mut body = String::new();
    match text::encode(&mut body, registry) {
        Ok(()) => reply::typed(StatusCode::OK, OPEN_METRICS, large::hold(body.into_bytes(), permit)),
        Err(_) => reply::text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n"),
    }
}
