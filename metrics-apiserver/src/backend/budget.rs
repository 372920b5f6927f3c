//! How many queries a server of a backend is sent a second.
//!
//! A pail of tokens that fills at [`QUERIES_PER_SECOND`] and holds [`BURST`]. Kept as the one moment at which it would be
//! full again: nothing has to be refilled.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// 10,000 queries, each asked every 15 s, are 667 a second; half as much again for reads of other rhythms. What is
/// beyond it is a client that makes up queries, not a cluster.
const QUERIES_PER_SECOND: u32 = 1_000;

/// A second's worth: HPAs that were created together read together.
const BURST: u32 = 1_000;

const INTERVAL: Duration = Duration::from_micros(1_000_000 / QUERIES_PER_SECOND as u64);

/// The tokens of one server.
#[derive(Debug)]
pub(super) struct Budget {
    full_at: Mutex<Instant>,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { full_at: Mutex::new(Instant::now()) }
    }

    /// Takes one token, waiting for it if there is none. Given up while waiting, the token is lost: as many as there are
    /// turns at the server, a hundredth of a second's worth.
    pub(super) async fn spend(&self) {
        let ready = self.take(Instant::now());
        sleep_until(ready).await;
    }

    /// Takes one token; says when it may be used.
    fn take(&self, now: Instant) -> Instant {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        *full_at = (*full_at).max(now) + INTERVAL;
        (*full_at - INTERVAL * BURST).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_then_as_many_a_second_as_there_may_be() {
        let budget = Budget::new();
        let began = Instant::now();
        for _ in 0..BURST {
            budget.spend().await;
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
        for _ in 0..QUERIES_PER_SECOND / 10 {
            budget.spend().await;
        }
        assert_eq!(began.elapsed().as_millis() / 10, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn ten_thousand_questions_on_a_beat_of_15_seconds_never_wait() {
        let budget = Budget::new();
        let began = Instant::now();
        for second in 0..30 {
            for _ in 0..=10_000 / 15 {
                budget.spend().await;
            }
            assert_eq!(began.elapsed(), Duration::from_secs(second));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rest_saves_no_more_than_the_burst() {
        let budget = Budget::new();
        tokio::time::advance(Duration::from_secs(3600)).await;
        let now = Instant::now();
        let waits = (0..=BURST).map(|_| budget.take(now) - now).collect::<Vec<_>>();
        assert_eq!(waits[BURST as usize - 1], Duration::ZERO);
        assert_eq!(waits[BURST as usize], INTERVAL);
    }
}
