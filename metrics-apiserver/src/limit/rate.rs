//! A rate limit: a token bucket.
//!
//! Stored as the time at which the bucket is full again, so nothing has to be refilled.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// One token per `interval`, and at most `burst` saved up. Full at first.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    interval: Duration,
    burst: u32,
    full_at: Mutex<Instant>,
}

impl TokenBucket {
    /// A full bucket.
    pub(crate) fn new(interval: Duration, burst: u32) -> Self {
        Self { interval, burst, full_at: Mutex::new(Instant::now()) }
    }

    /// Takes a token, if there is one.
    pub(crate) fn try_take(&self) -> bool {
        let now = Instant::now();
        // A panic cannot leave an `Instant` half written.
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let after = (*full_at).max(now) + self.interval;
        let is_within = after - now <= self.interval * self.burst;
        if is_within {
            *full_at = after;
        }
        is_within
    }

    /// Takes a token even if there is none yet, and returns when there is one.
    pub(crate) fn reserve(&self) -> Instant {
        let now = Instant::now();
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let at = full_at.checked_sub(self.interval * (self.burst - 1)).map_or(now, |at| at.max(now));
        *full_at = (*full_at).max(now) + self.interval;
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &TokenBucket) -> usize {
        std::iter::repeat_with(|| bucket.try_take()).take_while(|taken| *taken).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_then_so_many_per_second() {
        let bucket = TokenBucket::new(Duration::from_millis(5), 400);
        assert_eq!(taken(&bucket), 400);
        tokio::time::advance(Duration::from_millis(4)).await;
        assert_eq!(taken(&bucket), 0);
        tokio::time::advance(Duration::from_millis(996)).await;
        assert_eq!(taken(&bucket), 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_reserved_for_when_it_comes() {
        let bucket = TokenBucket::new(Duration::from_millis(10), 3);
        let now = Instant::now();
        let reserved: Vec<_> = (0..5).map(|_| (bucket.reserve() - now).as_millis()).collect();
        assert_eq!(reserved, [0, 0, 0, 10, 20]);
        assert!(!bucket.try_take());
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_bucket_saves_no_more_than_the_burst() {
        let bucket = TokenBucket::new(Duration::from_secs(10), 3);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(taken(&bucket), 3);
    }
}
