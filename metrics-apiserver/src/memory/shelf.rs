//! The questions kept, each with its last reading and the fetch in flight; no waiting, no I/O.
//!
//! Split into shards by the question's hash: a read holds one shard's lock for one look into a hash map, so reads of
//! different questions seldom meet. Every function is given the time.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::flight::{self, Flight, Launch, Outcome};
use super::{Limits, Reading};
use crate::rules::Question;

/// Locks: more than the threads that read at once on a large node, few enough that an even share of the questions
/// is a tight bound.
const SHARDS: usize = 16;

/// What a look at the shelf finds.
#[derive(Debug)]
pub(super) enum Found {
    /// A reading that is young enough.
    Reading(Arc<Reading>),
    /// A fetch that somebody began.
    Flight(Flight),
    /// A fetch that the finder has to fly.
    Begun(Launch, Flight),
    /// Too many fetches are in flight to begin one more.
    Busy,
}

/// All questions kept.
#[derive(Debug)]
pub(super) struct Shelf {
    shards: Vec<Mutex<Shard>>,
    slots: Arc<Semaphore>,
    hasher: RandomState,
}

impl Shelf {
    pub(super) fn new(limits: Limits) -> Self {
        let capacity = limits.questions.div_ceil(SHARDS).max(1);
        let slots = limits.fetches.min(Semaphore::MAX_PERMITS);
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new(capacity))).collect(),
            slots: Arc::new(Semaphore::new(slots)),
            hasher: RandomState::new(),
        }
    }

    /// What there is for `question`; marks it as read.
    pub(super) fn look(&self, question: &Question, max_age: Duration, now: Instant) -> Found {
        self.shard(question).look(question, max_age, now, &self.slots)
    }

    /// Keeps what the fetch of `question`, sent at `asked`, gave; a failure leaves the reading before it in place.
    pub(super) fn land(&self, question: &Question, asked: Instant, outcome: &Outcome) {
        self.shard(question).land(question, asked, outcome);
    }

    /// Keeps a good reading, unless a newer one is kept.
    pub(super) fn keep_good(&self, question: &Question, reading: &Arc<Reading>) {
        if let Some(entry) = self.shard(question).entries.get_mut(question) {
            let newer = entry.good.as_ref().is_none_or(|good| good.asked < reading.asked);
            if newer {
                entry.good = Some(Arc::clone(reading));
            }
        }
    }

    /// The good reading, unless it is older than `longest`.
    pub(super) fn last_good(
        &self,
        question: &Question,
        longest: Duration,
        now: Instant,
    ) -> Option<Arc<Reading>> {
        let good = self.shard(question).entries.get(question)?.good.clone();
        good.filter(|good| now.saturating_duration_since(good.asked) <= longest)
    }

    /// No fetch begins from here on.
    pub(super) fn close(&self) {
        self.slots.close();
    }

    fn shard(&self, question: &Question) -> MutexGuard<'_, Shard> {
        let spread = usize::try_from(self.hasher.hash_one(question) % SHARDS as u64).unwrap_or(0);
        // A panic under the lock cannot leave an entry half-written: each is changed by single assignments.
        self.shards[spread].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known about one question.
#[derive(Debug)]
struct Entry {
    last_read: Instant,
    kept: Option<Kept>,
    /// The last reading that a rule with a hold called good.
    good: Option<Arc<Reading>>,
    flight: Option<Flight>,
}

/// A reading and when, on the clock that is never set back, its query was sent.
#[derive(Debug)]
struct Kept {
    reading: Arc<Reading>,
    asked: Instant,
}

impl Entry {
    fn new(now: Instant) -> Self {
        Self { last_read: now, kept: None, good: None, flight: None }
    }

    fn fresh(&self, max_age: Duration, now: Instant) -> Option<Arc<Reading>> {
        let kept = self.kept.as_ref()?;
        let age = now.saturating_duration_since(kept.asked);
        // Zero means "always ask", even within one tick of the clock.
        (!max_age.is_zero() && age <= max_age).then(|| Arc::clone(&kept.reading))
    }

    fn in_flight(&self) -> Option<&Flight> {
        self.flight.as_ref().filter(|flight| !flight.is_over())
    }
}

/// The questions behind one lock.
#[derive(Debug)]
struct Shard {
    entries: HashMap<Question, Entry>,
    capacity: usize,
}

impl Shard {
    fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), capacity }
    }

    fn look(
        &mut self,
        question: &Question,
        max_age: Duration,
        now: Instant,
        slots: &Arc<Semaphore>,
    ) -> Found {
        if let Some(reading) = self.fresh(question, max_age, now) {
            return Found::Reading(reading);
        }
        let Some(entry) = self.entry(question, now) else { return Found::Busy };
        if let Some(flight) = entry.in_flight() {
            return Found::Flight(flight.clone());
        }
        let Ok(slot) = Arc::clone(slots).try_acquire_owned() else { return Found::Busy };
        let (launch, flight) = flight::begin(slot);
        entry.flight = Some(flight.clone());
        Found::Begun(launch, flight)
    }

    fn land(&mut self, question: &Question, asked: Instant, outcome: &Outcome) {
        let Some(entry) = self.entries.get_mut(question) else { return };
        entry.flight = None;
        if let Ok(reading) = outcome {
            entry.kept = Some(Kept { reading: Arc::clone(reading), asked });
        }
    }

    /// A reading young enough; marks the question as read. The common case: one look into the map.
    fn fresh(&mut self, question: &Question, max_age: Duration, now: Instant) -> Option<Arc<Reading>> {
        let entry = self.entries.get_mut(question)?;
        entry.last_read = now;
        entry.fresh(max_age, now)
    }

    /// The question's entry, made if need be; `None` if the shard is full of fetches in flight.
    fn entry(&mut self, question: &Question, now: Instant) -> Option<&mut Entry> {
        if !self.entries.contains_key(question) {
            if self.entries.len() >= self.capacity && !self.forget_one() {
                return None;
            }
            self.entries.insert(question.clone(), Entry::new(now));
        }
        self.entries.get_mut(question)
    }

    /// Forgets the question read longest ago. One in flight stays: its fetch could not be found again and would be
    /// begun twice. Looks at every entry, which only a new question at a full shard pays for.
    fn forget_one(&mut self) -> bool {
        let idle = self.entries.iter().filter(|(_, entry)| entry.in_flight().is_none());
        let oldest = idle.min_by_key(|(_, entry)| entry.last_read).map(|(question, _)| question.clone());
        oldest.is_some_and(|question| self.entries.remove(&question).is_some())
    }
}

#[cfg(test)]
mod tests;
