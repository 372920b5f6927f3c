//! A request as a span of a trace: kube-apiserver's, if that sends one.

use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use tracing::field::Empty;
use tracing::{Span, info_span};

use super::metrics::verb;
use crate::telemetry;

/// The span of a request; disabled while traces are off. It has no path and no query string: clients choose those.
pub(super) fn begin(request: &Parts, route: &'static str, audit_id: &HeaderValue) -> Span {
    let method = verb(&request.method);
    let span = info_span!(
        target: "traces",
        "request",
        otel.kind = "server",
        otel.name = format_args!("{method} {route}"),
        http.request.method = method,
        http.route = route,
        audit.id = audit_id.to_str().unwrap_or_default(),
        http.response.status_code = Empty,
        otel.status_code = Empty,
    );
    if !span.is_disabled()
        && let Some(traceparent) = request.headers.get("traceparent")
    {
        telemetry::continue_trace(&span, traceparent.as_bytes());
    }
    span
}

/// Records the status code, as an `i64`: other integers would become strings.
pub(super) fn end(span: &Span, code: u16) {
    span.record("http.response.status_code", i64::from(code));
    if code >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}
