//! What is kept of one query: its readings, the query in flight, and when it is to be queried next.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::metrics::Size;
use super::schedule::{Role, Schedule};
use super::singleflight::{self, Leader, Outcome, Waiter};
use super::subscriber::Subscribers;
use super::{Owner, QueryError, Reading, Subscriber};
use crate::limit::ConcurrencyLimiter;
use crate::rules::Query;

/// How long a good reading is kept though nobody reads: the longest hold that a rule may have.
const GOOD_KEPT_MAX: Duration = Duration::from_secs(3600);

/// How long a query without a known interval is kept unread while there are many of its namespace
/// ([`Store`](super::store::Store)): as long as the controller of three replicas needs for a second read, mostly.
const CROWDED_UNREAD_MAX: Duration = Duration::from_secs(45);

/// Memory of a query with one small reading, besides its text: measured with ten thousand of them.
pub(super) const ENTRY_BYTES: usize = 1_500;

/// One read of a query.
pub(super) struct Read<'a> {
    pub(super) max_age: Duration,
    pub(super) subscriber: &'a Subscriber,
    pub(super) now: Instant,
    /// The time over which the prefetches of all queries are spread.
    pub(super) spread: Duration,
}

/// What a read finds.
#[derive(Debug)]
pub(super) enum Lookup {
    /// A reading that is young enough.
    Hit(Arc<Reading>),
    /// A query in flight.
    Joined(Waiter),
    /// Nothing: the caller has to run the query.
    Missed(Leader, Waiter),
    /// A query that failed a moment ago.
    Failed(QueryError),
    /// Nothing, and too many queries are in flight to start one more.
    Refused,
}

/// One query.
#[derive(Debug)]
pub(super) struct Entry {
    /// Since when the query is known: one started before was for a backend that is forgotten.
    since: Instant,
    last_read: Instant,
    /// A hash of the namespace that it was read in first.
    namespace: u64,
    last: Option<Arc<Reading>>,
    /// The last reading that a rule with a hold called good.
    good: Option<Arc<Reading>>,
    /// Memory without the readings, and with them.
    own_bytes: u32,
    bytes: u32,
    flight: Option<Waiter>,
    /// When a query was started last.
    started: Instant,
    /// When and how the last query failed, if it did.
    failed: Option<(Instant, QueryError)>,
    schedule: Schedule,
    /// Whether an unpredicted miss found a reading that is older than a prefetched one: it may be too old for the
    /// reads that follow the miss.
    is_ageing: bool,
    subscribers: Subscribers,
    /// The longest of the last queries; long ones are slowly forgotten.
    took: Duration,
    /// This query's position in the time over which prefetches are spread, in 256ths.
    position: u8,
    /// When the store looks at it again; none if it is looking now.
    pub(super) wake: Option<Instant>,
    /// How it is counted in the store's statistics.
    pub(super) counted: Size,
    /// How it is counted among those of its namespace without a known interval.
    pub(super) counted_tentative: u32,
}

impl Entry {
    pub(super) fn new(now: Instant, position: u8, query: &Query, owner: Owner) -> Self {
        let namespace = query.namespace.as_ref().map_or(0, |namespace| namespace.as_str().len());
        let own_bytes = count(ENTRY_BYTES + query.promql.len() + namespace);
        Self {
            since: now,
            last_read: now,
            namespace: owner.namespace(),
            last: None,
            good: None,
            own_bytes,
            bytes: own_bytes,
            flight: None,
            started: now,
            failed: None,
            schedule: Schedule::default(),
            is_ageing: false,
            subscribers: Subscribers::default(),
            took: Duration::ZERO,
            position,
            wake: None,
            counted: Size::default(),
            counted_tentative: 0,
        }
    }

    /// What a read finds; starts a query if it needs one.
    pub(super) fn look(&mut self, read: &Read<'_>, slots: &Arc<ConcurrencyLimiter<Owner>>) -> Lookup {
        // Zero always queries, even within one tick of the clock.
        let is_young = |last: &&Arc<Reading>| !read.max_age.is_zero() && age(last, read.now) <= read.max_age;
        if let Some(reading) = self.last.as_ref().filter(is_young) {
            return Lookup::Hit(Arc::clone(reading));
        }
        if let Some(flight) = self.in_flight() {
            return Lookup::Joined(flight.clone());
        }
        if let Some(error) = self.recent_failure(read) {
            return Lookup::Failed(error.clone());
        }
        let Some(slot) = slots.try_acquire(read.subscriber.sent_for) else { return Lookup::Refused };
        let (leader, waiter) = singleflight::begin(slot, read.subscriber);
        self.start(read.now, waiter.clone());
        Lookup::Missed(leader, waiter)
    }

