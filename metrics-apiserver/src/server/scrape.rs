//! `/metrics`.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use super::large::{Room, placed};
use super::reply;

/// The encoder always writes `OpenMetrics`; under the older type's name Prometheus could not read all of it.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything registered.
pub(super) async fn metrics(registry: &Registry, room: &Room) -> HttpResponse {
    let place = room.scrape().await;
    let mut body = String::new();
    let response = match text::encode(&mut body, registry) {
        Ok(()) => reply::typed(StatusCode::OK, OPEN_METRICS, body.into()),
        Err(_) => reply::text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n"),
    };
    placed(response, place)
}
