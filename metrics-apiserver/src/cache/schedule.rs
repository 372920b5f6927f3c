//! When the next read of a query is expected, learned from the reads so far.
//!
//! A reading answers any number of reads while it is young enough, so what counts is the first read that the reading
//! for the last one cannot answer: a *miss*. A query sent `lead` before a miss answers all reads until `maxAge -
//! lead` after it; the first read later than that is the next miss. So one HPA makes one miss per interval, fifty
//! HPAs that read within two seconds make one together, and continuous reads make one per `maxAge - lead`: the fewest
//! queries that `maxAge` allows. A read that a prefetch answers is a miss as well, and so is one that fails.
//!
//! The interval is learned from the gaps between misses. One of several replicas sees only some of an HPA's reads, so
//! gaps may be multiples of the interval. HPAs are late, never early, so the shortest gap counts. One read off the
//! interval (from kubectl, or by the HPA controller right after an HPA was edited) changes nothing that was learned.
//! Until a read is on the interval again, the next miss is expected an interval after it, an interval after the miss
//! before it, and, should the interval have changed, as long after it as it came after that.
//!
//! More than one such read among the last gaps, as several HPAs at odd distances make them, is irregular: a read is
//! expected at any time, and the reading is replaced just before it is too old.

use std::cmp::Reverse;
use std::time::Duration;

use tokio::time::Instant;

/// Gaps remembered: a minute and a half at an HPA's interval of 15 s, after which only the current interval is known.
const GAPS: usize = 6;

/// How far a gap may be from a multiple of the interval, as a fraction of it. An HPA's gaps are 15.01 s to 15.75 s.
const TOLERANCE: u32 = 10;

/// Intervals without a read before predictions stop. Each of three replicas gets a third of the reads, so twelve
/// intervals in a row pass one by in 0.8 % of the cases.
const UNREAD_INTERVALS_MAX: u32 = 12;

/// The longest interval that is learned: HPAs read every 15 s, and every minute where they are configured to be slow.
const INTERVAL_MAX: Duration = Duration::from_secs(60);

/// The longest gap that is learned from: of one minute's reads, one of three replicas may see only every third.
const GAP_MAX: Duration = Duration::from_secs(190);

/// How long a query without a known interval is kept unread.
const UNREAD_MAX: Duration = Duration::from_secs(600);

/// What a read is to the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The reading for the last miss can answer it.
    Hit,
    /// A miss that something was prefetched for, or that is expected at any time.
    Predicted,
    /// A miss that nothing was prefetched for.
    Unpredicted,
}

/// The last misses of a query, and what was learned from them.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    last_miss: Option<Instant>,
    /// Milliseconds between misses, the latest last; 0 where there was none.
    gaps: [u32; GAPS],
    learned: Option<Learned>,
    /// Of the last miss.
    max_age: Duration,
    /// The last expected miss that a prefetch was sent for.
    prefetched: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Learned {
    interval: Duration,
    fit: Fit,
}

/// How well the interval explains the misses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// The last miss came a multiple of the interval after the one before.
    Regular,
    /// The last miss did not, but all others did.
    Stray,
    /// More than one miss did not.
    Irregular,
}

impl Schedule {
    /// Records a read. A query takes about `lead`, margin included. A read that finds the reading too old and no
    /// query in flight (`is_unanswered`) is a miss whatever it follows.
    pub(super) fn read(
        &mut self,
        now: Instant,
        max_age: Duration,
        lead: Duration,
        is_unanswered: bool,
    ) -> Role {
        let gap = self.last_miss.map(|miss| now.saturating_duration_since(miss));
        let window = max_age.saturating_sub(lead);
        if !is_unanswered && gap.is_some_and(|gap| gap <= window) {
            return Role::Hit;
        }
        let is_predicted = self.prefetched > self.last_miss && !self.is_irregular();
        (self.last_miss, self.max_age) = (Some(now), max_age);
        let gap_max = self.interval().map_or_else(|| self.gap_max(), unread_max);
        if let Some(gap) = gap.filter(|gap| *gap <= gap_max) {
            self.learn(gap, window);
        } else {
            // The first read, or the first after a long silence: whoever reads now may have another interval.
            (self.gaps, self.learned) = Default::default();
        }
        if is_predicted || self.is_irregular() { Role::Predicted } else { Role::Unpredicted }
    }

