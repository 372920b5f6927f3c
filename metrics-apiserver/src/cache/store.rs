//! The queries kept, and what a read of one finds; no waiting, no I/O.
//!
//! Split into shards by the query's hash: a read holds one shard's lock for one look into a hash map, so reads of
//! different queries seldom meet. Every function is given the time.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::entry::{Ahead, Entry};
use super::singleflight::{self, Leader, Outcome, Waiter};
use super::{Limits, QueryError, Reading, Subscriber};
use crate::rules::{BackendName, Query};

/// Locks: more than the threads that read at once on a large node, few enough that an even share of the queries
/// is a tight bound.
const SHARDS: usize = 16;

/// Time that is given to each query when fetches are spread: 250 queries a second, a fraction of what a Prometheus
/// does, so that HPAs created together do not ask it together.
const PACE: Duration = Duration::from_millis(4);

/// What was read just now is not free to keep.
const LEAST_IDLE: Duration = Duration::from_secs(1);

/// A reading of so many bytes makes room for itself; smaller ones can wait for the next look at all of them.
const LARGE_BYTES: usize = 64 << 10;

/// What a look at the store finds.
#[derive(Debug)]
pub(super) enum Lookup {
    /// A reading that is young enough.
    Reading(Arc<Reading>),
    /// A reading that is young enough now but not for the next reads, and a fetch that the finder has to fly.
    Ageing(Arc<Reading>, Leader),
    /// A fetch that somebody began.
    Waiter(Waiter),
    /// A fetch that the finder has to fly.
    Begun(Leader, Waiter),
    /// A fetch has failed a moment ago.
    Failed(QueryError),
    /// Too many fetches are in flight to begin one more.
    Busy,
}

/// How much is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CacheStats {
    /// Queries.
    pub(super) queries: usize,
    /// Queries whose fetches run ahead of their reads.
    pub(super) ahead: usize,
    /// Samples of all readings.
    pub(super) samples: usize,
    /// What all of it takes, in bytes.
    pub(super) bytes: usize,
    /// Queries forgotten so far because there was no room.
    pub(super) evicted: u64,
}

/// All queries kept.
#[derive(Debug)]
pub(super) struct Store {
    shards: Vec<Mutex<Shard>>,
    slots: Arc<Semaphore>,
    /// Fetches that run ahead leave so many slots to reads.
    reserve: usize,
    /// Queries kept, as far as it matters for the pace.
    count: AtomicUsize,
    bytes_max: usize,
    hasher: RandomState,
}

