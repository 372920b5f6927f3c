//! A request within its deadline: authentication, authorization, the limit on requests in flight, and then what its
//! URL asks for. Every request is checked, since one connection carries requests of many users.

use hyper::{HeaderMap, Method, header};
use jiff::Timestamp;
use tokio::time::{Instant, timeout};

use super::connections::Peer;
use super::reply::{self, Response};
use super::routes::{Request, Route};
use super::shared::Shared;
use super::{documents, health, large, metrics};
use crate::api::{self, Error, LimitError, Offer, Parameters, RequestError, pretty};
use crate::authn::{Credentials, UserInfo};
use crate::authz::attributes_of;

/// An answer may grow by this fraction while it waits for memory: numbers change their length.
const GROWTH: usize = 8;

/// Answers a request. Errors in the URL are reported after authorization. `stays` is whether the connection does: that
/// of an authenticated client, whatever the answer is, if there is a place for it.
pub(super) async fn handle(
    shared: &Shared,
    peer: &Peer,
    request: &Request<'_>,
    stays: &mut bool,
) -> Result<Response, Error> {
    let Request { raw, target } = request;
    if raw.headers.contains_key(header::UPGRADE) {
        return Err(RequestError::Upgrade.into());
    }
    // Of reviews and queries together: a kube-apiserver that hangs costs no more than a Prometheus that does.
    let deadline = Instant::now() + shared.limits.read_deadline(target.timeout());
    let handled = timeout(shared.limits.deadline(target.timeout()), async {
        let user = authenticate(shared, peer, &raw.headers, deadline).await?;
        *stays = user.as_ref().is_some_and(|user| peer.place.is_of_user(&user.name));
        let user = user.unwrap_or_else(UserInfo::anonymous);
        let Parameters { watch, field_selector, .. } = &target.parameters;
        let wanted = attributes_of(raw.method.as_str(), raw.uri.path(), *watch, field_selector);
        let authorized = shared.parts.authorizer.authorize(&user, &wanted, deadline).await;
        if let Err(source) = authorized {
            return Err(Error::Authz { source, user: user.name, wanted: Box::new(wanted) });
        }
        // Only now: a request that is refused takes no permit from one that is allowed.
        let _permit = if target.is_probe() { None } else { shared.limits.admit(&user)? };
        if !matches!(raw.method, Method::GET | Method::HEAD) {
            return Err(RequestError::Method.into());
        }
        serve(shared, request, &user, deadline).await
    });
    handled.await.unwrap_or_else(|_| Err(LimitError::Deadline.into()))
}

/// The user of the request; `None` without credentials.
async fn authenticate(
    shared: &Shared,
    peer: &Peer,
    headers: &HeaderMap,
    deadline: Instant,
) -> Result<Option<UserInfo>, Error> {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let credentials = Credentials { peer: Some(peer.address), chain: peer.chain.as_ref(), headers: &headers };
    Ok(shared.parts.authenticator.authenticate(&credentials, deadline).await?)
}

async fn serve(
    shared: &Shared,
    request: &Request<'_>,
    user: &UserInfo,
    deadline: Instant,
) -> Result<Response, Error> {
    let readiness = &shared.parts.readiness;
    match request.target.route.as_ref().map_err(Clone::clone)? {
        Route::Read(wanted) => read(shared, request, wanted, &user.name, deadline).await,
        Route::Document(document) => documents::serve(document, request),
        Route::Probe(endpoint, None) => Ok(health::all(readiness, *endpoint, request)),
        Route::Probe(endpoint, Some(check)) => health::one(readiness, *endpoint, check),
        Route::Metrics => Ok(metrics::scrape(&shared.parts.registry, &shared.large, &user.name).await),
    }
}

async fn read(
    shared: &Shared,
    request: &Request<'_>,
    wanted: &api::Request,
    user: &str,
    deadline: Instant,
) -> Result<Response, Error> {
    let media = request.media(Offer::Values)?;
    // An indented body is made from one that is not.
    let copies = if request.is_pretty() { 2 } else { 1 };
    let mut response = wanted.answer(&shared.parts.answers, deadline).await?;
    let bytes = copies * response.bytes(media);
    let free = shared.large.try_acquire(user, bytes);
    let permit = if let Some(permit) = free {
        permit
    } else {
        // While it waits, it holds none of the values, which the cache may have dropped already.
        drop(response);
        let bytes = bytes + bytes / GROWTH;
        let permit = shared.large.acquire(user, bytes, deadline).await?;
        response = wanted.answer(&shared.parts.answers, deadline).await?;
        if copies * response.bytes(media) > bytes {
            return Err(LimitError::TooLarge.into());
        }
        permit
    };
    let body = response.encode(media, Timestamp::now());
    let body = if request.is_pretty() { pretty(&body) } else { body };
    Ok(reply::json(large::hold(body, permit)))
}
