//! The rhythm of a query's reads, and when to fetch so that the next read finds a young reading. Memory's queries have one,
//! and so have the rights that reads are reviewed for.
//!
//! Not every read matters: while a reading is young enough it answers any number of them. What matters is the first
//! read that the reading of the last one could not answer: a *demand*. A fetch sent `lead` before a demand answers all
//! reads until `maxAge - lead` after it; the first read later than that is the next demand. So one HPA makes a demand
//! at each of its reads, fifty HPAs that read within two seconds make one together, and reads that come all the time
//! make one each `maxAge - lead`: the fewest fetches there can be. Failed reads count like any other.
//!
//! The *beat* is learned from the gaps between demands. A server that is one of several sees only some of the reads, at
//! multiples of the beat, so the beat is the gap of which the most other gaps are multiples. HPAs come late, never
//! early: the shortest such gap is taken, since a reading fetched early only waits.
//!
//! Several HPAs on one query may make demands at distances that no beat explains. But each of their reads comes again
//! a period later, and the next demand is the first of those that a reading fetched for the last one cannot answer.

mod period;

use std::time::Duration;

use tokio::time::Instant;

use period::Reads;

/// Gaps remembered: a minute and a half at an HPA's beat of 15 s, after which a changed beat is the only one known.
const GAPS: usize = 6;

/// How far a gap may be from a multiple of the beat, in parts of the beat. Measured at an HPA: 15.01 s to 15.75 s.
const TOLERANCE: u32 = 10;

/// Beats without a read before a query's fetches end. Of three replicas each gets a third of the reads, so that
/// twelve beats in a row pass one by in 0.8 of a hundred cases.
const SILENT_BEATS_MAX: u32 = 12;

/// A reader that comes less often keeps no beat: HPAs read every 15 s, patient ones every minute.
const READER_BEAT_MAX: Duration = Duration::from_secs(60);

/// The same for gaps between demands, which are longer where a server sees only some of the reads: one of three that take
/// turns sees every third, and that may be late.
const GAP_MAX: Duration = Duration::from_secs(190);

/// How long a query without a beat is kept, unread.
const UNREAD_MAX: Duration = Duration::from_secs(600);

/// What a read is to the rhythm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The reading fetched for the last demand can answer it.
    Hit,
    /// A demand that something was fetched ahead of.
    Predicted,
    /// A demand that nothing was fetched ahead of.
    Unpredicted,
}

/// When the last demand came, and how often the ones before.
#[derive(Debug, Default)]
pub(crate) struct Rhythm {
    demand: Option<Instant>,
    /// In milliseconds, the latest last.
    gaps: [u32; GAPS],
    beat: Option<Duration>,
    /// Whether every gap is about a whole number of beats.
    is_even: bool,
    reads: Reads,
    /// How long a reading fetched for the last demand answers reads after it.
    window: Duration,
    /// When the next demand is expected that is not provided for.
    next: Option<Instant>,
    /// Beats since the last demand that have been provided for,
    provided: u32,
    /// and whether a fetch was begun for any of them.
    fetched: bool,
    /// Of the last demand.
    max_age: Duration,
}

impl Rhythm {
    /// Takes note of a read now. A fetch takes about `lead`, margin included. If what is there is too old for the read, and
    /// nothing is on the way (`is_missed`), it is a demand, whatever it follows.
    pub(crate) fn read(&mut self, now: Instant, max_age: Duration, lead: Duration, is_missed: bool) -> Role {
        let window = max_age.saturating_sub(lead);
        let gap = self.demand.map(|demand| now.saturating_duration_since(demand));
        if !is_missed && gap.is_some_and(|gap| gap <= window) {
            self.reads.read(now);
            return Role::Hit;
        }
        (self.demand, self.max_age, self.window) = (Some(now), max_age, window);
        let role = if self.fetched { Role::Predicted } else { Role::Unpredicted };
        (self.provided, self.fetched) = (0, false);
        match gap {
            Some(gap)
                if gap <= self.beat().map_or_else(|| self.gap_max(), |beat| beat * SILENT_BEATS_MAX) =>
            {
                self.learn(gap);
            }
            // The first read, or the first after a long silence: whoever reads now may have another beat.
            _ => (self.gaps, self.beat, self.is_even, self.reads) = Default::default(),
        }
        self.reads.read(now);
        self.next = self.after(now);
        role
    }