impl Store {
    pub(super) fn new(limits: Limits) -> Self {
        let capacity = limits.queries.div_ceil(SHARDS).max(1);
        let slots = limits.fetches.min(Semaphore::MAX_PERMITS);
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new(capacity))).collect(),
            slots: Arc::new(Semaphore::new(slots)),
            reserve: slots / 2,
            count: AtomicUsize::new(0),
            bytes_max: limits.bytes,
            hasher: RandomState::new(),
        }
    }

    /// What there is for `query`; takes note of the read.
    pub(super) fn look(
        &self,
        query: &Query,
        max_age: Duration,
        subscriber: &Subscriber,
        now: Instant,
    ) -> Lookup {
        let hash = self.hasher.hash_one(query);
        let read = Read { query, place: place(hash), max_age, subscriber, now, spread: self.spread() };
        self.shard(hash).look(&read, &self.slots)
    }

    /// Keeps what the fetch of `query`, begun at `began`, gave by `now`; a failure leaves the reading before it in place.
    pub(super) fn complete(&self, query: &Query, began: Instant, now: Instant, outcome: &Outcome) {
        // A large reading takes milliseconds to free: not under the lock.
        drop(self.change(query, |entry| entry.complete(began, now, outcome)));
        if outcome.as_ref().is_ok_and(|reading| reading.bytes() >= LARGE_BYTES) {
            self.make_room(now);
        }
    }

    /// Forgets everything of one backend.
    pub(super) fn forget(&self, backend: &BackendName) {
        for shard in &self.shards {
            // Two statements: in one, the lock would outlive what is freed.
            let gone = lock(shard).take(|query, _| query.backend == *backend);
            drop(gone);
        }
    }

    /// The fetches to be sent now, ahead of reads, for the caller to fly, and when the next one will be due; forgets what
    /// nobody reads, and what there is no room for.
    pub(super) fn due(&self, now: Instant) -> (Vec<(Query, Leader)>, Option<Instant>) {
        let (mut due, mut next, mut count, mut bytes) = (Vec::new(), None::<Instant>, 0, 0);
        let spread = self.spread();
        for shard in &self.shards {
            let mut shard = lock(shard);
            let forgotten = shard.take(|_, entry| entry.is_forgotten(now));
            count += shard.entries.len();
            for (query, entry) in &mut shard.entries {
                bytes += entry.bytes();
                let later = match entry.ahead(now, spread) {
                    Ahead::Nothing => continue,
                    Ahead::Later(at) => at,
                    Ahead::Now(counts) => {
                        if let Some(slot) = self.spare_slot() {
                            let (leader, flight) = singleflight::begin(slot, counts);
                            entry.begin_query(now, flight);
                            entry.fetched_ahead();
                            due.push((query.clone(), leader));
                            continue;
                        }
                        now
                    }
                };
                next = Some(next.map_or(later, |next| next.min(later)));
            }
            drop(shard);
            drop(forgotten);
        }
        self.count.store(count, Ordering::Relaxed);
        if bytes > self.bytes_max {
            self.make_room(now);
        }
        (due, next)
    }

    /// Forgets queries until what is left has room: first those that take most for the longest time. By the time alone, one
    /// large reading would put out all that is small, and gain nothing.
    fn make_room(&self, now: Instant) {
        let cost = |entry: &Entry| {
            let idle = now.saturating_duration_since(entry.last_read()) + LEAST_IDLE;
            idle.as_millis().saturating_mul(entry.bytes() as u128)
        };
        let (mut bytes, mut costs) = (0, Vec::new());
        for shard in &self.shards {
            for entry in lock(shard).entries.values() {
                bytes += entry.bytes();
                if entry.in_flight().is_none() {
                    costs.push((cost(entry), entry.bytes()));
                }
            }
        }
        if bytes <= self.bytes_max {
            return;
        }
        costs.sort_unstable_by(|one, other| other.cmp(one));
        let mut least = None;
        for (cost, freed) in costs {
            if bytes <= self.bytes_max {
                break;
            }
            (bytes, least) = (bytes - freed, Some(cost));
        }
        let Some(least) = least else { return };
        for shard in &self.shards {
            let mut shard = lock(shard);
            let gone = shard.take(|_, entry| entry.in_flight().is_none() && cost(entry) >= least);
            shard.evicted += gone.len() as u64;
            drop(shard);
            drop(gone);
        }
    }

    pub(super) fn stats(&self) -> CacheStats {
        let mut stats = CacheStats::default();
        for shard in &self.shards {
            let shard = lock(shard);
            stats.evicted += shard.evicted;
            for entry in shard.entries.values() {
                stats.queries += 1;
                stats.ahead += usize::from(entry.is_steady());
                stats.samples += entry.samples();
                stats.bytes += entry.bytes();
            }
        }
        stats
    }

    /// Keeps a good reading, unless a newer one is kept.
    pub(super) fn keep_last_good(&self, query: &Query, reading: &Arc<Reading>) {
        drop(self.change(query, |entry| entry.keep_last_good(reading)));
    }

    /// What can stand in for a reading, no older than `longest`; the newest first.
    pub(super) fn stale_candidates(
        &self,
        query: &Query,
        longest: Duration,
        now: Instant,
    ) -> impl Iterator<Item = Arc<Reading>> + use<> {
        let readings = self.change(query, |entry| entry.stale_candidates()).unwrap_or_default();
        let is_young = move |reading: &Arc<Reading>| now.saturating_duration_since(reading.asked) <= longest;
        readings.into_iter().flatten().filter(is_young)
    }

    /// No fetch begins from here on.
    pub(super) fn close(&self) {
        self.slots.close();
    }

    fn change<T>(&self, query: &Query, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        self.shard(self.hasher.hash_one(query)).entries.get_mut(query).map(|entry| change(entry))
    }

    fn spare_slot(&self) -> Option<OwnedSemaphorePermit> {
        if self.slots.available_permits() <= self.reserve {
            return None;
        }
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// The time over which the fetches of all queries are spread.
    fn spread(&self) -> Duration {
        PACE * u32::try_from(self.count.load(Ordering::Relaxed)).unwrap_or(u32::MAX)
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        lock(&self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or(0)])
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // A panic under the lock cannot leave an entry half-written: each is changed by single assignments.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bits of the hash that do not choose the shard.
fn place(hash: u64) -> u8 {
    hash.to_be_bytes()[0]
}

/// One look for a reading.
struct Read<'a> {
    query: &'a Query,
    place: u8,
    max_age: Duration,
    subscriber: &'a Subscriber,
    now: Instant,
    spread: Duration,
}

