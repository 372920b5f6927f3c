//! Bearer tokens, reviewed by the Kubernetes API.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::{Api, Client};
use moka::future::Cache;
use sha2::{Digest, Sha256};

use super::error::AuthnError;
use super::review::{self, ReviewError};
use super::reviews::{ReviewCounts, Reviews};
use super::unauthenticated::UnauthenticatedReviewLimiter;
use super::user::UserInfo;

/// Cached reviews. With more clients than this, some are reviewed more often.
const MAX_REVIEWS: u64 = 4096;
/// How long a token is known after a review that found it valid. The limit on reviews for unauthenticated clients does
/// not apply to known tokens, so a client that sends one request a minute is served while others send invalid tokens.
const KNOWN_TTL: Duration = Duration::from_secs(600);

/// Reviews tokens and caches the results.
pub struct TokenReviewer {
    api: Api<TokenReview>,
    /// `None`: the token is not valid. Failed reviews are not cached.
    reviews: Cache<[u8; 32], Option<UserInfo>>,
    /// Tokens that were valid in their last review.
    known: Cache<[u8; 32], ()>,
    /// Limits the reviews of all other tokens.
    unauthenticated: UnauthenticatedReviewLimiter,
    secret: [u8; 32],
    counts: ReviewCounts,
}

impl TokenReviewer {
    /// A reviewer that caches results for `ttl` (`--authentication-token-webhook-cache-ttl`). Fails if the system has
    /// no random numbers.
    pub fn new(client: Client, ttl: Duration, reviews: &Reviews) -> Result<Self, rustls::Error> {
        let mut secret = [0; 32];
        rustls::crypto::ring::default_provider()
            .secure_random
            .fill(&mut secret)
            .map_err(rustls::Error::from)?;
        Ok(Self {
            api: Api::all(client),
            reviews: Cache::builder().max_capacity(MAX_REVIEWS).time_to_live(ttl).build(),
            known: Cache::builder().max_capacity(MAX_REVIEWS).time_to_live(KNOWN_TTL).build(),
            unauthenticated: UnauthenticatedReviewLimiter::new(),
            secret,
            counts: reviews.token.clone(),
        })
    }

    /// The owner of the token. Concurrent requests with the same token share one review.
    pub(super) async fn review(&self, token: &[u8]) -> Result<UserInfo, AuthnError> {
        // Valid tokens are ASCII.
        let token = str::from_utf8(token).map_err(|_| AuthnError::InvalidToken)?;
        let key = self.key(token);
        match self.reviews.try_get_with(key, self.review_now(key, token)).await {
            Ok(owner) => owner.ok_or(AuthnError::InvalidToken),
            Err(source) if matches!(*source, ReviewError::RateLimited) => {
                self.counts.refused.inc();
                Err(AuthnError::TooManyReviews)
            }
            Err(source) => Err(AuthnError::ReviewFailed { source }),
        }
    }

    async fn review_now(&self, key: [u8; 32], token: &str) -> Result<Option<UserInfo>, ReviewError> {
        let is_known = self.known.contains_key(&key);
        let _permit = if is_known { None } else { Some(self.unauthenticated.permit()?) };
        let review = TokenReview {
            spec: TokenReviewSpec { token: Some(token.to_owned()), audiences: None },
            ..TokenReview::default()
        };
        let answer = review::create(&self.api, &review, &self.counts).await?;
        let owner = answer.status.map(owner).ok_or(ReviewError::NoStatus)?;
        match owner {
            Some(_) => self.known.insert(key, ()).await,
            None => self.known.invalidate(&key).await,
        }
        Ok(owner)
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
