//! A limit on concurrency: at most N at once, and at most M of them with the same key. Waiters are served last in,
//! first out.
//!
//! While there are enough permits nobody waits, and the order does not matter. Under overload, first in, first out
//! would serve nobody: every waiter would wait until its time is nearly over, and get its permit when the rest no
//! longer suffices. The last to come has all its time before it. The first to come gives up, which costs nothing.
//!
//! The lower limit per key keeps one slow user from taking all permits while others wait.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// At most `max` permits at once, `max_per_key` of one key. Without keys, `K` is `()`.
#[derive(Debug)]
pub(crate) struct ConcurrencyLimiter<K: Eq + Hash + Clone = ()> {
    max: usize,
    max_per_key: usize,
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K: Eq + Hash + Clone> {
    in_use: usize,
    /// Keys without a permit in use are not in here.
    in_use_by_key: HashMap<K, usize>,
    /// By arrival.
    waiters: BTreeMap<u64, Waiter<K>>,
    arrivals: u64,
}

#[derive(Debug)]
struct Waiter<K: Eq + Hash + Clone> {
    key: K,
    grant: oneshot::Sender<Permit<K>>,
}

/// The right to run; returned when dropped.
#[derive(Debug)]
pub(crate) struct Permit<K: Eq + Hash + Clone = ()> {
    limiter: Arc<ConcurrencyLimiter<K>>,
    key: K,
}

/// Removes a waiter when dropped.
struct Waiting<'a, K: Eq + Hash + Clone> {
    limiter: &'a ConcurrencyLimiter<K>,
    arrival: u64,
}

impl<K: Eq + Hash + Clone> ConcurrencyLimiter<K> {
    /// At most `max` at once, `max_per_key` of one key.
    pub(crate) fn new(max: usize, max_per_key: usize) -> Arc<Self> {
        let state = State { in_use: 0, in_use_by_key: HashMap::new(), waiters: BTreeMap::new(), arrivals: 0 };
        Arc::new(Self { max, max_per_key, state: Mutex::new(state) })
    }

    /// A permit, if one is free.
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
                state.waiters.insert(arrival, Waiter { key: key.clone(), grant });
                (Waiting { limiter: self, arrival }, granted)
            };
            let granted = granted.await;
            drop(waiting);
            // An error would mean that the permit was lost on its way, which it never is.
            if let Ok(permit) = granted {
                return permit;
            }
        }
    }

    fn has_room(&self, state: &State<K>, key: &K) -> bool {
        let of_key = state.in_use_by_key.get(key).copied().unwrap_or_default();
        state.in_use < self.max && of_key < self.max_per_key
    }

    fn grant(self: &Arc<Self>, state: &mut State<K>, key: K) -> Permit<K> {
        state.in_use += 1;
        *state.in_use_by_key.entry(key.clone()).or_default() += 1;
        Permit { limiter: Arc::clone(self), key }
    }

    /// The last waiter that there is a permit for, and its permit. The lock is free again when this returns: should the
    /// waiter be gone, its permit comes back and is dropped.
    fn next(self: &Arc<Self>) -> Option<(oneshot::Sender<Permit<K>>, Permit<K>)> {
        let mut state = self.state();
        if state.in_use >= self.max {
            return None;
        }
        let mut last_first = state.waiters.iter().rev();
        let (&arrival, _) = last_first.find(|(_, waiter)| self.has_room(&state, &waiter.key))?;
        let Waiter { key, grant } = state.waiters.remove(&arrival)?;
        let permit = self.grant(&mut state, key);
        Some((grant, permit))
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        // Nothing that is done under the lock panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone> Drop for Waiting<'_, K> {
    fn drop(&mut self) {
        self.limiter.state().waiters.remove(&self.arrival);
    }
}

impl<K: Eq + Hash + Clone> Drop for Permit<K> {
    fn drop(&mut self) {
        {
            let mut state = self.limiter.state();
            state.in_use -= 1;
            if let Some(of_key) = state.in_use_by_key.get_mut(&self.key) {
                *of_key -= 1;
                if *of_key == 0 {
                    state.in_use_by_key.remove(&self.key);
                }
            }
        }
        while let Some((grant, permit)) = self.limiter.next() {
            let _ = grant.send(permit);
        }
    }
}

#[cfg(test)]
mod tests;
