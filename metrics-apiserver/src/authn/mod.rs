//! Who asks. Four ways in, in the order of every aggregated API server: the front proxy's headers, a
//! client certificate, a bearer token, and nobody.
//!
//! The first way that succeeds wins. A way that was tried and failed is remembered: if no later one
//! succeeds the request is refused, never taken for an anonymous one.

mod ca;
mod chain;
mod configmap;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod headers;
mod options;
pub(crate) mod review;
mod reviews;
mod token;
mod trust;
mod unauthenticated;

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

pub use ca::CaError;
pub use options::{FrontProxyOptions, Options, TrustError};
pub use review::ReviewError;
pub use reviews::Reviews;
pub use token::TokenReviewer;
pub use trust::TrustStore;

pub(crate) use reviews::ReviewCounts;
pub(crate) use unauthenticated::UnauthenticatedReviewLimiter;

use chain::Chain;
use trust::Trust;

/// The group of every user who showed who they are.
const AUTHENTICATED: &str = "system:authenticated";
/// The group of the user who did not.
const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The name of the user who did not.
const ANONYMOUS: &str = "system:anonymous";

/// A user as Kubernetes sees one: what a `SubjectAccessReview` is asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// The user's name, such as `system:serviceaccount:default:web`.
    pub name: String,
    /// The user's unique id; empty if there is none.
    pub uid: String,
    /// The user's groups, in the order they were shown.
    pub groups: Vec<String>,
    /// What else is known, by key; keys are lower-case if they came in headers.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    /// Who shows nothing.
    pub fn anonymous() -> Self {
        Self { name: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..Self::default() }
    }

    /// Whether this may be anybody, whoever says so: we, or kube-apiserver of one it let through.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.name == ANONYMOUS || self.groups.iter().any(|group| group == UNAUTHENTICATED)
    }
}

/// What a request shows of who asks: nothing here is believed before it is checked.
#[derive(Debug, Clone, Copy)]
pub struct Credentials<'a> {
    /// The certificates of the TLS connection, leaf first, as the peer sent them; empty without one.
    pub peer_certificates: &'a [CertificateDer<'static>],
    /// Every header of the request, in order: (name in **lower case**, value). A repeated header is repeated
    /// here. The whole list is wanted: prefixes are matched, and impersonation headers must be seen to be refused.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// Why a request is not let in: a 401, but for [`TooManyReviews`](Self::TooManyReviews) and
/// [`ImpersonationRefused`](Self::ImpersonationRefused).
#[derive(Debug, thiserror::Error)]
pub enum AuthnError {
    /// A certificate was shown that no CA vouches for, and nothing else that is good.
    #[error("the client certificate is not trusted: {reason}")]
    Untrusted {
        /// What each CA set said of it. For the log.
        reason: String,
    },
    /// The Kubernetes API says that the token is not valid.
    #[error("the bearer token is not valid")]
    InvalidToken,
    /// The token could not be checked. The request is refused all the same: an unchecked token is no token.
    #[error("the bearer token could not be reviewed")]
    ReviewFailed {
        /// Why not. For the log.
        #[source]
        source: Arc<ReviewError>,
    },
    /// The token is not known, and too many of these are being reviewed, or were lately: a 429. Nothing is said of the
    /// token.
    #[error("too many unknown bearer tokens, please try again later")]
    TooManyReviews,
    /// The request asks to act as somebody else. Ignoring that would run it with more rights than it asked for.
    #[error("impersonation is not served here, send the request through kube-apiserver instead")]
    ImpersonationRefused,
}

/// Finds out who sent a request.
#[derive(Debug)]
pub struct Authenticator {
    trust: Arc<TrustStore>,
    tokens: TokenReviewer,
}

impl Authenticator {
    /// An authenticator that trusts what `trust` holds at the time of each request.
    pub fn new(trust: Arc<TrustStore>, tokens: TokenReviewer) -> Self {
        Self { trust, tokens }
    }

    /// Who sent the request: a user in the group `system:authenticated`, whoever the front proxy says, or `None` if it
    /// shows nothing at all.
    pub async fn authenticate(&self, shown: &Credentials<'_>) -> Result<Option<UserInfo>, AuthnError> {
        if headers::asks_to_impersonate(shown.headers) {
            return Err(AuthnError::ImpersonationRefused);
        }
        let refusal = match self.by_certificate(shown).await {
            Ok(Some(user)) => return Ok(Some(authenticated(user))),
            Ok(None) => None,
            Err(refusal) => Some(refusal),
        };
        match self.by_token(shown).await? {
            Some(user) => Ok(Some(authenticated(user))),
            None => refusal.map_or(Ok(None), Err),
        }
    }

    /// The first two ways: the peer is the front proxy and names a user, or is a user itself.
    async fn by_certificate(&self, shown: &Credentials<'_>) -> Result<Option<UserInfo>, AuthnError> {
        let Some(chain) = Chain::new(shown.peer_certificates) else {
            return Ok(None);
        };
        let trust = self.trust.current();
        let mut reasons = Vec::new();
        match by_front_proxy(&trust, &chain, shown).await {
            Ok(Some(user)) => return Ok(Some(user)),
            Ok(None) => {}
            Err(reason) => reasons.push(format!("as the front proxy: {reason}")),
        }
        match by_client_ca(&trust, &chain).await {
            Ok(Some(user)) => return Ok(Some(user)),
            Ok(None) => {}
            Err(reason) => reasons.push(format!("as a user: {reason}")),
        }
        if reasons.is_empty() {
            return Ok(None);
        }
        Err(AuthnError::Untrusted { reason: reasons.join("; ") })
    }

    /// The third way.
    async fn by_token(&self, shown: &Credentials<'_>) -> Result<Option<UserInfo>, AuthnError> {
        match headers::bearer_token(shown.headers) {
            Some(token) => self.tokens.review(token).await.map(Some),
            None => Ok(None),
        }
    }
}

/// The user named by the headers, if the peer is the front proxy.
async fn by_front_proxy(
    trust: &Trust,
    chain: &Chain<'_>,
    shown: &Credentials<'_>,
) -> Result<Option<UserInfo>, ca::Refused> {
    let Some(proxy) = &trust.front_proxy else {
        return Ok(None);
    };
    let subject = proxy.ca.verify(chain).await?;
    if !proxy.names.allows(&subject.common_name) {
        return Err(ca::Refused::NameNotAllowed(subject.common_name.clone()));
    }
    Ok(proxy.names.user(shown.headers))
}

/// The user the certificate itself names.
async fn by_client_ca(trust: &Trust, chain: &Chain<'_>) -> Result<Option<UserInfo>, ca::Refused> {
    let Some(ca) = &trust.client else {
        return Ok(None);
    };
    Ok(ca.verify(chain).await?.user())
}

/// The user with the group that everybody has who is somebody: RBAC's `system:discovery` is bound to it, and
/// the aggregator's own requests come with no group.
fn authenticated(mut user: UserInfo) -> UserInfo {
    let settled = |group: &String| group == AUTHENTICATED || group == UNAUTHENTICATED;
    if user.name != ANONYMOUS && !user.groups.iter().any(settled) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    user
}

#[cfg(test)]
mod tests;
