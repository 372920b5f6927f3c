//! A limit on memory: at most N bytes in use at once.
//!
//! Waiters are served first in, first out. One that asks for more than the whole budget gets all of it, so it runs
//! alone instead of never.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// A budget of bytes. A [`share`](Self::share) takes from its own, smaller budget and from the one it is a share of.
#[derive(Debug)]
pub(crate) struct ByteBudget {
    /// The share's own first: a waiter for that holds nothing of the common budget.
    levels: Vec<Level>,
    /// Bounds how many wait.
    waiters: Semaphore,
    waiters_max: usize,
}

#[derive(Debug, Clone)]
struct Level {
    free: Arc<Semaphore>,
    bytes: u32,
}

/// Bytes in use; returned when dropped.
#[derive(Debug)]
pub(crate) struct BytePermit {
    _levels: Vec<OwnedSemaphorePermit>,
}

/// The bytes did not become free before the deadline, or too many requests wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfBudget;

impl ByteBudget {
    /// A budget of `bytes`, up to 4 GiB; at most `waiters_max` requests wait for it.
    pub(crate) fn new(bytes: u32, waiters_max: usize) -> Self {
        Self { levels: vec![Level::new(bytes)], waiters: Semaphore::new(waiters_max), waiters_max }
    }

    /// A part of this budget: its bytes are taken from both.
    pub(crate) fn share(&self, bytes: u32) -> Self {
        let levels = std::iter::once(Level::new(bytes)).chain(self.levels.iter().cloned()).collect();
        Self { levels, waiters: Semaphore::new(self.waiters_max), waiters_max: self.waiters_max }
    }

    /// Takes `bytes`, if they are free.
    pub(crate) fn try_acquire(&self, bytes: usize) -> Option<BytePermit> {
        let take = |level: &Level| Arc::clone(&level.free).try_acquire_many_owned(level.part(bytes)).ok();
        Some(BytePermit { _levels: self.levels.iter().map(take).collect::<Option<_>>()? })
    }

    /// Takes `bytes`, waiting for them until `deadline`. Cancel-safe.
    pub(crate) async fn acquire(&self, bytes: usize, deadline: Instant) -> Result<BytePermit, OutOfBudget> {
        let _waiter = self.waiters.try_acquire().map_err(|_| OutOfBudget)?;
        let mut permits = Vec::with_capacity(self.levels.len());
        for level in &self.levels {
            let acquired = Arc::clone(&level.free).acquire_many_owned(level.part(bytes));
            let acquired = timeout_at(deadline, acquired).await;
            // No semaphore is ever closed.
            permits.extend(acquired.map_err(|_| OutOfBudget)?);
        }
        Ok(BytePermit { _levels: permits })
    }
}

impl Level {
    fn new(bytes: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(bytes as usize)), bytes }
    }

    /// What a request for so many bytes takes: all there are, if it asks for more.
    fn part(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A permit for `bytes`, if they are free now.
    fn permit(budget: &ByteBudget, bytes: usize) -> Option<BytePermit> {
        budget.acquire(bytes, Instant::now() + SECOND).now_or_never().and_then(Result::ok)
    }

    #[tokio::test]
    async fn so_many_bytes_are_in_use_at_once_and_the_largest_request_gets_all_of_them() {
        let budget = ByteBudget::new(8, 64);
        let five = permit(&budget, 5);
        assert!(five.is_some() && permit(&budget, 4).is_none());
        assert!(permit(&budget, 3).is_some(), "given back at once");
        drop(five);
        assert!(budget.try_acquire(9).is_some() && budget.try_acquire(8).is_some());
        let all = permit(&budget, usize::MAX);
        assert!(budget.try_acquire(1).is_none());
        assert!(all.is_some() && permit(&budget, 1).is_none());
        drop(all);
        assert!(permit(&budget, 8).is_some());
    }

    #[tokio::test]
    async fn a_share_leaves_the_rest_to_others() {
        let budget = ByteBudget::new(8, 64);
        let (one, other) = (budget.share(4), budget.share(4));
        let _of_one = permit(&one, 4).unwrap();
        assert!(permit(&one, 1).is_none());
        let of_other = permit(&other, 3).unwrap();
        assert!(permit(&budget, 2).is_none(), "both took from the whole");
        assert!(one.try_acquire(1).is_none() && budget.try_acquire(1).is_some());
        drop(of_other);
        assert!(permit(&budget, 4).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_until_its_deadline_and_no_more_than_so_many_wait() {
        let budget = ByteBudget::new(8, 2);
        let taken = permit(&budget, 8);
        let began = Instant::now();
        let waiting = || budget.acquire(1, began + SECOND);
        let mut all: Vec<_> = (0..2).map(|_| Box::pin(waiting())).collect();
        assert!(all.iter_mut().all(|one| one.now_or_never().is_none()));
        assert_eq!(waiting().now_or_never().and_then(Result::err), Some(OutOfBudget), "one more");
        assert_eq!(all.pop().unwrap().await.err(), Some(OutOfBudget));
        assert_eq!(began.elapsed(), SECOND);
        drop((taken, all));
        assert!(permit(&budget, 8).is_some(), "one that gives up leaves nothing behind");
    }
}
