//! The pause before a retry.

use std::time::Duration;

/// The pause after `doublings` further failures: `first`, doubled each time up to `longest`, with ±25 % jitter so that
/// replicas do not retry in lockstep.
pub(crate) fn backoff(first: Duration, longest: Duration, doublings: u32, random: u64) -> Duration {
    let pause = first.saturating_mul(2_u32.saturating_pow(doublings)).min(longest);
    let jitter = f64::from(u32::try_from(random % 1001).unwrap_or(0)) / 1000.0;
    pause.mul_f64(0.75 + jitter / 2.0)
}
