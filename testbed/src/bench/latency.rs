//! How long reads took.

use super::{
    load::{Read, Verdict},
    millis,
};
use serde::Serialize;
use std::time::Duration;

/// How long reads took, from their planned time on, failed ones included.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    /// How many there were.
    pub reads: usize,
    /// How many got an error.
    pub failed: usize,
    /// How many got a number that was not theirs.
    pub wrong: usize,
    /// Half of them took at most this.
    pub p50_ms: f64,
    /// All but one in ten.
    pub p90_ms: f64,
    /// All but one in a hundred.
    pub p99_ms: f64,
    /// All but one in a thousand.
    pub p999_ms: f64,
    /// The slowest,
    pub max_ms: f64,
    /// and how late it was sent, which is the load generator's part.
    pub max_sent_late_ms: f64,
    /// How late 99 of 100 were sent at most: the load generator's part.
    pub sent_late_p99_ms: f64,
}

impl Latency {
    pub(super) fn of<'a>(reads: impl IntoIterator<Item = &'a Read>) -> Self {
        let reads: Vec<&Read> = reads.into_iter().collect();
        let sorted = |time: fn(&Read) -> Duration| {
            let mut times: Vec<_> = reads.iter().map(|read| time(read)).collect();
            times.sort_unstable();
            times
        };
        let (took, late) = (sorted(|read| read.took), sorted(|read| read.late));
        let verdicts = |verdict| reads.iter().filter(|read| read.verdict == verdict).count();
        Self {
            reads: reads.len(),
            failed: verdicts(Verdict::Failed),
            wrong: verdicts(Verdict::Wrong),
            p50_ms: quantile(&took, 500),
            p90_ms: quantile(&took, 900),
            p99_ms: quantile(&took, 990),
            p999_ms: quantile(&took, 999),
            max_ms: quantile(&took, 1_000),
            max_sent_late_ms: reads
                .iter()
                .max_by_key(|read| read.took)
                .map_or(0.0, |slowest| millis(slowest.late)),
            sent_late_p99_ms: quantile(&late, 990),
        }
    }
}

/// The quantile in milliseconds; 0 without reads.
fn quantile(sorted: &[Duration], per_mille: usize) -> f64 {
    let rank = (sorted.len() * per_mille).div_ceil(1_000);
    sorted.get(rank.saturating_sub(1)).copied().map_or(0.0, millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_time_that_a_read_took() {
        let read = |millis| Read {
            planned: Duration::ZERO,
            late: Duration::from_millis(millis / 100),
            took: Duration::from_millis(millis),
            verdict: if millis == 200 { Verdict::Failed } else { Verdict::Right },
        };
        let reads: Vec<Read> = (1..=200).rev().map(read).collect();
        let latency = Latency::of(&reads);
        let times = [latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.p999_ms, latency.max_ms];
        assert_eq!(times.map(f64::round).map(|time| format!("{time}")), ["100", "180", "198", "200", "200"]);
        assert_eq!(format!("{}", latency.max_sent_late_ms), "2");
        assert_eq!((latency.reads, latency.failed, latency.wrong), (200, 1, 0));
        assert_eq!(format!("{}", Latency::of(&[]).max_ms), "0");
    }
}
