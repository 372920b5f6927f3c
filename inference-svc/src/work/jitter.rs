//! Durations of inferences, uniformly distributed around the configured time.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::config::Fraction;

/// A generator of durations, shared by all threads.
#[derive(Debug)]
pub(super) struct Jitter {
    mean: Duration,
    spread: Fraction,
    state: AtomicU64,
}

/// Constants of `SplitMix64` (Steele, Lea, Flood 2014): a counter with mixed output, random enough for a simulation and
/// free of locks.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
const MIX: [u64; 2] = [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];

impl Jitter {
    /// Durations from `mean · (1 − spread)` to `mean · (1 + spread)`.
    pub(super) fn new(mean: Duration, spread: Fraction) -> Self {
        // A seed per process, so that pods draw different durations.
        Self { mean, spread, state: AtomicU64::new(RandomState::new().hash_one(())) }
    }

    /// The next duration.
    pub(super) fn next(&self) -> Duration {
        self.mean.mul_f64(1.0 + self.spread.get() * (2.0 * self.uniform() - 1.0))
    }

    /// A number from 0 to 1.
    fn uniform(&self) -> f64 {
        let mut bits = self.state.fetch_add(STEP, Ordering::Relaxed);
        bits = (bits ^ (bits >> 30)).wrapping_mul(MIX[0]);
        bits = (bits ^ (bits >> 27)).wrapping_mul(MIX[1]);
        let high = u32::try_from((bits ^ (bits >> 31)) >> 32).unwrap_or(u32::MAX);
        f64::from(high) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::Config;

    fn draws(spread: &str) -> Vec<Duration> {
        let flags = ["inference-svc", "--inference-time=10s", "--jitter", spread];
        let config = Config::parse_from(flags);
        let jitter = Jitter::new(config.inference_time, config.jitter);
        (0..1000).map(|_| jitter.next()).collect()
    }

    #[test]
    fn times_stay_within_the_spread_and_use_all_of_it() {
        let draws = draws("0.1");
        let (min, max) = (draws.iter().min().unwrap(), draws.iter().max().unwrap());
        assert!(*min >= Duration::from_secs(9) && *min < Duration::from_millis(9_200), "{min:?}");
        assert!(*max <= Duration::from_secs(11) && *max > Duration::from_millis(10_800), "{max:?}");
        let mean = draws.iter().sum::<Duration>() / 1000;
        assert!(mean.abs_diff(Duration::from_secs(10)) < Duration::from_millis(100), "{mean:?}");
    }

    #[test]
    fn no_spread_means_the_exact_time() {
        assert!(draws("0").iter().all(|it| *it == Duration::from_secs(10)));
    }
}
