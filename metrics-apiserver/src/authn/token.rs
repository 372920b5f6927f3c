//! Bearer tokens, reviewed by the Kubernetes API.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::Client;
use moka::future::Cache;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::error::AuthnError;
use super::review::{self, ReviewError};
use super::review_queue::{ReviewQueue, Wanted};
use super::reviews::{ReviewCounts, Reviews};
use super::user::UserInfo;
use crate::causes::causes;
use crate::limit::LogLimiter;

/// Cached reviews. With more clients than this, some are reviewed more often.
const MAX_REVIEWS: u64 = 4096;
/// One log line about reviews that failed in this time: any client can cause a review.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// How long a token is known after a review that found it valid. Its reviews do not wait for those
/// of unknown tokens, so a client that sends one request a minute is served while others send invalid tokens.
const KNOWN_TTL: Duration = Duration::from_secs(600);

/// Reviews tokens and caches the results.
pub struct TokenReviewer {
    client: Client,
    /// `None`: the token is not valid. Failed reviews are not cached.
    reviews: Cache<[u8; 32], Option<UserInfo>>,
    /// Tokens that were valid in their last review.
    known: Cache<[u8; 32], ()>,
    /// By token; all that are not known together count as one.
    queue: Arc<ReviewQueue<Option<[u8; 32]>, Option<UserInfo>>>,
    secret: [u8; 32],
    counts: ReviewCounts,
    failures: LogLimiter,
}

impl TokenReviewer {
    /// A reviewer that caches results for `ttl` (`--authentication-token-webhook-cache-ttl`). Fails if the system has
    /// no random numbers.
    pub fn new(client: Client, ttl: Duration, reviews: &Reviews) -> Result<Self, rustls::Error> {
        let mut secret = [0; 32];
        rustls::crypto::aws_lc_rs::default_provider()
            .secure_random
            .fill(&mut secret)
            .map_err(rustls::Error::from)?;
        Ok(Self {
            client,
            reviews: Cache::builder().max_capacity(MAX_REVIEWS).time_to_live(ttl).build(),
            known: Cache::builder().max_capacity(MAX_REVIEWS).time_to_live(KNOWN_TTL).build(),
            queue: ReviewQueue::new(reviews.token.clone()),
            secret,
            counts: reviews.token.clone(),
            failures: LogLimiter::new(LOG_INTERVAL, 1),
        })
    }

    /// The owner of the token, which is known or known to be unknown by the deadline. Concurrent requests with the same
    /// token share one review.
    pub(super) async fn review(&self, token: &[u8], deadline: Instant) -> Result<UserInfo, AuthnError> {
        // Valid tokens are ASCII.
        let token = str::from_utf8(token).map_err(|_| AuthnError::InvalidToken)?;
        let key = self.key(token);
        if let Some(owner) = self.reviews.get(&key).await {
            return owner.ok_or(AuthnError::InvalidToken);
        }
        let is_known = self.known.contains_key(&key);
        let by = is_known.then_some(key);
        let wanted = || {
            let review = self.review_now(key, token);
            Wanted { key, by, is_doubtful: move || !is_known, review }
        };
        match self.queue.outcome(wanted, None, deadline).await {
            Ok(owner) => owner.ok_or(AuthnError::InvalidToken),
            Err(source) if matches!(*source, ReviewError::TooMany { .. }) => Err(AuthnError::TooManyReviews),
            Err(source) => {
                // The client gets a 401 and learns no more, so that this is the only place that says why.
                if let Some(suppressed) = self.failures.next_line() {
                    tracing::warn!(error = %causes(&*source), suppressed, "cannot review bearer tokens");
                }
                Err(AuthnError::ReviewFailed { source })
            }
        }
    }

    /// Ends the reviews in flight.
    pub(super) async fn shutdown(&self) {
        self.queue.shutdown().await;
    }

    fn review_now(
        &self,
        key: [u8; 32],
        token: &str,
    ) -> impl Future<Output = Result<Option<UserInfo>, ReviewError>> + Send + use<> {
        let review = TokenReview {
            spec: TokenReviewSpec { token: Some(token.to_owned()), audiences: None },
            ..TokenReview::default()
        };
        let (client, counts) = (self.client.clone(), self.counts.clone());
        let (reviews, known) = (self.reviews.clone(), self.known.clone());
        async move {
            let answer = review::create(&client, &review, &counts).await?;
            let owner = answer.status.map(owner).ok_or(ReviewError::NoStatus)?;
            match owner {
                Some(_) => known.insert(key, ()).await,
                None => known.invalidate(&key).await,
            }
            reviews.insert(key, owner.clone()).await;
            Ok(owner)
        }
    }

    #[cfg(test)]
    pub(super) fn knows(&self, token: &[u8]) -> bool {
        self.known.contains_key(&self.key(str::from_utf8(token).unwrap()))
    }

    /// The cache key: a digest, so that the token is not kept. The secret prevents guessing tokens from digests in a
    /// memory dump.
    fn key(&self, token: &str) -> [u8; 32] {
        Sha256::new().chain_update(self.secret).chain_update(token).finalize().into()
    }
}

impl fmt::Debug for TokenReviewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenReviewer").finish_non_exhaustive()
    }
}

/// The user of a valid token; `None` if the token is not valid, or the review has no user name.
fn owner(status: TokenReviewStatus) -> Option<UserInfo> {
    if status.authenticated != Some(true) {
        return None;
    }
    let user = status.user?;
    Some(UserInfo {
        name: user.username.filter(|name| !name.is_empty())?,
        uid: user.uid.unwrap_or_default(),
        groups: user.groups.unwrap_or_default(),
        extra: user.extra.unwrap_or_default(),
    })
}
