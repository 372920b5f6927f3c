//! Limits the reviews that unauthenticated clients cause: anybody who reaches the port can send an invented token, or
//! nothing and an invented path, and each costs kube-apiserver a review.
//!
//! Go's delegated clients are held to the same rate, but share it: there, unauthenticated clients make everybody
//! wait. Here their reviews are limited apart from all others. A review beyond the limit is refused at once, since a
//! waiting one would take a connection from other clients.

use std::sync::Arc;
use std::time::Duration;

use super::ReviewError;
use crate::limit::{ConcurrencyLimiter, Permit, TokenBucket};

/// Reviews at once. A busy kube-apiserver takes some hundred milliseconds for one, so these are some hundred per
/// second; one that does not answer holds no more than these for the ten seconds a review may take.
const REVIEWS_MAX: usize = 32;

/// Reviews per second, and at once after a pause: as in every aggregated API server.
const REVIEWS_PER_SECOND: u32 = 200;
const BURST: u32 = 400;

const INTERVAL: Duration = Duration::from_micros(1_000_000 / REVIEWS_PER_SECOND as u64);

/// The limit on the reviews of one kind.
#[derive(Debug)]
pub(crate) struct UnauthenticatedReviewLimiter {
    concurrency: Arc<ConcurrencyLimiter>,
    rate: TokenBucket,
}

impl UnauthenticatedReviewLimiter {
    pub(crate) fn new() -> Self {
        let concurrency = ConcurrencyLimiter::new(REVIEWS_MAX, REVIEWS_MAX);
        Self { concurrency, rate: TokenBucket::new(INTERVAL, BURST) }
    }

    /// A permit for one review, unless there are or were too many.
    pub(crate) fn permit(&self) -> Result<Permit, ReviewError> {
        // In this order: a review that is refused for the concurrency takes no token.
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
