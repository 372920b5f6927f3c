//! A limit on repeated log lines: what clients can cause over and over must not fill the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::TokenBucket;

/// Lets a few lines pass, then one per interval, and counts the others.
#[derive(Debug)]
pub(crate) struct LogLimiter {
    lines: TokenBucket,
    /// Not logged since the last line.
    suppressed: AtomicU64,
}

impl LogLimiter {
    /// `burst` lines at once, and one per `interval`.
    pub(crate) fn new(interval: Duration, burst: u32) -> Self {
        Self { lines: TokenBucket::new(interval, burst), suppressed: AtomicU64::new(0) }
    }

    /// How many were not logged since the last line, if this one is to be logged.
    pub(crate) fn next_line(&self) -> Option<u64> {
        if self.lines.try_take() {
            Some(self.suppressed.swap(0, Ordering::Relaxed))
        } else {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lines_beyond_the_burst_are_counted_until_the_next_one() {
        let limiter = LogLimiter::new(Duration::from_secs(60), 2);
        let lines: Vec<_> = (0..5).map(|_| limiter.next_line()).collect();
        assert_eq!(lines, [Some(0), Some(0), None, None, None]);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!((limiter.next_line(), limiter.next_line()), (Some(3), None));
    }
}
