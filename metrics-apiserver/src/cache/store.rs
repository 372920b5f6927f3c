//! The queries kept, and what a read of one finds; no waiting, no I/O.
//!
//! Split into shards by the query's hash: a read holds one shard's lock for one lookup in a hash map, so reads of
//! different queries seldom meet. Every function is given the time.
//!
//! Each query has one due time, when the store has to look at it again: to prefetch it, or to forget it. Reads may
//! make it earlier; where they make it later, it is computed anew when it is reached.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::entry::{Entry, Lookup, Read};
use super::metrics::{CacheStats, Size};
use super::singleflight::{Leader, Outcome};
use super::{Owner, Reading, Subscriber};
use crate::limit::ConcurrencyLimiter;
use crate::rules::{BackendName, Query};

/// Locks: more than the threads that read at once on a large node, few enough that an even share of the queries
/// is a tight bound.
const SHARDS: usize = 16;

/// Time given to each query when prefetches are spread: 250 queries a second, a fraction of what Prometheus can do,
/// so that HPAs created together do not query it together.
const SPREAD: Duration = Duration::from_millis(4);

/// Until a query that is due, but cannot be started or forgotten yet, is looked at again.
const RETRY: Duration = Duration::from_millis(100);

/// What was read just now is not free to keep.
const IDLE_MIN: Duration = Duration::from_secs(1);

/// When the cache is full, this fraction of it is freed beyond what must be: finding what to evict looks at all
/// queries.
const FREED: u32 = 256;

/// Queries kept at most: twice the 10,000 HPAs of the largest clusters; a query with a small reading uses about 1.5 kB.
const QUERIES_MAX: usize = 20_000;

/// Memory of all queries and readings together, of the 160 MB that the manifests allow: the program uses 16, and
/// responses that are being read and decoded up to 90. Enough for all queries with 900 bytes of text and labels each;
/// without it, a few of the largest readings, or a thousand of the longest queries, would exhaust the memory.
const BYTES_MAX: usize = 48_000_000;

/// Memory of the queries of one namespace whose interval is not known; with more they are forgotten sooner. Six hundred
/// HPAs of one namespace, read once, take as much, and so do two hundred questions with selectors of 4 KB.
const TENTATIVE_BYTES: u32 = 1_000_000;

/// Queries in flight at most, including those that wait for a permit of the backend. More could not be answered within
/// its timeout anyway: ten at a time, 20 ms each, are 5,000 in 10 s.
const IN_FLIGHT_MAX: usize = 4_096;

/// How much the cache may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Queries kept; an even share of them in each shard, so evictions may start a little earlier.
    pub queries: usize,
    /// Memory of queries and readings together. Exceeded by at most the reading that was added last.
    pub bytes: usize,
    /// Queries in flight.
    pub in_flight: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queries: QUERIES_MAX, bytes: BYTES_MAX, in_flight: IN_FLIGHT_MAX }
    }
}

/// All queries kept.
#[derive(Debug)]
pub(super) struct Store {
    shards: Vec<Mutex<Shard>>,
    /// Queries in one shard at most.
    capacity: usize,
    bytes_max: u32,
    /// Of a namespace in one shard, without a known interval.
    tentative_max: u32,
    /// Handed round among the metrics of namespaces: one reader with ever new selectors leaves half of them.
    slots: Arc<ConcurrencyLimiter<Owner>>,
    /// Slots that prefetches leave to reads.
    reserve: usize,
    pub(super) stats: CacheStats,
    hasher: RandomState,
    /// Notified when a query becomes the first due of its shard.
    pub(super) earlier: Notify,
}

/// The queries behind one lock.
#[derive(Debug, Default)]
struct Shard {
    /// Boxed, because a map allocates up to twice the space that it needs.
    entries: HashMap<Query, Box<Entry>>,
    due: BTreeSet<(Instant, Query)>,
    /// Memory of the queries without a known interval, by a hash of their namespace.
    tentative: HashMap<u64, u32>,
}

impl Store {
    pub(super) fn new(limits: Limits) -> Self {
        Self::with_shards(limits, SHARDS)
    }

