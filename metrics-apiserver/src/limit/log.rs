//! A rate limit of log lines about one thing that anybody can cause.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::rate::TokenBucket;

/// At most one line in an interval, with the number of those suppressed since the last one.
#[derive(Debug)]
pub(crate) struct LogLimiter {
    lines: TokenBucket,
    suppressed: AtomicU64,
}

impl LogLimiter {
    /// The first line is free.
    pub(crate) fn new(interval: Duration) -> Self {
        Self { lines: TokenBucket::new(interval, 1), suppressed: AtomicU64::new(0) }
    }

    /// How many lines were suppressed since the last one, if this one is not.
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
    async fn one_line_in_an_interval_has_the_number_suppressed() {
        let interval = Duration::from_secs(60);
        let log = LogLimiter::new(interval);
        assert_eq!(log.next_line(), Some(0));
        assert_eq!((log.next_line(), log.next_line()), (None, None));
        tokio::time::advance(interval).await;
        assert_eq!(log.next_line(), Some(2));
        assert_eq!(log.next_line(), None);
        tokio::time::advance(interval).await;
        assert_eq!(log.next_line(), Some(1));
    }
}
