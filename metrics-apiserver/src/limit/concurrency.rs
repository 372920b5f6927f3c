//! A limit on concurrency: at most N at once, handed round among keys.
//!
//! A key may have as many permits as are still free: one key at most half of them, two a third each, and there is
//! always one left for a key that has none. When a permit becomes free, it goes to the waiting key that has the fewest.
//!
//! Of one key, and of keys with equally many permits, the last waiter is served first. While there are enough permits
//! nobody waits, and the order does not matter. Under overload, first in, first out would serve nobody: every waiter
//! would wait until its time is nearly over, and get its permit when the rest no longer suffices. The last to come has
//! all its time before it. The first to come gives up, which costs nothing.
//!
//! A limiter can know that some keys are slow. All slow keys together then have at most half of the permits, however
//! many they are.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// Slow keys that are remembered. With more, all are forgotten and measured again.
const SLOW_KEYS_MAX: usize = 1024;

/// At most `max` permits at once. Without keys, `K` is `()`.
#[derive(Debug)]
pub(crate) struct ConcurrencyLimiter<K: Eq + Hash + Clone = ()> {
    max: usize,
    /// Whether a key may have no more than are free.
    is_shared: bool,
    /// How long the permits of a key may be in use before it is slow.
    slow_after: Option<Duration>,
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K: Eq + Hash + Clone> {
    in_use: usize,
    is_closed: bool,
    /// Keys without a permit in use are not in here.
    in_use_by_key: HashMap<K, usize>,
    /// Since when each permit is in use, where slow keys are known.
    running: Vec<(K, Instant)>,
    /// Keys whose last permit was in use for too long.
    slow: HashSet<K>,
    /// Those of each key by arrival. Keys without a waiter are not in here.
    waiters: HashMap<K, Vec<Waiter<K>>>,
    arrivals: u64,
}

#[derive(Debug)]
struct Waiter<K: Eq + Hash + Clone> {
    arrival: u64,
    grant: oneshot::Sender<Permit<K>>,
}

/// The right to run; returned when dropped.
#[derive(Debug)]
pub(crate) struct Permit<K: Eq + Hash + Clone = ()> {
    limiter: Arc<ConcurrencyLimiter<K>>,
    key: K,
    since: Option<Instant>,
}

/// Removes a waiter when dropped.
struct Waiting<'a, K: Eq + Hash + Clone> {
    limiter: &'a ConcurrencyLimiter<K>,
    key: K,
    arrival: u64,
}

impl ConcurrencyLimiter {
    /// At most `max` at once, whoever they are.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Self::with(max, false, None)
    }
}

impl<K: Eq + Hash + Clone> ConcurrencyLimiter<K> {
    /// At most `max` at once, and no key more than are free.
    pub(crate) fn fair(max: usize) -> Arc<Self> {
        Self::with(max, true, None)
    }

    /// The same, and at most half of them for all keys together that use a permit for longer than `slow_after`.
    pub(crate) fn fair_to_fast(max: usize, slow_after: Duration) -> Arc<Self> {
        Self::with(max, true, Some(slow_after))
    }

    fn with(max: usize, is_shared: bool, slow_after: Option<Duration>) -> Arc<Self> {
        let state = State {
            in_use: 0,
            is_closed: false,
            in_use_by_key: HashMap::new(),
            running: Vec::new(),
            slow: HashSet::new(),
            waiters: HashMap::new(),
            arrivals: 0,
        };
        Arc::new(Self { max, is_shared, slow_after, state: Mutex::new(state) })
    }

    /// A permit, if there is one for this key.
    pub(crate) fn try_acquire(self: &Arc<Self>, key: K) -> Option<Permit<K>> {
        let mut state = self.state();
        self.has_room(&state, &key).then(|| self.grant(&mut state, key))
    }

    /// Waits for a permit. Cancel-safe.
    pub(crate) async fn acquire(self: &Arc<Self>, key: K) -> Permit<K> {
        loop {
            let (waiting, granted) = {
                let mut state = self.state();
                if self.has_room(&state, &key) {
                    return self.grant(&mut state, key);
                }
                let (grant, granted) = oneshot::channel();
                let arrival = state.arrivals;
                state.arrivals += 1;
                state.waiters.entry(key.clone()).or_default().push(Waiter { arrival, grant });
                (Waiting { limiter: self, key: key.clone(), arrival }, granted)
            };
            let granted = granted.await;
            drop(waiting);
            // An error would mean that the permit was lost on its way, which it never is.
            if let Ok(permit) = granted {
                return permit;
            }
        }
    }