    fn with_shards(limits: Limits, shards: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            capacity: limits.queries.div_ceil(shards).max(1),
            bytes_max: u32::try_from(limits.bytes).unwrap_or(u32::MAX),
            tentative_max: TENTATIVE_BYTES / u32::try_from(shards).unwrap_or(u32::MAX),
            slots: ConcurrencyLimiter::fair(limits.in_flight),
            reserve: limits.in_flight / 2,
            stats: CacheStats::default(),
            hasher: RandomState::new(),
            earlier: Notify::new(),
        }
    }

    /// What there is for `query`; records the read.
    pub(super) fn look(
        &self,
        query: &Query,
        max_age: Duration,
        subscriber: &Subscriber,
        now: Instant,
    ) -> Lookup {
        let read = Read { max_age, subscriber, now, spread: self.spread() };
        let hash = self.hasher.hash_one(query);
        let mut shard = self.shard(hash);
        if let Some(lookup) = self.find(&mut shard, query, &read) {
            return lookup;
        }
        if shard.entries.len() >= self.capacity && !self.evict_oldest(&mut shard) {
            // Full of queries in flight.
            return Lookup::Refused;
        }
        // Bits of the hash that do not choose the shard.
        let position = hash.to_be_bytes()[0];
        let entry = Entry::new(now, position, query, subscriber.sent_for);
        shard.entries.insert(query.clone(), Box::new(entry));
        self.find(&mut shard, query, &read).unwrap_or(Lookup::Refused)
    }

    /// What a read finds, if the query is kept.
    fn find(&self, shard: &mut Shard, query: &Query, read: &Read<'_>) -> Option<Lookup> {
        let entry = shard.entries.get_mut(query)?;
        let is_new = entry.record(read);
        let lookup = entry.look(read, &self.slots);
        // Most reads change neither the statistics nor the due time.
        if is_new || !matches!(lookup, Lookup::Hit(_)) {
            self.settle(shard, query, read.now, read.now);
        }
        Some(lookup)
    }

    /// Keeps the outcome of `query`, sent at `began`; a failure leaves the last reading in place.
    pub(super) fn complete(&self, query: &Query, began: Instant, now: Instant, outcome: &Outcome) {
        self.replace(query, now, |entry| entry.complete(began, now, outcome));
    }

    /// Keeps a good reading, unless a newer one is kept.
    pub(super) fn keep_last_good(&self, query: &Query, reading: &Arc<Reading>, now: Instant) {
        self.replace(query, now, |entry| entry.keep_last_good(reading));
    }

    /// Readings that can replace one that is missing or bad, no older than `longest`; the newest first.
    pub(super) fn stale_candidates(
        &self,
        query: &Query,
        longest: Duration,
        now: Instant,
    ) -> impl Iterator<Item = Arc<Reading>> + use<> {
        let shard = self.shard(self.hasher.hash_one(query));
        let readings = shard.entries.get(query).map(|entry| entry.stale_candidates()).unwrap_or_default();
        let is_young = move |reading: &Arc<Reading>| now.saturating_duration_since(reading.asked) <= longest;
        readings.into_iter().flatten().filter(is_young)
    }

    /// Forgets everything of one backend.
    pub(super) fn forget(&self, backend: &BackendName) {
        self.remove_all(|query, _| query.backend == *backend);
    }

    /// The prefetches to be sent now, for the caller to run, and when the next query is due. Forgets what nobody reads.
    pub(super) fn take_due(&self, now: Instant) -> (Vec<(Query, Leader)>, Option<Instant>) {
        let (mut prefetches, mut next) = (Vec::new(), None::<Instant>);
        for shard in &self.shards {
            let (mut shard, mut forgotten) = (lock(shard), Vec::new());
            let mut looked_at = Vec::new();
            while let Some((_, query)) = shard.pop_due(now) {
                let Shard { entries, tentative, .. } = &mut *shard;
                let Some(entry) = entries.get_mut(&query) else { continue };
                entry.wake = None;
                let of_namespace = tentative.get(&entry.tentative().0).copied().unwrap_or_default();
                if entry.is_forgotten(now, of_namespace > self.tentative_max) {
                    forgotten.extend(self.remove(&mut shard, &query));
                    continue;
                }
                let is_due = entry.prefetch_at(now, self.spread()).is_some_and(|at| at <= now);
                if is_due
                    && self.slots.free() > self.reserve
                    && let Some(leader) = entry.prefetch(now, self.spread(), &self.slots)
                {
                    prefetches.push((query.clone(), leader));
                }
                looked_at.push(query);
            }
            for query in looked_at {
                self.settle(&mut shard, &query, now, now + RETRY);
            }
            let first = shard.due.first().map(|(at, _)| *at);
            next = next.into_iter().chain(first).min();
            drop(shard);
            drop(forgotten);
        }
        (prefetches, next)
    }

    /// No query starts from here on.
    pub(super) fn close(&self) {
        self.slots.close();
    }

    /// Changes what is kept of a query; frees what it replaces, and what there is no room for any more.
    fn replace(&self, query: &Query, now: Instant, change: impl FnOnce(&mut Entry) -> Option<Arc<Reading>>) {
        let mut shard = self.shard(self.hasher.hash_one(query));
        let replaced = shard.entries.get_mut(query).and_then(|entry| change(entry));
        self.settle(&mut shard, query, now, now);
        drop(shard);
        // A large reading takes milliseconds to free: not under the lock.
        drop(replaced);
        if self.stats.total().bytes > self.bytes_max {
            self.evict_largest(now);
        }
    }

    /// Brings the statistics and an entry's due time up to date. What is due already is looked at `soonest`.
    fn settle(&self, shard: &mut Shard, query: &Query, now: Instant, soonest: Instant) {
        let Some(entry) = shard.entries.get_mut(query) else { return };
        let size = entry.size(now, self.spread());
        self.stats.replace(std::mem::replace(&mut entry.counted, size), size);
        recount(&mut shard.tentative, entry, entry.tentative().1);
        let wake = entry.wake_at(now, self.spread());
        let wake = if wake <= now { soonest } else { wake };
        if entry.wake.is_none_or(|before| wake < before) {
            if let Some(before) = entry.wake.replace(wake) {
                shard.due.remove(&(before, query.clone()));
            }
            let is_first = shard.due.first().is_none_or(|(first, _)| wake < *first);
            shard.due.insert((wake, query.clone()));
            if is_first {
                self.earlier.notify_one();
            }
        }
    }

    /// Removes an entry, for the caller to free when the lock is released.
    fn remove(&self, shard: &mut Shard, query: &Query) -> Option<Box<Entry>> {
        let mut entry = shard.entries.remove(query)?;
        recount(&mut shard.tentative, &mut entry, 0);
        if let Some(wake) = entry.wake {
            shard.due.remove(&(wake, query.clone()));
        }
        self.stats.replace(entry.counted, Size::default());
        Some(entry)
    }

    /// Removes entries; returns how many.
    fn remove_all(&self, which: impl Fn(&Query, &Entry) -> bool) -> u64 {
        let mut count = 0;
        for shard in &self.shards {
            let mut shard = lock(shard);
            let chosen = shard.entries.iter().filter(|(query, entry)| which(query, entry));
            let chosen: Vec<Query> = chosen.map(|(query, _)| query.clone()).collect();
            let removed: Vec<_> = chosen.iter().filter_map(|query| self.remove(&mut shard, query)).collect();
            drop(shard);
            count += removed.len() as u64;
        }
        count
    }

    /// Removes the query that was read longest ago. One in flight stays: it could not be found again, and would be
    /// started twice. Looks at every entry, which only a new query in a full shard pays for.
    fn evict_oldest(&self, shard: &mut Shard) -> bool {
        let idle = shard.entries.iter().filter(|(_, entry)| entry.in_flight().is_none());
        let oldest = idle.min_by_key(|(_, entry)| entry.last_read()).map(|(query, _)| query.clone());
        let is_evicted = oldest.is_some_and(|query| self.remove(shard, &query).is_some());
        self.stats.evictions.inc_by(u64::from(is_evicted));
        is_evicted
    }

    /// Removes queries until the rest fits: first those that use most memory for the longest time. By the time alone,
    /// one large reading would evict all small ones and gain nothing.
    fn evict_largest(&self, now: Instant) {
        let cost = |entry: &Entry| {
            let idle = now.saturating_duration_since(entry.last_read()) + IDLE_MIN;
            idle.as_millis().saturating_mul(entry.bytes().into())
        };
        let mut costs = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let idle = shard.entries.values().filter(|entry| entry.in_flight().is_none());
            costs.extend(idle.map(|entry| (cost(entry), entry.bytes())));
        }
        costs.sort_unstable_by(|one, other| other.cmp(one));
        let excess = self.stats.total().bytes.saturating_sub(self.bytes_max - self.bytes_max / FREED);
        let mut freed = 0;
        let least = costs.into_iter().take_while(|(_, bytes)| {
            let is_needed = freed < excess;
            freed += bytes;
            is_needed
        });
        let Some((least, _)) = least.last() else { return };
        let evicted = self.remove_all(|_, entry| entry.in_flight().is_none() && cost(entry) >= least);
        self.stats.evictions.inc_by(evicted);
    }

    /// The time over which the prefetches of all queries are spread.
    fn spread(&self) -> Duration {
        SPREAD * self.stats.total().queries
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        lock(&self.shards[usize::try_from(hash % self.shards.len() as u64).unwrap_or(0)])
    }
}

impl Shard {
    /// The first query that is due now.
    fn pop_due(&mut self, now: Instant) -> Option<(Instant, Query)> {
        let is_due = self.due.first().is_some_and(|(at, _)| *at <= now);
        is_due.then(|| self.due.pop_first()).flatten()
    }
}

/// Counts an entry with so many bytes among the queries of its namespace without a known interval.
fn recount(tentative: &mut HashMap<u64, u32>, entry: &mut Entry, bytes: u32) {
    let before = std::mem::replace(&mut entry.counted_tentative, bytes);
    if before == bytes {
        return;
    }
    let (namespace, _) = entry.tentative();
    let total = tentative.get(&namespace).copied().unwrap_or_default();
    let total = total.saturating_sub(before).saturating_add(bytes);
    if total == 0 {
        tentative.remove(&namespace);
    } else {
        tentative.insert(namespace, total);
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // A panic under the lock cannot leave an entry half-written: each is changed by single assignments.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