    /// Records a read; whether it may change when the query is to be sent next.
    pub(super) fn record(&mut self, read: &Read<'_>) -> bool {
        let Read { max_age, subscriber, now, spread } = *read;
        self.last_read = now;
        // Nothing can be prefetched for that.
        if max_age.is_zero() {
            return true;
        }
        let is_repeated = self.subscribers.read(subscriber, max_age, now, self.schedule.unread_max());
        let strictest = self.strictest(now).map_or(max_age, |(_, strictest)| strictest);
        let lead = self.lead(strictest, spread);
        let last_age = self.last.as_ref().map(|last| age(last, now));
        let is_unanswered =
            self.failed.is_none() && self.in_flight().is_none() && last_age.is_some_and(|age| age > max_age);
        let role = self.schedule.read(now, max_age, lead, is_unanswered);
        if role != Role::Hit {
            self.is_ageing = role == Role::Unpredicted && last_age.is_some_and(|age| age > lead);
        }
        !is_repeated || role != Role::Hit
    }

    /// How a query failed a moment ago, if it need not be tried again.
    fn recent_failure(&self, read: &Read<'_>) -> Option<&QueryError> {
        let (at, error) = self.failed.as_ref()?;
        let since = read.now.saturating_duration_since(*at);
        (since < error.kept_for().min(read.max_age)).then_some(error)
    }

    fn start(&mut self, now: Instant, flight: Waiter) {
        (self.flight, self.started, self.is_ageing) = (Some(flight), now, false);
    }

    /// Starts a query ahead of the next expected miss.
    pub(super) fn prefetch(
        &mut self,
        now: Instant,
        spread: Duration,
        slots: &Arc<ConcurrencyLimiter<Owner>>,
    ) -> Option<Leader> {
        let next = self.next_miss(now, spread)?;
        let (subscriber, _) = self.strictest(now)?;
        let slot = slots.try_acquire(subscriber.sent_for)?;
        let (leader, waiter) = singleflight::begin(slot, subscriber);
        self.schedule.prefetched(next);
        self.start(now, waiter);
        Some(leader)
    }

    /// When the next prefetch is to be sent.
    pub(super) fn prefetch_at(&self, now: Instant, spread: Duration) -> Option<Instant> {
        // One at a time: a query that takes longer than half an interval is sent again when it has completed.
        if self.in_flight().is_some() {
            return None;
        }
        let (_, max_age) = self.strictest(now)?;
        self.next_miss(now, spread)?.checked_sub(self.lead(max_age, spread))
    }

    /// The next miss to prefetch, which neither the last reading nor the query in flight answers.
    fn next_miss(&self, now: Instant, spread: Duration) -> Option<Instant> {
        let (_, max_age) = self.strictest(now)?;
        // It would be too old on arrival.
        if self.took >= max_age {
            return None;
        }
        if self.is_ageing {
            return Some(now);
        }
        let sent = match &self.last {
            _ if self.in_flight().is_some() => self.started,
            Some(last) => last.asked,
            None => now,
        };
        self.schedule.next_miss(now, sent + max_age, self.lead(max_age, spread))
    }

    /// When the store has to look at it again, to prefetch or to forget it.
    pub(super) fn wake_at(&self, now: Instant, spread: Duration) -> Instant {
        // It is looked at earlier, for there may be many then.
        let forget =
            Some(self.forget_at(true)).filter(|at| *at > now).unwrap_or_else(|| self.forget_at(false));
        self.prefetch_at(now, spread).map_or(forget, |prefetch| prefetch.min(forget))
    }

    /// Whether it has been unread for so long that nobody is expected to read it. `is_crowded` is whether there are
    /// many queries of its namespace without a known interval.
    pub(super) fn is_forgotten(&self, now: Instant, is_crowded: bool) -> bool {
        now >= self.forget_at(is_crowded) && self.in_flight().is_none()
    }

