//! What is known about one query: its last reading, the fetch in flight, and its reads' rhythm.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::singleflight::{Outcome, Waiter};
use super::subscriber::Subscribers;
use super::{QueryCounts, QueryError, Reading, Subscriber};
use crate::rhythm::{Rhythm, Role};
use crate::rules::Query;

/// How long a good reading is kept though nobody reads: the longest hold that a rule may have.
const GOOD_KEPT_MAX: Duration = Duration::from_secs(3600);

/// What a query with one small reading takes, besides its text: measured with ten thousand of them.
pub(super) const ENTRY_BYTES: usize = 1_500;

/// What is to be done for the next read of a query.
#[derive(Debug)]
pub(super) enum Ahead {
    /// Nothing, as far as can be seen now.
    Nothing,
    /// A fetch is to be sent then.
    Later(Instant),
    /// A fetch is to be sent now, and counts here.
    Now(Arc<QueryCounts>),
}

#[derive(Debug)]
pub(super) struct Entry {
    /// Since when it is known: a fetch begun before was for a backend that is forgotten.
    since: Instant,
    last_read: Instant,
    kept: Option<Arc<Reading>>,
    /// The last reading that a rule with a hold called good.
    good: Option<Arc<Reading>>,
    /// What all of it takes in cache, the query's text included.
    bytes: usize,
    /// The same without readings.
    own_bytes: usize,
    flight: Option<Waiter>,
    /// When the flight was begun.
    began_at: Instant,
    /// How the last fetch failed, and when, if it did.
    failed: Option<(Instant, QueryError)>,
    rhythm: Rhythm,
    subscribers: Subscribers,
    /// What the last fetches took at most; the longest are slowly forgotten.
    took: Duration,
    /// Where in the window over which fetches are spread this query has its place, in 256ths.
    place: u8,
}

impl Entry {
    pub(super) fn new(now: Instant, place: u8, query: &Query) -> Self {
        let own_bytes = ENTRY_BYTES + query.promql.len();
        Self {
            since: now,
            last_read: now,
            kept: None,
            good: None,
            bytes: own_bytes,
            own_bytes,
            flight: None,
            began_at: now,
            failed: None,
            rhythm: Rhythm::default(),
            subscribers: Subscribers::default(),
            took: Duration::ZERO,
            place,
        }
    }

    /// Takes note of a read; gives the reading that is young enough for it, and whether it should be fetched anew
    /// although it is: nothing has run ahead of this read, and the reading will be too old for the next ones.
    pub(super) fn read(
        &mut self,
        now: Instant,
        subscriber: &Subscriber,
        max_age: Duration,
        spread: Duration,
    ) -> Option<(Arc<Reading>, bool)> {
        self.last_read = now;
        // Zero means "always ask", even within one tick of the clock; nothing can run ahead of that.
        if max_age.is_zero() {
            return None;
        }
        self.subscribers.read(subscriber, max_age, now, self.rhythm.silence_max());
        let (_, strictest) = self.strictest(now).unwrap_or((subscriber, max_age));
        let lead = self.lead(strictest, spread);
        let is_old = |kept: &Arc<Reading>| now.saturating_duration_since(kept.asked) > max_age;
        let is_missed =
            self.failed.is_none() && self.in_flight().is_none() && self.kept.as_ref().is_some_and(is_old);
        let role = self.rhythm.read(now, max_age, lead, is_missed);
        let kept = self.kept.as_ref()?;
        let age = now.saturating_duration_since(kept.asked);
        let is_ageing = role == Role::Unpredicted && age > max_age.saturating_sub(lead);
        (age <= max_age).then(|| (Arc::clone(kept), is_ageing))
    }

    /// What is to be done for the next read.
    pub(super) fn ahead(&mut self, now: Instant, spread: Duration) -> Ahead {
        let Some((subscriber, max_age)) = self.strictest(now) else { return Ahead::Nothing };
        let (counts, lead) = (Arc::clone(&subscriber.counts), self.lead(max_age, spread));
        // It would be too old when it comes.
        if self.took >= max_age {
            return Ahead::Nothing;
        }
        while let Some(read) = self.rhythm.next() {
            match read.checked_sub(lead) {
                Some(due) if due > now => return Ahead::Later(due),
                // Where the beat is half of what it was, or somebody read in between, what is there may do.
                _ if self.will_do(max_age) => self.rhythm.skip(),
                // One at a time: a query that takes longer than half a beat is asked again when it has landed.
                _ if self.in_flight().is_some() => return Ahead::Nothing,
                _ => return Ahead::Now(counts),
            }
        }
        Ahead::Nothing
    }

    /// A fetch for the next read was begun.
    pub(super) fn fetched_ahead(&mut self) {
        self.rhythm.fetched();
    }

