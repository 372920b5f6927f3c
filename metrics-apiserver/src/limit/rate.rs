//! A rate limit: a token bucket.
//!
//! Stored as the time at which the bucket is full again, so nothing has to be refilled.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

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
        self.take_ready_by(Instant::now()).is_some()
    }

    /// Takes a token, waiting for it; takes none and is false if there will be none by `deadline`. Waiters are served
    /// first in, first out; one that gives up loses its token.
    pub(crate) async fn take_by(&self, deadline: Instant) -> bool {
        let ready_at = self.take_ready_by(deadline);
        if let Some(at) = ready_at {
            sleep_until(at).await;
        }
        ready_at.is_some()
    }

    /// Takes the next token, and says when it is there, if that is by `latest`.
    fn take_ready_by(&self, latest: Instant) -> Option<Instant> {
        let now = Instant::now();
        // A panic cannot leave an `Instant` half written.
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let after = (*full_at).max(now) + self.interval;
        let wait = (after - now).saturating_sub(self.interval * self.burst);
        let ready_at = now + wait;
        (wait.is_zero() || ready_at <= latest).then(|| {
            *full_at = after;
            ready_at
        })
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

    #[tokio::test(start_paused = true)]
    async fn one_waits_for_a_token_only_if_it_comes_before_the_deadline() {
        let bucket = TokenBucket::new(Duration::from_secs(1), 2);
        let began = Instant::now();
        assert_eq!(taken(&bucket), 2);
        assert!(!bucket.take_by(began + Duration::from_millis(999)).await);
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert!(bucket.take_by(began + Duration::from_secs(1)).await);
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        assert!(!bucket.try_take());
    }
}
