//! Authentication and authorization: of every request, since one connection carries requests of many users.

use hyper::http::request::Parts;

use super::Shared;
use super::peer::Peer;
use crate::api::Error;
use crate::authn::{Credentials, UserInfo};
use crate::authz::{Attributes, attributes_of};

/// The user of the request; `None` without credentials.
pub(super) async fn authenticate(
    shared: &Shared,
    peer: &Peer,
    request: &Parts,
) -> Result<Option<UserInfo>, Error> {
    let headers: Vec<(&str, &[u8])> =
        request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let shown = Credentials { peer_certificates: &peer.certificates, headers: &headers };
    Ok(shared.authenticator.authenticate(&shown).await?)
}

/// What the request needs a right to.
pub(super) fn wanted(request: &Parts) -> Attributes {
    let uri = &request.uri;
    attributes_of(request.method.as_str(), uri.path(), uri.query().unwrap_or_default())
}

/// An error if `user` has no right to `wanted`.
pub(super) async fn authorize(shared: &Shared, user: &UserInfo, wanted: &Attributes) -> Result<(), Error> {
    shared.authorizer.authorize(user, wanted).await.map_err(|source| Error::Authz {
        source,
        user: user.name.clone(),
        wanted: Box::new(wanted.clone()),
    })
}