    /// When the next demand is expected that is not provided for; none if there is no beat.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next.filter(|_| self.provided < SILENT_BEATS_MAX)
    }

    /// The last read that the reading for the next demand is to answer, as far as is known.
    pub(crate) fn last(&self) -> Option<Instant> {
        let next = self.next()?;
        let last = self.period().and_then(|_| self.reads.last_until(next + self.window));
        Some(last.map_or(next, |last| last.max(next)))
    }

    /// When the fetch for the next demand is to be sent.
    pub(crate) fn due(&self, lead: Duration) -> Option<Instant> {
        self.next()?.checked_sub(lead)
    }

    /// The fetch for the next demand was begun.
    pub(crate) fn fetched(&mut self) {
        self.skip();
        self.fetched = true;
    }

    /// The next demand needs no fetch.
    pub(crate) fn skip(&mut self) {
        self.provided += 1;
        self.next = self.next.and_then(|next| self.after(next));
    }

    /// How early, besides the time a fetch takes, it should be sent. A twelfth of the beat, so that from 10 s on an HPA that was
    /// late (by 0.75 s at most) may be in time again; as far as the reading stays young, for `max_age`, long enough to wait
    /// for a late reader.
    pub(crate) fn margin(&self, max_age: Duration) -> Duration {
        let wanted = self.beat().unwrap_or_default() / 12;
        wanted.clamp(Duration::from_millis(100), Duration::from_secs(1)).min(max_age / 4)
    }

    /// How long a reading of this query can be of use to its readers, unread.
    pub(crate) fn silence_max(&self) -> Duration {
        self.beat().map_or(UNREAD_MAX, |beat| beat * SILENT_BEATS_MAX).max(self.max_age)
    }

    /// Whether fetches run ahead of the reads.
    pub(crate) fn is_steady(&self) -> bool {
        self.next.is_some() && self.provided < SILENT_BEATS_MAX
    }

    /// When a demand is expected after one at that time.
    fn after(&self, demand: Instant) -> Option<Instant> {
        match self.period() {
            Some(_) => self.reads.first_after(demand, self.window),
            None => demand.checked_add(self.beat?),
        }
    }

    /// Where reads come again sooner than a reading is too old, all that matters is how often it is. What only the latest
    /// reads keep may be chance, of those that one of several servers sees: it does not count where the beat explains all gaps.
    fn period(&self) -> Option<Duration> {
        let is_believed = self.reads.is_old() || !self.is_even;
        self.reads.period().filter(|period| is_believed && *period > self.window)
    }

    fn beat(&self) -> Option<Duration> {
        self.period().or(self.beat)
    }

    fn learn(&mut self, gap: Duration) {
        self.gaps.rotate_left(1);
        if let Some(latest) = self.gaps.last_mut() {
            *latest = u32::try_from(gap.as_millis()).unwrap_or(u32::MAX).max(1);
        }
        self.beat = beat(&self.gaps).filter(|beat| *beat <= self.gap_max());
        let beat = self.beat.map_or(0, |beat| u32::try_from(beat.as_millis()).unwrap_or(u32::MAX));
        self.is_even = beat > 0 && self.gaps.iter().all(|gap| *gap == 0 || multiple(*gap, beat).is_some());
    }

    /// A demand comes with the first read after `maxAge`.
    fn gap_max(&self) -> Duration {
        GAP_MAX.max(self.max_age.saturating_add(READER_BEAT_MAX))
    }
}

/// The gap of which the most gaps are multiples, or half or a third of one if that explains still more.
fn beat(gaps: &[u32]) -> Option<Duration> {
    let known = || gaps.iter().copied().filter(|gap| *gap > 0);
    let latest = known().next_back()?;
    let candidates = [1, 2, 3].into_iter().flat_map(|part| known().map(move |gap| gap / part));
    let explained = |beat: u32| known().filter(|gap| multiple(*gap, beat).is_some()).count();
    // Of the best the one that is true now, and of those the longest: every multiple of 15 s is one of 5 s as well.
    let merit = |beat: &u32| (explained(*beat), multiple(latest, *beat).is_some(), *beat);
    let best = candidates.filter(|beat| *beat > 0).max_by_key(merit)?;
    let shortest = known().filter_map(|gap| Some(gap / multiple(gap, best)?)).min()?;
    Some(Duration::from_millis(shortest.into()))
}

/// How many beats a gap is, if it is about a whole number of them.
fn multiple(gap: u32, beat: u32) -> Option<u32> {
    let beats = (gap.saturating_add(beat / 2)) / beat;
    let off = gap.abs_diff(beats.saturating_mul(beat));
    (beats > 0 && off <= beat / TOLERANCE).then_some(beats)
}

#[cfg(test)]
mod tests;
