//! Discovery, OpenAPI, version: documents answered from memory. They are made when the catalog changes.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use hyper::StatusCode;
use hyper::header;

use super::reply::{self, Response};
use super::routes::Request;
use crate::api::{Document, DocumentKind, Documents, Error, GROUPS, Media, Offer};
use crate::catalog::{Catalog, ServedCatalog};

/// The documents of the catalog that is served.
pub(super) struct CurrentDocuments {
    metrics_max: usize,
    current: ArcSwap<Documents>,
    /// Held while the documents of a new catalog are made.
    making: Mutex<()>,
}

impl CurrentDocuments {
    /// Documents that list at most so many metrics of each group.
    pub(super) fn new(catalog: &Catalog, metrics_max: usize) -> Self {
        let first = Documents::of(GROUPS, catalog, metrics_max, None);
        Self { metrics_max, current: ArcSwap::from_pointee(first), making: Mutex::default() }
    }

    /// The documents of the current catalog, or of a newer one.
    pub(super) fn of(&self, served: &ServedCatalog) -> Arc<Documents> {
        let (catalog, current) = (served.current(), self.current.load_full());
        if current.generation() >= catalog.generation() {
            return current;
        }
        let _one = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.load_full();
        if current.generation() >= catalog.generation() {
            return current;
        }
        let next = Arc::new(Documents::of(GROUPS, &catalog, self.metrics_max, Some(&current)));
        self.current.store(Arc::clone(&next));
        next
    }
}

/// A document in the form that the client asks for.
pub(super) fn serve(document: &Document, request: &Request<'_>) -> Result<Response, Error> {
    if let Some(aggregated) = &document.aggregated {
        let mut response = match request.media(Offer::Groups)? {
            Media::Aggregated => conditional(aggregated, request, "public"),
            Media::Json | Media::Table(_) => reply::document(document, request.is_pretty()),
        };
        response.headers_mut().insert(header::VARY, header::HeaderValue::from_static("Accept"));
        return Ok(response);
    }
    request.media(Offer::Json)?;
    Ok(match document.kind {
        DocumentKind::Discovery | DocumentKind::Version => reply::document(document, request.is_pretty()),
        DocumentKind::Openapi => hashed(document, request),
    })
}

/// A client that names the document's hash in the URL may cache it forever, since other content has another URL. An
/// outdated hash gets the current content, because the aggregator refuses redirects.
fn hashed(document: &Document, request: &Request<'_>) -> Response {
    let hash = request.raw.uri.query().and_then(|query| query.strip_prefix("hash="));
    let is_current = hash == Some(document.hash());
    let cache = if is_current { "public, max-age=31536000, immutable" } else { reply::UNCACHED };
    conditional(document, request, cache)
}

/// 304 for a client that has the document already.
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
