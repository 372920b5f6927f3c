//! Authentication. The methods, in the order of every aggregated API server: headers of the front proxy, client
//! certificate, bearer token, anonymous.
//!
//! The first method that succeeds decides. If credentials are not valid and no later method succeeds, the request is
//! refused; it is not treated as anonymous.

mod ca;
mod chain;
mod configmap;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod headers;
mod options;
mod refusals;
pub(crate) mod review;
mod review_queue;
mod reviews;
mod store;
mod token;
mod trust;
mod user;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::Instant;

pub use ca::CaError;
pub use chain::Chain;
pub use error::AuthnError;
pub use options::{FrontProxyOptions, Options, TrustError};
pub use refusals::Refusals;
pub use review::ReviewError;
pub use reviews::Reviews;
pub use store::TrustStore;
pub use token::TokenReviewer;
pub use user::UserInfo;

pub(crate) use review_queue::{ReviewQueue, Wanted};
pub(crate) use reviews::ReviewCounts;

use ca::VerifyError;
use refusals::Cause;
use trust::{FrontProxy, Trust};

/// The credentials of a request, not verified.
#[derive(Debug, Clone, Copy)]
pub struct Credentials<'a> {
    /// The other end of the connection, for the log.
    pub peer: Option<SocketAddr>,
    /// The certificates of the TLS connection, if the peer sent any.
    pub chain: Option<&'a Chain>,
    /// All headers of the request, in order: (name in **lower case**, value). A repeated header is repeated here. None
    /// is left out: extra attributes match by prefix, and impersonation headers are refused.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// Identifies the user of a request.
#[derive(Debug)]
pub struct Authenticator {
    trust: Arc<TrustStore>,
    tokens: TokenReviewer,
    refusals: Refusals,
}

impl Authenticator {
    /// An authenticator that uses the CAs that `trust` holds at the time of each request.
    pub fn new(trust: Arc<TrustStore>, tokens: TokenReviewer, refusals: Refusals) -> Self {
        Self { trust, tokens, refusals }
    }

    /// The user of the request; `None` without credentials. A token is reviewed by the deadline, or not at all.
    pub async fn authenticate(
        &self,
        credentials: &Credentials<'_>,
        deadline: Instant,
    ) -> Result<Option<UserInfo>, AuthnError> {
        if headers::asks_to_impersonate(credentials.headers) {
            return Err(AuthnError::ImpersonationRefused);
        }
        let by_certificate = self.by_certificate(credentials).await;
        if let Ok(Some(user)) = by_certificate {
            return Ok(Some(user.authenticated()));
        }
        match headers::bearer_token(credentials.headers) {
            Some(token) => Ok(Some(self.tokens.review(token, deadline).await?.authenticated())),
            None => by_certificate,
        }
    }

    /// Whether the peer with these certificates is the front proxy, which speaks for many users.
    pub async fn is_front_proxy(&self, chain: &Chain) -> bool {
        let trust = self.trust.current();
        // Where every user could be the front proxy, nobody is treated as such.
        !trust.is_shared() && matches!(front_proxy(&trust, chain).await, Ok(Some(_)))
    }

    /// Ends the reviews in flight, for when there are no more requests.
    pub async fn shutdown(&self) {
        self.tokens.shutdown().await;
    }

    /// The user that the peer names as the front proxy, or else the user of the peer's own certificate.
    async fn by_certificate(&self, credentials: &Credentials<'_>) -> Result<Option<UserInfo>, AuthnError> {
        let Some(chain) = credentials.chain else { return Ok(None) };
        let trust = self.trust.current();
        let by_front_proxy = match by_front_proxy(&trust, chain, credentials).await {
            Ok(Some(user)) => return Ok(Some(user)),
            other => other.err(),
        };
        let by_client_ca = match by_client_ca(&trust, chain).await {
            Ok(Some(user)) => return Ok(Some(user)),
            other => other.err(),
        };
        if by_front_proxy.is_none() && by_client_ca.is_none() {
            return Ok(None);
        }
        let cause = Cause::of(by_front_proxy.iter().chain(&by_client_ca));
        let reasons = [
            by_front_proxy.map(|error| format!("as the front proxy: {error}")),
            by_client_ca.map(|error| format!("as a user: {error}")),
        ];
        let reason = reasons.into_iter().flatten().collect::<Vec<_>>().join("; ");
        self.refusals.record(credentials.peer, cause, &reason);
        Err(AuthnError::Untrusted { reason })
    }
}

/// The user in the headers, if the peer is the front proxy.
async fn by_front_proxy(
    trust: &Trust,
    chain: &Chain,
    credentials: &Credentials<'_>,
) -> Result<Option<UserInfo>, VerifyError> {
    let proxy = front_proxy(trust, chain).await?;
    Ok(proxy.and_then(|proxy| proxy.names.user(credentials.headers)))
}

/// The front proxy, if there is one; an error if the peer is not it.
async fn front_proxy<'a>(trust: &'a Trust, chain: &Chain) -> Result<Option<&'a FrontProxy>, VerifyError> {
    let Some(proxy) = &trust.front_proxy else {
        return Ok(None);
    };
    let subject = proxy.ca.verify(chain).await?;
    if !proxy.names.allows(&subject.common_name) {
        return Err(VerifyError::NameNotAllowed(subject.common_name.clone()));
    }
    Ok(Some(proxy))
}

/// The user of the client certificate.
async fn by_client_ca(trust: &Trust, chain: &Chain) -> Result<Option<UserInfo>, VerifyError> {
    let Some(ca) = &trust.client else {
        return Ok(None);
    };
    ca.verify(chain).await?.user().map(Some).ok_or(VerifyError::NoCommonName)
}

#[cfg(test)]
mod tests;
