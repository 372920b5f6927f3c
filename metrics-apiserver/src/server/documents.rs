//! Discovery, OpenAPI, version: documents answered from memory.

use hyper::StatusCode;
use hyper::header;

use super::reply::{self, Response};
use super::request::Request;
use crate::api::{Document, Documents, Error, Media, Offer};

/// `/apis`, in the form the client knows.
pub(super) fn groups(documents: &Documents, request: &Request<'_>) -> Result<Response, Error> {
    let mut response = match request.media(Offer::Groups)? {
        Media::Aggregated => conditional(&documents.aggregated, request, "public"),
        _ => reply::document(&documents.groups, request.is_pretty()),
    };
    response.headers_mut().insert(header::VARY, header::HeaderValue::from_static("Accept"));
    Ok(response)
}

/// A document that clients read whole each time.
pub(super) fn plain(document: &Document, request: &Request<'_>) -> Result<Response, Error> {
    request.media(Offer::Json)?;
    Ok(reply::document(document, request.is_pretty()))
}

/// A document that clients keep; one who names its hash in the URL may keep it for ever, since another content has
/// another URL. An outdated hash gets the current content: a redirect would be refused by the aggregator.
pub(super) fn tagged(document: &Document, request: &Request<'_>) -> Result<Response, Error> {
    request.media(Offer::Json)?;
    let asked = request.raw.uri.query().and_then(|query| query.strip_prefix("hash="));
    let is_current = asked.is_some_and(|hash| hash == document.etag.trim_matches('"'));
    let cache = if is_current { "public, max-age=31536000, immutable" } else { reply::UNCACHED };
    Ok(conditional(document, request, cache))
}

/// 304 for a client that has it already.
fn conditional(document: &Document, request: &Request<'_>, cache: &'static str) -> Response {
    if request.is_pretty() {
        return reply::document(document, true);
    }
    let known = request.header(header::IF_NONE_MATCH).unwrap_or_default();
    let mut response = if known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == document.etag) {
        reply::empty(StatusCode::NOT_MODIFIED)
    } else {
        reply::document(document, false)
    };
    if let Ok(etag) = header::HeaderValue::from_str(&document.etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static(cache));
    response
}
