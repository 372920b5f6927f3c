//! Around every request: its id, one log line, metrics; a panic of a handler ends here.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::http::request::Parts;
use hyper::{Method, Uri, header};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tracing::Instrument as _;
use uuid::Uuid;

use super::handle::handle;
use super::peer::Peer;
use super::reply::Response;
use super::request::Request;
use super::{Shared, guard, reply, trace};
use crate::api::{Error, LimitError, RequestError, Status};
use crate::authn::UserInfo;
use crate::causes::causes;

/// Longer ids are not ours to repeat; kube-apiserver cuts there too.
const AUDIT_ID_CHARS_MAX: usize = 64;

/// Answers one request, whatever it is. Its body is never read: after a request with one the connection closes.
pub(super) async fn serve(
    shared: &Shared,
    peer: &Peer,
    request: hyper::Request<Incoming>,
) -> Result<Response, Infallible> {
    let started = Instant::now();
    let (raw, body) = request.into_parts();
    let has_body = !body.is_end_stream();
    drop(body);
    let audit_id = audit_id(&raw);
    let span = tracing::debug_span!("request", audit.id = audit_id.to_str().unwrap_or_default());
    let request = Request::new(&raw, &shared.documents);
    let resource = request.target.resource;
    let trace = trace::begin(&raw, resource, &audit_id);
    let mut is_known = false;
    let in_flight = InFlight::begin(&shared.metrics.in_flight);
    let handled = AssertUnwindSafe(admitted(shared, peer, &request, &mut is_known)).catch_unwind();
    let handled = handled.instrument(span.clone()).instrument(trace.clone());
    let answered = handled.await.unwrap_or_else(|_| Err(LimitError::Panicked.into()));
    drop(in_flight);
    let mut response = answered.unwrap_or_else(|error| refusal(&request, &error, &span));
    reply::add_common_headers(&mut response, audit_id);
    // While the listener is still there, callers make new connections elsewhere.
    let is_last = shared.readiness.is_shutting_down();
    // An unauthenticated client keeps none of the limited number of connections.
    if is_last || !is_known || has_body {
        reply::close(&mut response);
    }
    let record = Record { method: &raw.method, route: resource, code: response.status().as_u16() };
    trace::end(&trace, record.code);
    shared.metrics.observe(&record, started.elapsed());
    span.in_scope(|| record.log(&raw.uri, started.elapsed()));
    Ok(response)
}

/// Authentication, the limit on requests in flight, authorization, and then whatever is wrong with the URL, all within
/// the deadline. `is_known` says whether the client authenticated: then it keeps its connection whatever the answer is.
async fn admitted(
    shared: &Shared,
    peer: &Peer,
    request: &Request<'_>,
    is_known: &mut bool,
) -> Result<Response, Error> {
    let Request { raw, target } = request;
    if raw.headers.contains_key(header::UPGRADE) {
        return Err(RequestError::Upgrade.into());
    }
    let answered = tokio::time::timeout(shared.limits.deadline(target.timeout()), async {
        let user = guard::authenticate(shared, peer, raw).await?;
        *is_known = user.is_some();
        let user = user.unwrap_or_else(UserInfo::anonymous);
        let _permit = if target.is_probe() { None } else { Some(shared.limits.admit(&user)?) };
        guard::authorize(shared, &user, &guard::wanted(raw)).await?;
        if !matches!(raw.method, Method::GET | Method::HEAD) {
            return Err(RequestError::Method.into());
        }
        handle(shared, request).await
    });
    answered.await.unwrap_or_else(|_| Err(LimitError::Deadline.into()))
}

/// The client's copy of an error, and the operator's.
fn refusal(request: &Request<'_>, error: &Error, span: &tracing::Span) -> Response {
    let status = Status::from(error);
    let (path, code) = (request.raw.uri.path(), status.code());
    span.in_scope(|| {
        let causes = causes(error);
        if code >= 500 && !error.is_reported() {
            tracing::warn!(http.path = path, http.code = code, error = %causes, "request failed");
        } else {
            tracing::debug!(http.code = code, error = %causes, "request refused");
        }
    });
    reply::status(&status, request.is_pretty())
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
fn audit_id(request: &Parts) -> header::HeaderValue {
    let given = request.headers.get("audit-id").filter(|id| {
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

    /// Counts a request whose head could not be read.
    pub(super) fn count_refusal(&self, code: u16) {
        let labels = RequestLabels { verb: "other", resource: "unknown", code };
        self.requests.get_or_create(&labels).inc();
    }

    fn observe(&self, record: &Record<'_>, took: Duration) {
        let Record { method, route: resource, code } = *record;
        self.requests.get_or_create(&RequestLabels { verb: verb(method), resource, code }).inc();
        self.durations.get_or_create(&DurationLabels { resource }).observe(took.as_secs_f64());
    }
}