    /// The next expected miss that nothing was prefetched for, and that a reading which is young enough until
    /// `answered` does not answer with `lead` to spare: within that, the next one has to be sent.
    pub(super) fn next_miss(&self, now: Instant, answered: Instant, lead: Duration) -> Option<Instant> {
        let (last, Learned { interval, fit }) = (self.last_miss?, self.learned?);
        let provided = now.max(answered.checked_sub(lead)?).max(self.prefetched.unwrap_or(now));
        let after = |miss: Instant, interval: Duration| {
            let passed = provided.saturating_duration_since(miss).as_millis();
            let intervals = u32::try_from(passed / interval.as_millis().max(1)).ok()?;
            miss.checked_add(interval.checked_mul(intervals + 1)?)
        };
        let next = match fit {
            Fit::Regular => after(last, interval),
            Fit::Stray => {
                let gap = Duration::from_millis(self.gaps[GAPS - 1].into());
                let before = last.checked_sub(gap).and_then(|before| after(before, interval));
                after(last, interval).min(before).min(after(last, gap))
            }
            // A prefetch that failed is sent again an interval later.
            Fit::Irregular => match self.prefetched {
                Some(prefetched) if prefetched >= answered => prefetched.checked_add(interval),
                _ => Some(answered),
            },
        };
        next.filter(|next| *next <= last + unread_max(interval))
    }

    /// A prefetch was sent for this expected miss.
    pub(super) fn prefetched(&mut self, miss: Instant) {
        self.prefetched = Some(miss);
    }

    /// How early a prefetch should complete. A twelfth of the interval, so that from 10 s on an HPA that was late (by
    /// 0.75 s at most) may be on time again; at most a quarter of `max_age`, so that the reading serves late reads as
    /// well.
    pub(super) fn margin(&self, max_age: Duration) -> Duration {
        let wanted = self.interval().unwrap_or_default() / 12;
        wanted.clamp(Duration::from_millis(100), Duration::from_secs(1)).min(max_age / 4)
    }

    /// After how long without a read nobody is expected to read again.
    pub(super) fn unread_max(&self) -> Duration {
        self.interval().map_or(UNREAD_MAX, unread_max).max(self.max_age)
    }

    /// Whether the interval of the reads is known.
    pub(super) fn is_known(&self) -> bool {
        self.learned.is_some()
    }

    fn interval(&self) -> Option<Duration> {
        self.learned.map(|learned| learned.interval)
    }

    fn is_irregular(&self) -> bool {
        self.learned.is_some_and(|learned| learned.fit == Fit::Irregular)
    }

    fn learn(&mut self, gap: Duration, window: Duration) {
        self.gaps.rotate_left(1);
        self.gaps[GAPS - 1] = u32::try_from(gap.as_millis()).unwrap_or(u32::MAX).max(1);
        let window = u32::try_from(window.as_millis()).unwrap_or(u32::MAX);
        self.learned = learned(&self.gaps, window).filter(|learned| learned.interval <= self.gap_max());
    }

    /// The first miss comes with the first read after `maxAge`.
    fn gap_max(&self) -> Duration {
        GAP_MAX.max(self.max_age.saturating_add(INTERVAL_MAX))
    }
}

fn unread_max(interval: Duration) -> Duration {
    interval * UNREAD_INTERVALS_MAX
}

/// The gap, or the half or third of one, of which the most gaps are multiples. Half or a third of a gap that is
/// shorter than the `window` in which a reading answers explains nothing: reads might as well be irregular.
fn learned(gaps: &[u32], window: u32) -> Option<Learned> {
    let gaps = &gaps[gaps.iter().position(|gap| *gap > 0)?..];
    let candidates = (1..=3).flat_map(|part| gaps.iter().map(move |gap| (part, gap / part)));
    let is_candidate = |(part, interval): &(u32, u32)| *part == 1 || *interval >= window.max(1);
    // Of the best, the longest: every multiple of 15 s is one of 5 s as well.
    let rank = |interval: &u32| (strays(gaps, *interval), Reverse(*interval));
    let interval = candidates.filter(is_candidate).map(|(_, interval)| interval).min_by_key(rank)?;
    let fit = match strays(gaps, interval) {
        (2.., _) => Fit::Irregular,
        (_, true) => Fit::Stray,
        (_, false) => Fit::Regular,
    };
    let shortest = gaps.iter().filter_map(|gap| Some(gap / multiple(*gap, interval)?)).min()?;
    Some(Learned { interval: Duration::from_millis(shortest.into()), fit })
}

/// How many misses come off the interval, and whether the last one does. A stray read splits a gap in two, which
/// together are a multiple.
fn strays(gaps: &[u32], interval: u32) -> (usize, bool) {
    let (mut count, mut stray) = (0, None::<u32>);
    for gap in gaps {
        let whole = stray.map(|before| before.saturating_add(*gap));
        let fits = whole.into_iter().chain([*gap]).any(|gap| multiple(gap, interval).is_some());
        stray = (!fits).then_some(*gap);
        count += usize::from(!fits);
    }
    (count, stray.is_some())
}

/// How many intervals a gap is, if it is about a whole number of them.
fn multiple(gap: u32, interval: u32) -> Option<u32> {
    let intervals = gap.saturating_add(interval / 2) / interval;
    let off = gap.abs_diff(intervals.saturating_mul(interval));
    (intervals > 0 && off <= interval / TOLERANCE).then_some(intervals)
}

#[cfg(test)]
mod tests;
