//! When HPAs read: at the intervals that were measured at a real controller.

use super::count;
use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

/// A controller never reads before its interval is over; half of its reads come within this.
const DELAY: Duration = Duration::from_millis(10);
/// How much later than that the latest read comes.
const DELAY_SPREAD: Duration = Duration::from_millis(740);
/// With `DELAY + DELAY_SPREAD · u^80`, u even between 0 and 1, half of all gaps are 15.01 s, 99 % within 15.34 s, and
/// none is above 15.75 s: what 495 gaps of 30 HPAs on Kubernetes 1.37 showed.
const DELAY_POWER: f64 = 80.0;

/// How the HPAs of one query lie in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// They were created together and read together; the queries are spread over the interval.
    Together,
    /// Each is spread over the interval.
    Apart,
}

/// Simulated HPAs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hpas {
    pub(super) interval: Duration,
    pub(super) number: usize,
    pub(super) queries: usize,
    pub(super) layout: Layout,
}

impl Hpas {
    /// One HPA for each query.
    pub(super) fn one_each(interval: Duration, queries: usize) -> Self {
        Self { interval, number: queries, queries, layout: Layout::Together }
    }

    /// As many HPAs as make `rate` reads a second.
    pub(super) fn at_rate(rate: usize, interval: Duration, queries: usize, layout: Layout) -> Self {
        let number = rate * usize::try_from(interval.as_secs()).unwrap_or(1);
        Self { interval, number, queries, layout }
    }

    /// The mean time between two reads of one HPA.
    pub(super) fn mean(&self) -> Duration {
        self.interval + DELAY + DELAY_SPREAD.div_f64(DELAY_POWER + 1.0)
    }

    fn query(&self, hpa: usize) -> usize {
        match self.layout {
            Layout::Together => hpa * self.queries / self.number,
            Layout::Apart => hpa % self.queries,
        }
    }
}

/// A read to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Planned {
    /// Since the beginning.
    pub(super) at: Duration,
    pub(super) query: usize,
}

/// All reads in the order of their times; never ends. The same each time: the chance in it is drawn from a fixed seed.
#[derive(Debug)]
pub(super) struct Schedule {
    hpas: Hpas,
    next: BinaryHeap<Reverse<(Duration, usize)>>,
    random: u64,
}

impl Schedule {
    /// The HPAs' first reads are spread evenly over the first interval.
    pub(super) fn new(hpas: Hpas) -> Self {
        let first = |hpa: usize| Reverse((hpas.interval.mul_f64(count(hpa) / count(hpas.number)), hpa));
        Self { hpas, next: (0..hpas.number).map(first).collect(), random: 0x9E37_79B9_7F4A_7C15 }
    }

    fn delay(&mut self) -> Duration {
        // xorshift: enough for a jitter.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let draw = u32::try_from(self.random >> 32).unwrap_or_default();
        DELAY + DELAY_SPREAD.mul_f64((f64::from(draw) / f64::from(u32::MAX)).powf(DELAY_POWER))
    }
}

impl Iterator for Schedule {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        let Reverse((at, hpa)) = self.next.pop()?;
        let again = at + self.hpas.interval + self.delay();
        self.next.push(Reverse((again, hpa)));
        Some(Planned { at, query: self.hpas.query(hpa) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(15);

    #[test]
    fn the_gaps_of_one_hpa_are_those_of_a_real_controller() {
        let times: Vec<_> =
            Schedule::new(Hpas::one_each(INTERVAL, 1)).take(5_001).map(|read| read.at).collect();
        let mut gaps: Vec<_> =
            times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]).as_millis()).collect();
        gaps.sort_unstable();
        assert_eq!((gaps[0], gaps[2_500]), (15_010, 15_010));
        assert!((15_250..15_450).contains(&gaps[4_950]), "99 % within {}", gaps[4_950]);
        assert!((15_500..=15_750).contains(&gaps[4_999]), "longest {}", gaps[4_999]);
        let mean = times[5_000].as_secs_f64() / 5_000.0;
        assert!((mean - Hpas::one_each(INTERVAL, 1).mean().as_secs_f64()).abs() < 0.005, "{mean}");
    }

    #[test]
    fn reads_come_in_order_and_at_the_rate_asked_for() {
        for layout in [Layout::Together, Layout::Apart] {
            let hpas = Hpas::at_rate(333, INTERVAL, 100, layout);
            let reads: Vec<_> =
                Schedule::new(hpas).take_while(|read| read.at < Duration::from_secs(60)).collect();
            assert!(reads.is_sorted_by_key(|read| read.at));
            assert!((19_900..=19_980).contains(&reads.len()), "{}", reads.len());
            let of_one = reads.iter().filter(|read| read.query == 7).count();
            assert!((196..=204).contains(&of_one), "{of_one} of the fifty HPAs of one query");
        }
    }

    #[test]
    fn hpas_created_together_read_together() {
        let reads = |layout| {
            let schedule = Schedule::new(Hpas::at_rate(333, INTERVAL, 100, layout));
            let reads: Vec<_> =
                schedule.take(4_995).filter(|read| read.query == 7).map(|read| read.at).collect();
            reads.last().unwrap().saturating_sub(reads[0])
        };
        assert!(reads(Layout::Together) < Duration::from_secs(1));
        assert!(reads(Layout::Apart) > Duration::from_secs(14));
    }
}
