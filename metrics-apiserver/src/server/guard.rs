//! Who asks, and may they: checked for every request, as one connection carries the requests of many users.

use actix_web::{HttpRequest, HttpResponse};

use super::Shared;
use super::connection::Peer;
use crate::api::{Error, Status};
use crate::authn::{Credentials, UserInfo};
use crate::authz::{Attributes, Grant, attributes_of};

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
pub(super) async fn authorize<'a>(
    shared: &Shared,
    user: &'a UserInfo,
    wanted: &'a Attributes,
) -> Result<Grant<'a>, Error> {
    shared.authorizer.authorize(user, wanted).await.map_err(|source| Error::Authz {
        source,
        user: user.name.clone(),
        wanted: Box::new(wanted.clone()),
    })
}

/// Takes note of a right that was used, unless the client asked for what there is not.
pub(super) fn used(shared: &Shared, grant: &Grant<'_>, answered: &Result<HttpResponse, Error>) {
    if came_to_something(answered) {
        shared.authorizer.used(grant);
    }
}

/// Whether anything but the client kept it from an answer.
fn came_to_something(answered: &Result<HttpResponse, Error>) -> bool {
    let code = match answered {
        Ok(response) => response.status().as_u16(),
        Err(error) => Status::from(error).code(),
    };
    !(400..500).contains(&code)
}

#[cfg(test)]
mod tests {
    use super::{Error, HttpResponse, came_to_something};
    use crate::api::{LimitError, RequestError};

    #[test]
    fn a_right_was_used_unless_the_client_asked_for_what_there_is_not() {
        for (answered, expected) in [
            (Ok(HttpResponse::Ok().finish()), true),
            (Ok(HttpResponse::NotModified().finish()), true),
            (Ok(HttpResponse::NotFound().finish()), false),
            (Err(Error::from(RequestError::UnknownPath)), false),
            (Err(RequestError::Timeout.into()), false),
            (Err(LimitError::Deadline.into()), true),
        ] {
            assert_eq!(came_to_something(&answered), expected, "{answered:?}");
        }
    }
}
