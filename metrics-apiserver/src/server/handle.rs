//! From the route of a request to its handler.

use super::reply::Response;
use super::request::Request;
use super::routes::Route;
use super::{Shared, documents, health, read, scrape};
use crate::api::Error;

/// Answers a request that is authorized.
pub(super) async fn handle(shared: &Shared, request: &Request<'_>) -> Result<Response, Error> {
    match request.target.route.as_ref().map_err(Clone::clone)? {
        Route::Read(wanted) => read::read(shared, request, wanted).await,
        Route::Document(document) => documents::serve(document, request),
        Route::Probe(endpoint, None) => Ok(health::all(&shared.readiness, *endpoint, request)),
        Route::Probe(endpoint, Some(check)) => health::one(&shared.readiness, *endpoint, check),
        Route::Metrics => Ok(scrape::metrics(&shared.registry, &shared.large).await),
    }
}
