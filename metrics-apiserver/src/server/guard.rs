//! Who asks, and may they: checked for every request, as one connection carries the requests of many users.

use actix_web::HttpRequest;
use actix_web::http::header;

use super::Shared;
use super::connection::Peer;
use crate::api::Error;
use crate::authn::{Credentials, UserInfo};
use crate::authz::attributes_of;

/// The user who sent the request.
pub(super) async fn authenticate(shared: &Shared, request: &HttpRequest) -> Result<UserInfo, Error> {
    let headers: Vec<(&str, &[u8])> =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let peer_certificates =
        request.conn_data::<Peer>().map(|peer| peer.certificates.as_slice()).unwrap_or_default();
    let shown = Credentials { peer_certificates, headers: &headers };
    Ok(shared.authenticator.authenticate(&shown).await?)
}

/// Whether the request shows a certificate or a token, good or bad.
pub(super) fn shows_credentials(request: &HttpRequest) -> bool {
    let has_certificate = request.conn_data::<Peer>().is_some_and(|peer| !peer.certificates.is_empty());
    has_certificate || request.headers().contains_key(header::AUTHORIZATION)
}

/// Refuses what `user` has no right to.
pub(super) async fn authorize(shared: &Shared, request: &HttpRequest, user: &UserInfo) -> Result<(), Error> {
    let uri = request.uri();
    let wanted = attributes_of(request.method().as_str(), uri.path(), uri.query().unwrap_or_default());
    match shared.authorizer.authorize(user, &wanted).await {
        Ok(()) => Ok(()),
        Err(source) => Err(Error::Authz { source, user: user.name.clone(), wanted: Box::new(wanted) }),
    }
}