    /// Whether what is kept, or in flight, can answer the next reads as well as what would be fetched for them.
    fn will_do(&self, max_age: Duration) -> bool {
        let kept = self.kept.as_ref().map(|kept| kept.asked);
        let in_flight = self.in_flight().map(|_| self.began_at);
        let last = self.rhythm.last().map(|last| last + self.margin(max_age));
        kept.max(in_flight).zip(last).is_some_and(|(asked, last)| asked + max_age >= last)
    }

    /// How a fetch failed a moment ago, so that it need not be tried again.
    pub(super) fn failed(&self, now: Instant, max_age: Duration) -> Option<&QueryError> {
        let (at, error) = self.failed.as_ref()?;
        (now.saturating_duration_since(*at) < error.kept_for().min(max_age)).then_some(error)
    }

    /// The fetch in flight, if there is one.
    pub(super) fn in_flight(&self) -> Option<&Waiter> {
        self.flight.as_ref().filter(|flight| !flight.is_over())
    }

    pub(super) fn begin_query(&mut self, now: Instant, flight: Waiter) {
        self.flight = Some(flight);
        self.began_at = now;
    }

    /// Keeps what the fetch begun at `began` gave by `now`; a failure leaves the reading before it in place. Gives what is
    /// no longer kept.
    pub(super) fn complete(
        &mut self,
        began: Instant,
        now: Instant,
        outcome: &Outcome,
    ) -> Option<Arc<Reading>> {
        if began < self.since {
            return None;
        }
        self.flight = None;
        match outcome {
            Ok(reading) => {
                let took = now.saturating_duration_since(began);
                // One that took longer than any reading is of use says nothing of the next one, and must not end the fetches
                // ahead until it is forgotten.
                let useful = self.strictest(now).map_or(Duration::MAX, |(_, max_age)| max_age);
                self.took = took.max(self.took.min(useful) * 7 / 8);
                self.failed = None;
                let before = self.kept.replace(Arc::clone(reading));
                self.weigh();
                before
            }
            Err(error) => {
                // What failed ahead of a read is tried once more by the read.
                let is_known = error.is_final() || self.last_read >= self.began_at;
                self.failed = is_known.then(|| (now, error.clone()));
                None
            }
        }
    }

    /// Keeps a good reading, unless a newer one is kept or its backend is forgotten. Gives what is no longer kept.
    pub(super) fn keep_last_good(&mut self, reading: &Arc<Reading>) -> Option<Arc<Reading>> {
        let is_newer = self.good.as_ref().is_none_or(|good| good.asked < reading.asked);
        if reading.asked < self.since || !is_newer {
            return None;
        }
        let before = self.good.replace(Arc::clone(reading));
        self.weigh();
        before
    }

    /// What can stand in for a reading that is missing or no good, the newest first: a rule that holds has called the last
    /// one good, or may do so with the reading that nobody has read yet.
    pub(super) fn stale_candidates(&self) -> [Option<Arc<Reading>>; 2] {
        [self.kept.clone(), self.good.clone()]
    }

    pub(super) fn last_read(&self) -> Instant {
        self.last_read
    }

    /// Nobody has read for so long that nobody will.
    pub(super) fn is_forgotten(&self, now: Instant) -> bool {
        let silence = now.saturating_duration_since(self.last_read);
        let held = if self.good.is_some() { GOOD_KEPT_MAX } else { Duration::ZERO };
        silence > self.rhythm.silence_max().max(held) && self.in_flight().is_none()
    }

    /// Whether fetches run ahead of its reads.
    pub(super) fn is_steady(&self) -> bool {
        self.rhythm.is_steady() && !self.subscribers.are_gone()
    }

    /// Samples kept.
    pub(super) fn samples(&self) -> usize {
        self.kept.as_ref().map_or(0, |reading| reading.samples.len())
    }

    /// What it takes in cache, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The last reading and the last good one are mostly the same.
    fn weigh(&mut self) {
        let kept = self.kept.as_ref();
        let good = self.good.as_ref().filter(|good| kept.is_none_or(|kept| !Arc::ptr_eq(kept, good)));
        let readings: usize = kept.into_iter().chain(good).map(|reading| reading.bytes()).sum();
        self.bytes = self.own_bytes + readings;
    }

    /// For whom readings must be the youngest, and how young; none if nobody reads any more.
    fn strictest(&self, now: Instant) -> Option<(&Subscriber, Duration)> {
        self.subscribers.strictest(now, self.rhythm.silence_max())
    }

    /// How long before a read its fetch is to be sent: the time it takes, a margin, and this query's place within
    /// the time over which fetches are spread, as far as the reading stays young enough.
    fn lead(&self, max_age: Duration, spread: Duration) -> Duration {
        let needed = self.took + self.margin(max_age);
        let room = max_age.saturating_sub(needed) / 2;
        needed + spread.min(room) * u32::from(self.place) / 256
    }

    /// How early a fetch should land. A query that takes nearly `max_age` leaves less than the rhythm wants: then half of it,
    /// so that the read may be as late as the fetch.
    fn margin(&self, max_age: Duration) -> Duration {
        self.rhythm.margin(max_age).min(max_age.saturating_sub(self.took) / 2)
    }
}
