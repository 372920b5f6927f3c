//! After what time the reads of a query come again.
//!
//! HPAs on one query keep their distances: whatever they are, each read comes again a period later. So the period is the
//! shortest time after which all reads of late were followed by another. Readers that keep no beat have none,
//! nor has a server that sees only some of the reads.

use std::time::Duration;

use tokio::time::Instant;

use super::{READER_BEAT_MAX, TOLERANCE};

/// Reads remembered: a period is believed when it was seen twice, with up to eight reads in each.
const READS: usize = 16;

/// Reads that come together are one: what is fetched for the first answers them all. Longer than a read may be late, lest one
/// be taken for its neighbour.
const TOGETHER: Duration = Duration::from_millis(LATE_MAX as u64 + 50);

/// A longer one is not worth waiting for until it was seen twice.
const PERIOD_MAX: u128 = READER_BEAT_MAX.as_millis() + LATE_MAX as u128;

/// How late a read may be, at most. Measured at an HPA: 0.75 s.
const LATE_MAX: u32 = 800;

/// So many reads must have come again: those that one of several servers sees may do so by chance, more seldom than once in
/// a hundred times.
const REPEATS_MIN: usize = 6;

/// The last reads.
#[derive(Debug, Default)]
pub(super) struct Reads {
    last: Option<Instant>,
    /// The times between them in milliseconds, the latest first; zero where there was none.
    gaps: [u32; READS - 1],
    /// How long after each of them others came together with it, in milliseconds; the latest first.
    widths: [u16; READS],
    period: Option<u32>,
    /// Whether all that are remembered keep it, not just the latest.
    is_old: bool,
}

impl Reads {
    /// Takes note of a read.
    pub(super) fn read(&mut self, now: Instant) {
        if let Some(last) = self.last {
            let gap = now.saturating_duration_since(last);
            if gap <= TOGETHER {
                self.widths[0] = u16::try_from(gap.as_millis()).unwrap_or(u16::MAX);
                return;
            }
            self.widths.rotate_right(1);
            self.widths[0] = 0;
            self.gaps.rotate_right(1);
            self.gaps[0] = u32::try_from(gap.as_millis()).unwrap_or(u32::MAX);
        }
        self.last = Some(now);
        let period = period(&self.ages().collect::<Vec<_>>());
        (self.period, self.is_old) =
            (period.map(|(period, _)| period), period.is_some_and(|(_, is_old)| is_old));
    }

    /// The time after which reads come again.
    pub(super) fn period(&self) -> Option<Duration> {
        self.period.map(|period| Duration::from_millis(period.into()))
    }

    /// Whether all reads that are remembered keep the period, not just the latest.
    pub(super) fn is_old(&self) -> bool {
        self.is_old
    }

    /// The first read expected after one at `demand` that what answers for `window` after that does not answer, or not all that
    /// come together with it.
    pub(super) fn first_after(&self, demand: Instant, window: Duration) -> Option<Instant> {
        let next = |(read, width)| {
            let unanswered = (demand + window).checked_sub(width)?;
            self.last_of(read, unanswered.max(demand))?.checked_add(self.period()?)
        };
        self.latest().filter_map(next).min()
    }

    /// The last one that is expected until then.
    pub(super) fn last_until(&self, time: Instant) -> Option<Instant> {
        self.latest().filter_map(|(read, _)| self.last_of(read, time)).max()
    }

    /// When a read comes last until that time.
    fn last_of(&self, read: Instant, time: Instant) -> Option<Instant> {
        let period = self.period()?;
        let periods = time.saturating_duration_since(read).as_millis() / period.as_millis();
        read.checked_add(period.checked_mul(u32::try_from(periods).ok()?)?)
    }

    /// The reads of the last period, with how long after each others came together with it.
    fn latest(&self) -> impl Iterator<Item = (Instant, Duration)> {
        let period = self.period().unwrap_or(Duration::MAX);
        // Those before have come again, and that is newer.
        let is_latest = move |age: &Duration| *age + TOGETHER < period;
        let ages = self.ages().map(|age| Duration::from_millis(age.into())).take_while(is_latest);
        ages.zip(self.widths).filter_map(|(age, width)| {
            Some((self.last?.checked_sub(age)?, Duration::from_millis(width.into())))
        })
    }

    /// How long before the last one they were, in milliseconds; the last one first.
    fn ages(&self) -> impl Iterator<Item = u32> {
        let before = self.gaps.iter().take_while(|gap| **gap > 0).scan(0_u32, |age, gap| {
            *age = age.saturating_add(*gap);
            Some(*age)
        });
        std::iter::once(0).chain(before)
    }
}

/// The shortest time after which each of the reads came again, if there are two such times to look at; and whether all did.
fn period(ages: &[u32]) -> Option<(u32, bool)> {
    let oldest = *ages.last()?;
    let is_seen_twice = |age: &&u32| **age <= oldest / 2 + late(**age);
    let mut candidates =
        ages.iter().skip(1).take_while(is_seen_twice).filter(|age| u128::from(**age) <= PERIOD_MAX);
    candidates.find_map(|candidate| repeated(ages, *candidate))
}

/// The least time between reads that came `candidate` apart, if all did, or at least all of the last period; and whether all did.
fn repeated(ages: &[u32], candidate: u32) -> Option<(u32, bool)> {
    let oldest = *ages.last()?;
    let (late, mut repeats, mut least, mut is_old) = (late(candidate), 0, candidate, true);
    for age in ages {
        let then = age.saturating_add(candidate);
        if then > oldest.saturating_add(late) {
            break;
        }
        let before = ages.iter().min_by_key(|before| before.abs_diff(then))?;
        if before.abs_diff(then) > late {
            // Before an HPA joined, or kept another period, it was otherwise. What counts is the last period, as a whole.
            if *age < candidate {
                return None;
            }
            is_old = false;
            break;
        }
        (repeats, least) = (repeats + 1, least.min(before - age));
    }
    (repeats >= REPEATS_MIN).then_some((least, is_old))
}

/// How far a read may be from a period after another.
fn late(period: u32) -> u32 {
    (period / TOLERANCE).min(LATE_MAX)
}
