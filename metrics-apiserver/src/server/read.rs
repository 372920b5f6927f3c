//! A read of one of the APIs.

use jiff::Timestamp;
use tokio::time::Instant;

use super::reply::Response;
use super::request::Request;
use super::{Shared, reply};
use crate::api::{self, Error, Offer, pretty};

/// Answers a read in the media type that the client wants.
pub(super) async fn read(
    shared: &Shared,
    request: &Request<'_>,
    wanted: &api::Request,
) -> Result<Response, Error> {
    let media = request.media(Offer::Values)?;
    let deadline = Instant::now() + shared.limits.read_deadline(request.target.timeout());
    let response = wanted.answer(&shared.answers, deadline).await?;
    // An indented body is made from one that is not.
    let copies = if request.is_pretty() { 2 } else { 1 };
    let permit = shared.large.acquire(copies * response.bytes(media), deadline).await?;
    let body = response.encode(media, Timestamp::now());
    let body = if request.is_pretty() { pretty(&body) } else { body };
    Ok(reply::json(permit.hold(body)))
}
