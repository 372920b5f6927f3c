//! Which queries are slow: those leave some of a server's turns to others ([`turns`](super::turns)).
//!
//! Told by how long the last one was under way once its turn had come, whatever became of it: the wait for the turn is not
//! the query's fault. A failure says nothing of a query that was not slow, so only an answer in time takes the mark away.

use std::time::Duration;

use tokio::time::Instant;

use super::concurrency::Lane;
use super::marks::Marks;

/// As long as an HPA's read waits (`--read-deadline`).
const SLOW_MIN: Duration = Duration::from_secs(1);

/// The queries that were slow the last time.
#[derive(Debug, Default)]
pub(super) struct SlowQueries(Marks);

/// A query under way; noted when dropped.
pub(super) struct UnderWay<'a> {
    slow: &'a SlowQueries,
    promql: &'a str,
    slow_at: Instant,
    is_answered: bool,
}

impl SlowQueries {
    /// How long a query should be expected to take; one that is not known is not slow.
    pub(super) fn pace(&self, promql: &str) -> Lane {
        if self.0.has(promql) { Lane::Slow } else { Lane::Quick }
    }

    /// A query is sent now. Where it may take less than two seconds, half of that is slow, so that one that times out is.
    pub(super) fn sent<'a>(&'a self, promql: &'a str, allowed: Duration) -> UnderWay<'a> {
        let slow_at = Instant::now() + SLOW_MIN.min(allowed / 2);
        UnderWay { slow: self, promql, slow_at, is_answered: false }
    }
}

impl UnderWay<'_> {
    /// It was answered.
    pub(super) fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let is_slow = Instant::now() >= self.slow_at;
        if is_slow || self.is_answered {
            self.slow.0.set(self.promql, is_slow);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_query_is_slow_once_it_took_long_and_until_it_is_answered_in_time() {
        let (slow, allowed) = (SlowQueries::default(), Duration::from_secs(10));
        assert_eq!(slow.pace("a"), Lane::Quick, "nothing is known yet");
        let given_up = slow.sent("a", allowed);
        advance(SLOW_MIN).await;
        drop(given_up);
        assert_eq!((slow.pace("a"), slow.pace("b")), (Lane::Slow, Lane::Quick));
        drop(slow.sent("a", allowed));
        assert_eq!(slow.pace("a"), Lane::Slow, "a failure tells nothing");
        slow.sent("a", allowed).answered();
        assert_eq!(slow.pace("a"), Lane::Quick);
        let late = slow.sent("a", allowed);
        advance(SLOW_MIN).await;
        late.answered();
        assert_eq!(slow.pace("a"), Lane::Slow, "an answer that took long");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_times_out_is_slow_however_little_time_it_had() {
        let (slow, allowed) = (SlowQueries::default(), Duration::from_millis(200));
        let given_up = slow.sent("a", allowed);
        advance(allowed * 9 / 10).await;
        drop(given_up);
        assert_eq!(slow.pace("a"), Lane::Slow);
    }
}
