//! Around every request: its id, its one log line, its metrics; and no panic gets past here.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use actix_web::http::{ConnectionType, Method, Uri, header};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::FutureExt as _;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tracing::Instrument as _;
use uuid::Uuid;

use super::body::refuse_body;
use super::large::in_pieces;
use super::request::Request;
use super::routes::Route;
use super::{Shared, guard, reply, trace};
use crate::api::{Error, LimitError, RequestError, Status};
use crate::authn::UserInfo;
use crate::causes::causes;

/// Longer ids are not ours to repeat; kube-apiserver cuts there too.
const AUDIT_ID_CHARS_MAX: usize = 64;

/// Answers one request, whatever it is.
pub(super) async fn serve(
    shared: web::Data<Shared>,
    request: HttpRequest,
    body: web::Payload,
) -> HttpResponse {
    let started = Instant::now();
    let audit_id = audit_id(&request);
    let span = tracing::debug_span!("request", audit.id = audit_id.to_str().unwrap_or_default());
    let route = Route::of(request.uri().path());
    let name = route.as_ref().map_or(Route::Unknown.name(), Route::name);
    let trace = trace::begin(&request, name, &audit_id);
    let is_known = Cell::new(false);
    let in_flight = InFlight::begin(&shared.metrics.in_flight);
    let handled = AssertUnwindSafe(admitted(&shared, &request, route, &is_known)).catch_unwind();
    let handled = handled.instrument(span.clone()).instrument(trace.clone());
    let answered = handled.await.unwrap_or_else(|_| Err(LimitError::Panicked.into()));
    drop(in_flight);
    let mut response = answered.unwrap_or_else(|error| refusal(&request, &error, &span));
    reply::add_common_headers(&mut response, audit_id);
    // Callers leave while the listener is still there: one that kept its connection would use it until it dies.
    let is_last = shared.readiness.is_shutting_down();
    // And nobody who has not shown who they are keeps one of the connections that there may be.
    if is_last || !is_known.get() {
        response.head_mut().set_connection_type(ConnectionType::Close);
        guard::hang_up(&request);
    }
    let record = Record { method: request.method(), route: name, code: response.status().as_u16() };
    trace::end(&trace, record.code);
    shared.metrics.observe(&record, started.elapsed());
    span.in_scope(|| record.log(request.uri(), started.elapsed()));
    refuse_body(&request, body, in_pieces(&request, response))
}

/// The way of a request: in time, by somebody who may, one of so many. `is_known` tells whether somebody showed who they
/// are, which comes before all that a URL can be refused for: they keep the connection.
async fn admitted(
    shared: &Shared,
    raw: &HttpRequest,
    route: Result<Route<'_>, RequestError>,
    is_known: &Cell<bool>,
) -> Result<HttpResponse, Error> {
    if raw.headers().contains_key(header::UPGRADE) {
        return Err(RequestError::Upgrade.into());
    }
    let request = Request::new(raw);
    let asked = request.as_ref().map_or(None, |request| request.parameters.timeout);
    let answered = tokio::time::timeout(shared.limits.deadline(asked), async {
        let user = guard::authenticate(shared, raw).await?;
        is_known.set(user.is_some());
        let (route, request) = (route?, request?);
        let user = user.unwrap_or_else(UserInfo::anonymous);
        let _seat = if route.is_probe() { None } else { Some(shared.limits.seat(&user)?) };
        let wanted = guard::wanted(raw);
        let grant = guard::authorize(shared, &user, &wanted).await?;
        if !matches!(*raw.method(), Method::GET | Method::HEAD) {
            return Err(RequestError::Method.into());
        }
        let answered = route.handle(shared, &request).await;
        guard::used(shared, &grant, &answered);
        answered
    });
    answered.await.unwrap_or_else(|_| Err(LimitError::Deadline.into()))
}

/// The client's copy of an error, and the operator's.
fn refusal(request: &HttpRequest, error: &Error, span: &tracing::Span) -> HttpResponse {
    let status = Status::from(error);
    span.in_scope(|| {
        let causes = causes(error);
        if status.code >= 500 && !error.is_told() {
            tracing::warn!(http.path = request.uri().path(), http.code = status.code, error = %causes, "request failed");
        } else {
            tracing::debug!(http.code = status.code, error = %causes, "request refused");
        }
    });
    let is_pretty = Request::new(request).is_ok_and(|request| request.is_pretty());
    reply::status(&status, is_pretty)
}

/// One request being answered; counted until dropped, for a client that goes away ends the handling anywhere.
struct InFlight<'a>(&'a Gauge);

impl<'a> InFlight<'a> {
    fn begin(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The id kube-apiserver's audit log has for the request, else a new one.
fn audit_id(request: &HttpRequest) -> header::HeaderValue {
    let given = request.headers().get("audit-id").filter(|id| {
        let bytes = id.as_bytes();
        !bytes.is_empty() && bytes.len() <= AUDIT_ID_CHARS_MAX && bytes.iter().all(u8::is_ascii_graphic)
    });
    given.cloned().unwrap_or_else(|| {
        let mut text = Uuid::encode_buffer();
        let text = Uuid::new_v4().hyphenated().encode_lower(&mut text);
        header::HeaderValue::from_str(text).unwrap_or(header::HeaderValue::from_static(""))
    })
}

/// What is told of a request.
struct Record<'a> {
    method: &'a Method,
    route: &'static str,
    code: u16,
}

impl Record<'_> {
    /// One line; the path is logged, the query string with its selector is not.
    fn log(&self, uri: &Uri, took: Duration) {
        tracing::debug!(
            http.method = self.method.as_str(),
            http.path = uri.path(),
            http.code = self.code,
            duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "request answered"
        );
    }
}

/// The method, if it is a known one: anybody can invent methods.
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

/// What the server tells of itself at `/metrics`.
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

/// From an answer out of memory (tens of microseconds) to the longest deadline.
const BUCKETS: [f64; 12] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0];

impl Metrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            in_flight: Gauge::default(),
        };
        let own = registry.sub_registry_with_prefix("metrics_apiserver_http");
        own.register("requests", "Requests answered", metrics.requests.clone());
        own.register(
            "request_duration_seconds",
            "Time from headers read to answer made",
            metrics.durations.clone(),
        );
        own.register("requests_in_flight", "Requests being answered", metrics.in_flight.clone());
        metrics
    }

    fn observe(&self, record: &Record<'_>, took: Duration) {
        let Record { method, route: resource, code } = *record;
        self.requests.get_or_create(&RequestLabels { verb: verb(method), resource, code }).inc();
        self.durations.get_or_create(&DurationLabels { resource }).observe(took.as_secs_f64());
    }
}
