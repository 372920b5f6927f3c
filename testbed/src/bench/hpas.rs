//! When HPAs read: each on its own beat, as measured at a real controller.

use super::count;
use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

/// A controller never looks before its period is over; half its looks come within this.
const DELAY: Duration = Duration::from_millis(10);
/// How much later than that the latest look comes.
const DELAY_SPREAD: Duration = Duration::from_millis(740);
/// With `DELAY + DELAY_SPREAD · u^80`, u even between 0 and 1, half of all gaps are 15.01 s, 99 % within 15.34 s, and
/// none is above 15.75 s: what 495 gaps of 30 HPAs on Kubernetes 1.37 showed.
const DELAY_POWER: f64 = 80.0;

/// How the HPAs of one question lie in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// They were created together and read together; the questions are spread over the beat.
    Together,
    /// Each is spread over the beat.
    Apart,
}

/// Simulated HPAs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beat {
    pub(super) period: Duration,
    pub(super) hpas: usize,
    pub(super) questions: usize,
    pub(super) layout: Layout,
}

impl Beat {
    /// One HPA for each question.
    pub(super) fn one_each(period: Duration, questions: usize) -> Self {
        Self { period, hpas: questions, questions, layout: Layout::Together }
    }

    /// As many HPAs as make `rate` reads a second.
    pub(super) fn at_rate(rate: usize, period: Duration, questions: usize, layout: Layout) -> Self {
        let hpas = rate * usize::try_from(period.as_secs()).unwrap_or(1);
        Self { period, hpas, questions, layout }
    }

    /// The mean time between two reads of one HPA.
    pub(super) fn mean(&self) -> Duration {
        self.period + DELAY + DELAY_SPREAD.div_f64(DELAY_POWER + 1.0)
    }

    fn question(&self, hpa: usize) -> usize {
        match self.layout {
            Layout::Together => hpa * self.questions / self.hpas,
            Layout::Apart => hpa % self.questions,
        }
    }
}

/// A read to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Planned {
    /// Since the beginning.
    pub(super) at: Duration,
    pub(super) question: usize,
}

/// All reads in the order of their times; never ends. The same each time: the chance in it is drawn from a fixed seed.
#[derive(Debug)]
pub(super) struct Schedule {
    beat: Beat,
    next: BinaryHeap<Reverse<(Duration, usize)>>,
    random: u64,
}

impl Schedule {
    /// The HPAs' first reads are spread evenly over the first beat.
    pub(super) fn new(beat: Beat) -> Self {
        let first = |hpa: usize| Reverse((beat.period.mul_f64(count(hpa) / count(beat.hpas)), hpa));
        Self { beat, next: (0..beat.hpas).map(first).collect(), random: 0x9E37_79B9_7F4A_7C15 }
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
        let again = at + self.beat.period + self.delay();
        self.next.push(Reverse((again, hpa)));
        Some(Planned { at, question: self.beat.question(hpa) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(15);

    #[test]
    fn the_gaps_of_one_hpa_are_those_of_a_real_controller() {
        let times: Vec<_> =
            Schedule::new(Beat::one_each(PERIOD, 1)).take(5_001).map(|read| read.at).collect();
        let mut gaps: Vec<_> =
            times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]).as_millis()).collect();
        gaps.sort_unstable();
        assert_eq!((gaps[0], gaps[2_500]), (15_010, 15_010));
        assert!((15_250..15_450).contains(&gaps[4_950]), "99 % within {}", gaps[4_950]);
        assert!((15_500..=15_750).contains(&gaps[4_999]), "longest {}", gaps[4_999]);
        let mean = times[5_000].as_secs_f64() / 5_000.0;
        assert!((mean - Beat::one_each(PERIOD, 1).mean().as_secs_f64()).abs() < 0.005, "{mean}");
    }

    #[test]
    fn reads_come_in_order_and_at_the_rate_asked_for() {
        for layout in [Layout::Together, Layout::Apart] {
            let beat = Beat::at_rate(333, PERIOD, 100, layout);
            let reads: Vec<_> =
                Schedule::new(beat).take_while(|read| read.at < Duration::from_secs(60)).collect();
            assert!(reads.is_sorted_by_key(|read| read.at));
            assert!((19_900..=19_980).contains(&reads.len()), "{}", reads.len());
            let of_one = reads.iter().filter(|read| read.question == 7).count();
            assert!((196..=204).contains(&of_one), "{of_one} of the fifty HPAs of one question");
        }
    }

    #[test]
    fn hpas_created_together_read_together() {
        let reads = |layout| {
            let schedule = Schedule::new(Beat::at_rate(333, PERIOD, 100, layout));
            let reads: Vec<_> =
                schedule.take(4_995).filter(|read| read.question == 7).map(|read| read.at).collect();
            reads.last().unwrap().saturating_sub(reads[0])
        };
        assert!(reads(Layout::Together) < Duration::from_secs(1));
        assert!(reads(Layout::Apart) > Duration::from_secs(14));
    }
}
