//! Who asks, and may they: checked for every request, as one connection carries the requests of many users.

use actix_web::HttpRequest;

use super::Shared;
use super::connection::Peer;
use crate::api::Error;
use crate::authn::{Credentials, UserInfo};
use crate::authz::{Attributes, attributes_of};

/// The user who sent the request; `None` if it shows nothing.
pub(super) async fn authenticate(shared: &Shared, request: &HttpRequest) -> Result<Option<UserInfo>, Error> {
    let headers: Vec<(&str, &[u8])> =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let peer_certificates =
        request.conn_data::<Peer>().map(|peer| peer.certificates.as_slice()).unwrap_or_default();
    let shown = Credentials { peer_certificates, headers: &headers };
    Ok(shared.authenticator.authenticate(&shown).await?)
}

/// Hears no further request of the connection.
pub(super) fn hang_up(request: &HttpRequest) {
    if let Some(peer) = request.conn_data::<Peer>() {
        peer.line.hang_up();
    }
}

/// What the request asks a right to.
pub(super) fn wanted(request: &HttpRequest) -> Attributes {
    let uri = request.uri();
    attributes_of(request.method().as_str(), uri.path(), uri.query().unwrap_or_default())
}

/// Refuses what `user` has no right to.
pub(super) async fn authorize(shared: &Shared, user: &UserInfo, wanted: &Attributes) -> Result<(), Error> {
    shared.authorizer.authorize(user, wanted).await.map_err(|source| Error::Authz {
        source,
        user: user.name.clone(),
        wanted: Box::new(wanted.clone()),
    })
}
