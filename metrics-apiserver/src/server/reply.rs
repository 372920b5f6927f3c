//! Responses and the headers that all of them have.

use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::http::{StatusCode, header};
use actix_web::web::Bytes;

use crate::api::{Document, Status, pretty};

/// What nobody may keep: nearly everything.
pub(super) const UNCACHED: &str = "no-cache, private";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// 200 with JSON.
pub(super) fn json(body: Vec<u8>, is_pretty: bool) -> HttpResponse {
    let body = if is_pretty { pretty(&body) } else { body };
    typed(StatusCode::OK, JSON, body.into())
}

/// 200 with a static document.
pub(super) fn document(document: &Document, is_pretty: bool) -> HttpResponse {
    let body =
        if is_pretty { pretty(&document.body).into() } else { Bytes::from_owner(document.body.clone()) };
    typed(StatusCode::OK, document.content_type, body)
}

/// An error as Kubernetes writes it.
pub(super) fn status(status: &Status, is_pretty: bool) -> HttpResponse {
    let code = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = status.to_json();
    let mut response = typed(code, JSON, if is_pretty { pretty(&body).into() } else { body.into() });
    if code == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
    }
    if let Some(seconds) = status.retry_after_seconds() {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// Plain text, as the health endpoints answer.
pub(super) fn text(code: StatusCode, body: impl Into<Bytes>) -> HttpResponse {
    typed(code, TEXT, body.into())
}

/// Any body, never HTML: browsers are told not to guess.
pub(super) fn typed(code: StatusCode, content_type: &'static str, body: Bytes) -> HttpResponse {
    let mut response = HttpResponse::with_body(code, BoxBody::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

/// Adds what every response has.
pub(super) fn add_common_headers(response: &mut HttpResponse, audit_id: header::HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(header::HeaderName::from_static("audit-id"), audit_id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static(UNCACHED));
    }
}
