//! Pauses between attempts that grow, with jitter.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// Doubles from `first` to `longest`, each with ±25 % jitter so that replicas do not retry in lockstep.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
    random: RandomState,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0, random: RandomState::new() }
    }

    /// The pause after one more failure.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.first.saturating_mul(2_u32.saturating_pow(self.failures)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        self.jitter(pause)
    }

    /// `pause` with jitter.
    pub(super) fn jitter(&self, pause: Duration) -> Duration {
        // A new state for each call differs in its keys.
        let random = RandomState::new().hash_one(self.random.hash_one(pause)) % 1001;
        let random = f64::from(u32::try_from(random).unwrap_or_default()) / 1000.0;
        pause.mul_f64(0.75 + random / 2.0)
    }

    /// After a success.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
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
