//! Authentication and authorization: of every request, since one connection carries requests of many users.

use hyper::http::request::Parts;

use super::Shared;
use super::peer::Peer;
use super::reply::Response;
use crate::api::{Error, Status};
use crate::authn::{Credentials, UserInfo};
use crate::authz::{Attributes, Grant, attributes_of};

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
pub(super) fn used(shared: &Shared, grant: &Grant<'_>, answered: &Result<Response, Error>) {
    if came_to_something(answered) {
        shared.authorizer.used(grant);
    }
}

/// Whether anything but the client kept it from an answer.
fn came_to_something(answered: &Result<Response, Error>) -> bool {
    let code = match answered {
        Ok(response) => response.status().as_u16(),
        Err(error) => Status::from(error).code(),
    };
    !(400..500).contains(&code)
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::{Error, came_to_something};
    use crate::api::{LimitError, RequestError};
    use crate::server::reply::empty;

    #[test]
    fn a_right_was_used_unless_the_client_asked_for_what_there_is_not() {
        for (answered, expected) in [
            (Ok(empty(StatusCode::OK)), true),
            (Ok(empty(StatusCode::NOT_MODIFIED)), true),
            (Ok(empty(StatusCode::NOT_FOUND)), false),
            (Err(Error::from(RequestError::UnknownPath)), false),
            (Err(RequestError::Timeout.into()), false),
            (Err(LimitError::Deadline.into()), true),
        ] {
            assert_eq!(came_to_something(&answered), expected, "{answered:?}");
        }
    }
}