    fn forget_at(&self, is_crowded: bool) -> Instant {
        let hold = if self.good.is_some() { GOOD_KEPT_MAX } else { Duration::ZERO };
        let kept = self.schedule.unread_max().max(hold);
        let is_short = is_crowded && !self.schedule.is_known();
        self.last_read + if is_short { kept.min(CROWDED_UNREAD_MAX) } else { kept }
    }

    /// The namespace that it was read in first, and its memory if its interval is not known.
    pub(super) fn tentative(&self) -> (u64, u32) {
        (self.namespace, if self.schedule.is_known() { 0 } else { self.bytes })
    }

    /// The query in flight, if there is one.
    pub(super) fn in_flight(&self) -> Option<&Waiter> {
        self.flight.as_ref().filter(|flight| !flight.is_over())
    }

    /// Keeps the outcome of the query sent at `began`; a failure leaves the last reading in place. Returns the reading
    /// that was replaced.
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
                // One query that took longer than its reading is of use must not end prefetching until it is forgotten.
                let useful = self.strictest(now).map_or(Duration::MAX, |(_, max_age)| max_age);
                self.took = took.max(self.took.min(useful) * 7 / 8);
                self.failed = None;
                let before = self.last.replace(Arc::clone(reading));
                self.weigh();
                before
            }
            Err(error) => {
                // The read retries a prefetch that failed.
                let is_known = error.is_final() || self.last_read >= self.started;
                self.failed = is_known.then(|| (now, error.clone()));
                None
            }
        }
    }

    /// Keeps a good reading, unless a newer one is kept or its backend is forgotten. Returns the reading that was
    /// replaced.
    pub(super) fn keep_last_good(&mut self, reading: &Arc<Reading>) -> Option<Arc<Reading>> {
        let is_newer = self.good.as_ref().is_none_or(|good| good.asked < reading.asked);
        if reading.asked < self.since || !is_newer {
            return None;
        }
        let before = self.good.replace(Arc::clone(reading));
        self.weigh();
        before
    }

    /// The last reading and the last good one are mostly the same.
    fn weigh(&mut self) {
        let last = self.last.as_ref();
        let good = self.good.as_ref().filter(|good| last.is_none_or(|last| !Arc::ptr_eq(last, good)));
        let readings: usize = last.into_iter().chain(good).map(|reading| reading.bytes()).sum();
        self.bytes = self.own_bytes.saturating_add(count(readings));
    }

    /// The last reading, which may be good though no read has used it yet, and the last good one.
    pub(super) fn stale_candidates(&self) -> [Option<Arc<Reading>>; 2] {
        [self.last.clone(), self.good.clone()]
    }

    pub(super) fn last_read(&self) -> Instant {
        self.last_read
    }

    /// What it adds to the store's statistics.
    pub(super) fn size(&self, now: Instant, spread: Duration) -> Size {
        Size {
            queries: 1,
            prefetched: u32::from(self.next_miss(now, spread).is_some()),
            samples: self.last.as_ref().map_or(0, |reading| count(reading.samples.len())),
            bytes: self.bytes,
        }
    }

    /// Its memory in bytes.
    pub(super) fn bytes(&self) -> u32 {
        self.bytes
    }

    /// The subscriber with the shortest `maxAge`, and that `maxAge`; none if nobody reads any more.
    fn strictest(&self, now: Instant) -> Option<(&Subscriber, Duration)> {
        self.subscribers.strictest(now, self.schedule.unread_max())
    }

    /// How long before a miss its prefetch is sent: the time the query takes, a margin, and this query's position in
    /// the time over which prefetches are spread, as far as the reading stays young enough.
    fn lead(&self, max_age: Duration, spread: Duration) -> Duration {
        let needed = self.took + self.margin(max_age);
        let room = max_age.saturating_sub(needed) / 2;
        needed + spread.min(room) * u32::from(self.position) / 256
    }

    /// How early a prefetch should complete. A query that takes nearly `max_age` leaves less than the schedule wants:
    /// then half of that, so that the read may be as late as the prefetch.
    fn margin(&self, max_age: Duration) -> Duration {
        self.schedule.margin(max_age).min(max_age.saturating_sub(self.took) / 2)
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn age(reading: &Reading, now: Instant) -> Duration {
    now.saturating_duration_since(reading.asked)
}
