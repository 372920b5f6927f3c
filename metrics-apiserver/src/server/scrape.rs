//! `/metrics`.

use hyper::StatusCode;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use super::large::LargeAnswers;
use super::reply::{self, Response};

/// The encoder always writes `OpenMetrics`; under the older type's name Prometheus could not read all of it.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything registered.
pub(super) async fn metrics(registry: &Registry, large: &LargeAnswers) -> Response {
    let permit = large.acquire_scrape().await;
    let mut body = String::new();
    match text::encode(&mut body, registry) {
        Ok(()) => reply::typed(StatusCode::OK, OPEN_METRICS, permit.hold(body.into_bytes())),
        Err(_) => reply::text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n"),
    }
}
