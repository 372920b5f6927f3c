//! Responses and their common headers.

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};

use super::body::Body;
use crate::api::{Document, Status, pretty};

pub(super) type Response = hyper::Response<Body>;

/// For responses that must not be cached: nearly all.
pub(super) const UNCACHED: &str = "no-cache, private";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// 200 with JSON.
pub(super) fn json(body: Bytes) -> Response {
    typed(StatusCode::OK, JSON, body)
}

/// 200 with a static document.
pub(super) fn document(document: &Document, is_pretty: bool) -> Response {
    let body =
        if is_pretty { pretty(&document.body).into() } else { Bytes::from_owner(document.body.clone()) };
    typed(StatusCode::OK, document.content_type, body)
}

/// An error as Kubernetes writes it.
pub(super) fn status(status: &Status, is_pretty: bool) -> Response {
    let code = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = status.to_json();
    let mut response = typed(code, JSON, if is_pretty { pretty(&body).into() } else { body.into() });
    if code == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    if let Some(seconds) = status.retry_after_seconds() {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// Plain text, as the health endpoints answer.
pub(super) fn text(code: StatusCode, body: impl Into<Bytes>) -> Response {
    typed(code, TEXT, body.into())
}

/// No body and no type.
pub(super) fn empty(code: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = code;
    response
}

/// Any body, but never HTML.
pub(super) fn typed(code: StatusCode, content_type: &'static str, body: Bytes) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Adds the headers that every response has.
pub(super) fn add_common_headers(response: &mut Response, audit_id: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("audit-id"), audit_id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(UNCACHED));
    }
}

/// Closes the connection after this response.
pub(super) fn close(response: &mut Response) {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}

/// The whole response to a head that hyper could not read, as bytes.
pub(super) fn refusal(status: &Status) -> Vec<u8> {
    let reason = StatusCode::from_u16(status.code()).ok().and_then(|code| code.canonical_reason());
    let body = status.to_json();
    let mut response = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: {JSON}\r\ncontent-length: {}\r\ncache-control: {UNCACHED}\r\n\
         x-content-type-options: nosniff\r\nconnection: close\r\n\r\n",
        status.code(),
        reason.unwrap_or_default(),
        body.len(),
    )
    .into_bytes();
    response.extend(body);
    response
}