/// The queries behind one lock.
#[derive(Debug)]
struct Shard {
    /// Boxed, for a map has up to twice the places that it needs.
    entries: HashMap<Query, Box<Entry>>,
    capacity: usize,
    /// Queries forgotten though they might be read again.
    evicted: u64,
}

impl Shard {
    fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), capacity, evicted: 0 }
    }

    /// One look into the map, unless the query is new.
    fn look(&mut self, read: &Read<'_>, slots: &Arc<Semaphore>) -> Lookup {
        if let Some(entry) = self.entries.get_mut(read.query) {
            return found(entry, read, slots);
        }
        if self.entries.len() >= self.capacity && !self.forget_one() {
            // Full of fetches in flight.
            return Lookup::Busy;
        }
        let new = || Box::new(Entry::new(read.now, read.place, read.query));
        found(self.entries.entry(read.query.clone()).or_insert_with(new), read, slots)
    }

    /// Forgets the query read longest ago. One in flight stays: its fetch could not be found again and would be
    /// begun twice. Looks at every entry, which only a new query at a full shard pays for.
    fn forget_one(&mut self) -> bool {
        let idle = self.entries.iter().filter(|(_, entry)| entry.in_flight().is_none());
        let oldest = idle.min_by_key(|(_, entry)| entry.last_read()).map(|(query, _)| query.clone());
        let forgotten = oldest.is_some_and(|query| self.entries.remove(&query).is_some());
        self.evicted += u64::from(forgotten);
        forgotten
    }

    /// Takes entries out, for the caller to free when the lock is gone.
    fn take(&mut self, which: impl Fn(&Query, &Entry) -> bool) -> Vec<(Query, Box<Entry>)> {
        self.entries.extract_if(|query, entry| which(query, entry)).collect()
    }
}

/// What a read finds in its query's entry.
fn found(entry: &mut Entry, read: &Read<'_>, slots: &Arc<Semaphore>) -> Lookup {
    let young = entry.read(read.now, read.subscriber, read.max_age, read.spread);
    let young = match (young, entry.in_flight()) {
        (Some((reading, is_ageing)), in_flight) if !is_ageing || in_flight.is_some() => {
            return Lookup::Reading(reading);
        }
        (None, Some(flight)) => return Lookup::Waiter(flight.clone()),
        (young, _) => young.map(|(reading, _)| reading),
    };
    if let (None, Some(error)) = (&young, entry.failed(read.now, read.max_age)) {
        return Lookup::Failed(error.clone());
    }
    let Ok(slot) = Arc::clone(slots).try_acquire_owned() else {
        return young.map_or(Lookup::Busy, Lookup::Reading);
    };
    let (leader, flight) = singleflight::begin(slot, Arc::clone(&read.subscriber.counts));
    entry.begin_query(read.now, flight.clone());
    match young {
        Some(reading) => Lookup::Ageing(reading, leader),
        None => Lookup::Begun(leader, flight),
    }
}

#[cfg(test)]
mod tests;
