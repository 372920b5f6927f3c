//! Pauses between attempts that grow, with jitter.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use crate::limit::backoff;

/// Doubles from `first` to `longest`, each with ±25 % jitter so that replicas do not retry in lockstep.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// The pause after one more failure.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = backoff(self.first, self.longest, self.failures, random());
        self.failures = self.failures.saturating_add(1);
        pause
    }

    /// After a success.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// `pause` with the same jitter.
pub(super) fn with_jitter(pause: Duration) -> Duration {
    backoff(pause, pause, 0, random())
}

/// Each state has other keys.
fn random() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(4));
        for seconds in [1.0, 2.0, 4.0, 4.0] {
            let pause = backoff.pause().as_secs_f64();
            assert!((0.75 * seconds..=1.25 * seconds).contains(&pause), "{pause}");
        }
        backoff.reset();
        assert!(backoff.pause() < Duration::from_secs_f64(1.3));
    }
}