    /// How many permits are free.
    pub(crate) fn free(&self) -> usize {
        self.max - self.state().in_use
    }

    /// From now on there are no more permits.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
    }

    fn has_room(&self, state: &State<K>, key: &K) -> bool {
        self.has_room_for(state, key, self.slow_have_half(state))
    }

    /// The same, where it is known whether slow keys have all that they can have.
    fn has_room_for(&self, state: &State<K>, key: &K, slow_have_half: bool) -> bool {
        let free = self.max - state.in_use;
        if free == 0 || state.is_closed {
            return false;
        }
        let of_key = || state.in_use_by_key.get(key).copied().unwrap_or_default();
        if self.is_shared && of_key() >= free {
            return false;
        }
        !slow_have_half || !(state.slow.contains(key) || self.slow(state).any(|(running, _)| running == key))
    }

    fn slow_have_half(&self, state: &State<K>) -> bool {
        self.slow_after.is_some() && self.slow(state).count() >= self.max.div_ceil(2)
    }

    /// The permits in use of slow keys.
    fn slow<'a>(&self, state: &'a State<K>) -> impl Iterator<Item = &'a (K, Instant)> {
        let limit = self.slow_after.unwrap_or(Duration::MAX);
        state.running.iter().filter(move |(key, since)| state.slow.contains(key) || since.elapsed() >= limit)
    }

    fn grant(self: &Arc<Self>, state: &mut State<K>, key: K) -> Permit<K> {
        state.in_use += 1;
        *state.in_use_by_key.entry(key.clone()).or_default() += 1;
        let since = self.slow_after.map(|_| Instant::now());
        state.running.extend(since.map(|since| (key.clone(), since)));
        Permit { limiter: Arc::clone(self), key, since }
    }

    /// The next waiter that there is a permit for, and its permit. The lock is free again when this returns: should the
    /// waiter be gone, its permit comes back and is dropped.
    fn next(self: &Arc<Self>) -> Option<(oneshot::Sender<Permit<K>>, Permit<K>)> {
        let mut state = self.state();
        if state.in_use >= self.max || state.waiters.is_empty() {
            return None;
        }
        let slow_have_half = self.slow_have_half(&state);
        let with_room =
            state.waiters.iter().filter(|(key, _)| self.has_room_for(&state, key, slow_have_half));
        let (key, _) = with_room.min_by_key(|(key, waiters)| {
            let in_use = state.in_use_by_key.get(key).copied().unwrap_or_default();
            (in_use, std::cmp::Reverse(waiters.last().map(|waiter| waiter.arrival)))
        })?;
        let key = key.clone();
        let waiters = state.waiters.get_mut(&key)?;
        let Waiter { grant, .. } = waiters.pop()?;
        if waiters.is_empty() {
            state.waiters.remove(&key);
        }
        let permit = self.grant(&mut state, key);
        Some((grant, permit))
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        // Nothing that is done under the lock panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone> State<K> {
    /// Takes back a permit that was in use since then.
    fn release(&mut self, key: &K, since: Option<Instant>, slow_after: Option<Duration>) {
        self.in_use -= 1;
        if let Some(of_key) = self.in_use_by_key.get_mut(key) {
            *of_key -= 1;
            if *of_key == 0 {
                self.in_use_by_key.remove(key);
            }
        }
        let (Some(since), Some(slow_after)) = (since, slow_after) else { return };
        let ended = self.running.iter().position(|(running, began)| running == key && *began == since);
        ended.map(|at| self.running.swap_remove(at));
        if since.elapsed() < slow_after {
            self.slow.remove(key);
        } else {
            if self.slow.len() >= SLOW_KEYS_MAX {
                self.slow.clear();
            }
            self.slow.insert(key.clone());
        }
    }
}

impl<K: Eq + Hash + Clone> Drop for Waiting<'_, K> {
    fn drop(&mut self) {
        let mut state = self.limiter.state();
        let Some(waiters) = state.waiters.get_mut(&self.key) else { return };
        if let Ok(at) = waiters.binary_search_by_key(&self.arrival, |waiter| waiter.arrival) {
            waiters.remove(at);
        }
        if waiters.is_empty() {
            state.waiters.remove(&self.key);
        }
    }
}

impl<K: Eq + Hash + Clone> Drop for Permit<K> {
    fn drop(&mut self) {
        self.limiter.state().release(&self.key, self.since, self.limiter.slow_after);
        while let Some((grant, permit)) = self.limiter.next() {
            let _ = grant.send(permit);
        }
    }
}

#[cfg(test)]
mod tests;
