//! Limits reviews for unauthenticated clients. Anybody who reaches the port can send random tokens, or random paths
//! without a token, and each causes a review.
//!
//! In Go's delegated clients all reviews share one rate limit, so unauthenticated clients delay everybody. Here their
//! reviews have a limit of their own. Above it a review is refused at once: a waiting one would occupy a connection.

use std::sync::Arc;
use std::time::Duration;

use super::review::ReviewError;
use crate::limit::{ConcurrencyLimiter, Permit, TokenBucket};

/// Concurrent reviews. A busy kube-apiserver takes about a hundred milliseconds for one, so this allows some hundred
/// per second. While it does not answer, no more reviews than this wait for their deadline.
const REVIEWS_MAX: usize = 32;

/// Reviews per second, and the burst: the values of every aggregated API server.
const REVIEWS_PER_SECOND: u32 = 200;
const BURST: u32 = 400;

const INTERVAL: Duration = Duration::from_micros(1_000_000 / REVIEWS_PER_SECOND as u64);

/// The limit for one kind of reviews.
#[derive(Debug)]
pub(crate) struct UnauthenticatedReviewLimiter {
    concurrency: Arc<ConcurrencyLimiter>,
    rate: TokenBucket,
}

impl UnauthenticatedReviewLimiter {
    /// A limiter with a full token bucket.
    pub(crate) fn new() -> Self {
        let concurrency = ConcurrencyLimiter::new(REVIEWS_MAX, REVIEWS_MAX);
        Self { concurrency, rate: TokenBucket::new(INTERVAL, BURST) }
    }

    /// A permit for one review, or [`ReviewError::RateLimited`].
    pub(crate) fn permit(&self) -> Result<Permit, ReviewError> {
        // In this order, because a review above the concurrency limit must not take a token.
        let permit = self.concurrency.try_acquire(()).ok_or(ReviewError::RateLimited)?;
        if self.rate.try_take() { Ok(permit) } else { Err(ReviewError::RateLimited) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_reviews_run_at_once_and_those_refused_take_no_token() {
        let limiter = UnauthenticatedReviewLimiter::new();
        let permits: Vec<_> = (0..REVIEWS_MAX).map(|_| limiter.permit().unwrap()).collect();
        for _ in 0..2 * BURST {
            assert!(matches!(limiter.permit(), Err(ReviewError::RateLimited)));
        }
        drop(permits);
        assert!(limiter.permit().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_then_so_many_per_second() {
        let limiter = UnauthenticatedReviewLimiter::new();
        let passed = || (0..2 * BURST).filter(|_| limiter.permit().is_ok()).count();
        assert_eq!(passed(), BURST as usize);
        assert_eq!(passed(), 0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(passed(), REVIEWS_PER_SECOND as usize);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(passed(), BURST as usize, "a pause saves no more than the burst");
    }
}
