//! Bearer tokens, which the Kubernetes API reviews for us.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::{Api, Client};
use moka::future::Cache;
use sha2::{Digest, Sha256};

use super::review::{self, ReviewError};
use super::{AuthnError, ReviewCounts, Reviews, UnauthenticatedReviewLimiter, UserInfo};

/// Reviews remembered: more callers than that within one lifetime are reviewed more often.
const MAX_REVIEWS: u64 = 4096;
/// How long after its last good review a token counts as known: a client that comes each minute, as a scraper does, is let
/// in while others show invented tokens. A token that is not valid any more has one review by this.
const KNOWN_FOR: Duration = Duration::from_secs(600);

/// Asks the Kubernetes API who owns a token, and remembers the answer for a short time.
pub struct TokenReviewer {
    api: Api<TokenReview>,
    /// `None`: the token is not valid. Failures to review are not in here.
    reviews: Cache<[u8; 32], Option<UserInfo>>,
    /// Tokens that were valid when they were reviewed last.
    known: Cache<[u8; 32], ()>,
    /// For the reviews of all others.
    unauthenticated: UnauthenticatedReviewLimiter,
    secret: [u8; 32],
    counts: ReviewCounts,
}

impl TokenReviewer {
    /// A reviewer that believes an answer for `lifetime` (`--authentication-token-webhook-cache-ttl`).
    /// The error means that the machine has no random numbers.
    pub fn new(client: Client, lifetime: Duration, reviews: &Reviews) -> Result<Self, rustls::Error> {
        let mut secret = [0; 32];
        rustls::crypto::ring::default_provider()
            .secure_random
            .fill(&mut secret)
            .map_err(rustls::Error::from)?;
        Ok(Self {
            api: Api::all(client),
            reviews: Cache::builder().max_capacity(MAX_REVIEWS).time_to_live(lifetime).build(),
            known: Cache::builder().max_capacity(MAX_REVIEWS).time_to_live(KNOWN_FOR).build(),
            unauthenticated: UnauthenticatedReviewLimiter::new(),
            secret,
            counts: reviews.token.clone(),
        })
    }

    /// Whose token this is. Requests that show the same token at the same time share one review.
    pub(super) async fn review(&self, token: &[u8]) -> Result<UserInfo, AuthnError> {
        // A token is ASCII; what is not can't be sent, and is not valid either.
        let token = str::from_utf8(token).map_err(|_| AuthnError::InvalidToken)?;
        let key = self.key(token);
        let owner = self.reviews.try_get_with(key, self.review_now(key, token)).await;
        match owner {
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

    /// What a token is remembered by: never the token. The secret makes the digests of a memory dump
    /// worthless for guessing.
    fn key(&self, token: &str) -> [u8; 32] {
        let hash = Sha256::new().chain_update(self.secret);
        hash.chain_update(token).finalize().into()
    }
}

impl fmt::Debug for TokenReviewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenReviewer").finish_non_exhaustive()
    }
}

/// The user of a valid token; `None` if it is not valid, or names nobody.
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
