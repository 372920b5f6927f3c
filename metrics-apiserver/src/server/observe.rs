//! Around every request: its id, one log line, metrics, a trace; a panic of a handler ends here.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures_util::FutureExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use tracing::Instrument as _;
use uuid::Uuid;

use super::connections::Peer;
use super::handle::handle;
use super::reply::{self, Response};
use super::routes::Request;
use super::shared::Shared;
use super::trace;
use crate::api::{Error, LimitError, Status};
use crate::causes::causes;

/// kube-apiserver cuts longer ids too.
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
    let documents = shared.documents.of(shared.parts.answers.catalog());
    let request = Request::new(&raw, &documents);
    let resource = request.target.resource;
    let trace = trace::begin(&raw, resource, &audit_id);
    let mut stays = false;
    let in_progress = (shared.metrics.begin(), peer.place.busy());
    let handled = AssertUnwindSafe(handle(shared, peer, &request, &mut stays)).catch_unwind();
    let handled = handled.instrument(span.clone()).instrument(trace.clone());
    let answered = handled.await.unwrap_or_else(|_| Err(LimitError::Panicked.into()));
    drop(in_progress);
    let mut response = answered.unwrap_or_else(|error| refusal(shared, &request, &error, &span));
    reply::add_common_headers(&mut response, audit_id);
    // While the listener is still open, clients make new connections to other replicas.
    let is_last = shared.parts.readiness.is_shutting_down();
    // An unauthenticated client keeps none of the limited number of connections.
    if is_last || !stays || has_body {
        reply::close(&mut response);
    }
    let (code, took) = (response.status().as_u16(), started.elapsed());
    trace::end(&trace, code);
    shared.metrics.answered(&raw.method, resource, code, took);
    // The query string with its selector is not logged.
    span.in_scope(|| {
        tracing::debug!(
            http.method = raw.method.as_str(),
            http.path = raw.uri.path(),
            http.code = code,
            duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "request answered"
        );
    });
    Ok(response)
}

/// The response to an error. A failure is logged now and then, and each one at a higher verbosity: clients can cause
/// any number of them.
fn refusal(shared: &Shared, request: &Request<'_>, error: &Error, span: &tracing::Span) -> Response {
    let status = Status::from(error);
    let (path, code) = (request.raw.uri.path(), status.code());
    span.in_scope(|| {
        let causes = causes(error);
        let is_failure = code >= 500 && !error.is_reported();
        let line = if is_failure { shared.failures.next_line() } else { None };
        if let Some(suppressed) = line {
            tracing::warn!(http.path = path, http.code = code, error = %causes, suppressed, "request failed");
        } else {
            tracing::debug!(http.code = code, error = %causes, "request refused");
        }
    });
    reply::status(&status, request.is_pretty())
}

/// The id kube-apiserver's audit log has for the request, else a new one.
fn audit_id(request: &Parts) -> HeaderValue {
    let given = request.headers.get("audit-id").filter(|id| {
        let bytes = id.as_bytes();
        !bytes.is_empty() && bytes.len() <= AUDIT_ID_CHARS_MAX && bytes.iter().all(u8::is_ascii_graphic)
    });
    given.cloned().unwrap_or_else(|| {
        let mut text = Uuid::encode_buffer();
        let text = Uuid::new_v4().hyphenated().encode_lower(&mut text);
        HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
    })
}
