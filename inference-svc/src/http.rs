//! HTTP: the routes of both listeners and their handlers.

mod connection;

use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::web::{Data, Payload, ServiceConfig, get, post};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use tokio::time::timeout;

use crate::metrics::{self, Metrics, RejectionReason};
use crate::readiness::{Phase, Readiness};
use crate::work::{QueueFull, Work};

pub use connection::{ConnectionUse, Limits, bound_connection};

/// A prompt is text. The body is read and discarded.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// A client that does not finish its body must not hold its connection forever.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// Shared by the handlers of the service port.
#[derive(Debug, Clone)]
pub struct Service {
    /// Runs inferences.
    pub work: Work,
    /// Measures requests.
    pub metrics: Metrics,
    /// Knows whether the model is loaded.
    pub readiness: Readiness,
    /// Average time until a slot is free; sent as `Retry-After` to rejected clients.
    pub retry_after: Duration,
}

/// Routes of the service port.
pub fn service_routes(service: &Service) -> impl Fn(&mut ServiceConfig) + Clone + use<> {
    let service = service.clone();
    move |routes| {
        operator_routes(&service.metrics, &service.readiness)(routes);
        routes
            .app_data(Data::new(service.clone()))
            .route("/infer", post().to(infer))
            .route("/", get().to(infer));
    }
}

/// Routes of the metrics port; the service port has them too.
pub fn operator_routes(
    metrics: &Metrics,
    readiness: &Readiness,
) -> impl Fn(&mut ServiceConfig) + Clone + use<> {
    let (metrics, readiness) = (metrics.clone(), readiness.clone());
    move |routes| {
        routes
            .app_data(Data::new(metrics.clone()))
            .app_data(Data::new(readiness.clone()))
            .route("/metrics", get().to(exposition))
            .route("/healthz", get().to(async || HttpResponse::Ok().body("ok\n")))
            .route("/readyz", get().to(readyz));
    }
}

/// The response to an inference request.
#[derive(Debug, Serialize)]
struct Inference {
    /// Seconds in the queue.
    queued_seconds: f64,
    /// Seconds in the slot.
    ran_seconds: f64,
}

async fn infer(service: Data<Service>, body: Payload) -> Result<HttpResponse, RequestError> {
    let arrival = Instant::now();
    read_body(body).await?;
    if let Some(left) = service.readiness.loading() {
        service.metrics.reject(RejectionReason::loading);
        return Err(RequestError::Loading { retry_after: left });
    }
    let admitted = service.work.admit().map_err(|source| {
        service.metrics.reject(RejectionReason::queue_full);
        RequestError::QueueFull { source, retry_after: service.retry_after }
    })?;
    let in_flight = service.metrics.accept(arrival);
    let times = admitted.run().await;
    in_flight.finish();
    Ok(HttpResponse::Ok()
        .json(Inference { queued_seconds: times.queued.as_secs_f64(), ran_seconds: times.ran.as_secs_f64() }))
}

async fn read_body(body: Payload) -> Result<(), RequestError> {
    let read = timeout(BODY_TIME_MAX, body.to_bytes_limited(BODY_BYTES_MAX));
    match read.await {
        Ok(Ok(Ok(_prompt))) => Ok(()),
        Ok(Ok(Err(_broken))) => Err(RequestError::BodyBroken),
        Ok(Err(_limit)) => Err(RequestError::BodyTooLarge),
        Err(_elapsed) => Err(RequestError::BodyTooSlow),
    }
}

async fn exposition(metrics: Data<Metrics>) -> Result<HttpResponse, RequestError> {
    let text = metrics.encode().map_err(RequestError::Encode)?;
    Ok(HttpResponse::Ok().content_type(metrics::CONTENT_TYPE).body(text))
}

async fn readyz(readiness: Data<Readiness>) -> HttpResponse {
    match readiness.phase() {
        Phase::Serving => HttpResponse::Ok().body("ok\n"),
        Phase::Loading(_) => HttpResponse::ServiceUnavailable().body("the model is loading\n"),
        Phase::Draining => HttpResponse::ServiceUnavailable().body("the process is stopping\n"),
    }
}

/// Why a request was not answered with an inference.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error("the model is loading, try again later")]
    Loading { retry_after: Duration },
    #[error("{source}")]
    QueueFull { source: QueueFull, retry_after: Duration },
    #[error("the body is larger than {BODY_BYTES_MAX} bytes")]
    BodyTooLarge,
    #[error("the body was not received within {} s", BODY_TIME_MAX.as_secs())]
    BodyTooSlow,
    #[error("the body is incomplete or malformed")]
    BodyBroken,
    #[error("cannot encode the metrics")]
    Encode(#[source] std::fmt::Error),
}

impl ResponseError for RequestError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Loading { .. } | Self::QueueFull { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BodyBroken => StatusCode::BAD_REQUEST,
            Self::Encode(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Self::Loading { retry_after } | Self::QueueFull { retry_after, .. } = self {
            // Whole seconds, and never 0, which would mean an immediate retry.
            response.insert_header((RETRY_AFTER, retry_after.as_secs() + 1));
        }
        response.body(format!("{self}\n"))
    }
}
