//! A fetch in flight, as those who wait for it and the one who flies it see it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout_at};

use super::{QueryCounts, QueryError, ReadError, Reading};

/// How a fetch ended.
pub(super) type Outcome = Result<Arc<Reading>, QueryError>;

/// The waiting end; any number of reads hold one.
#[derive(Debug, Clone)]
pub(super) struct Waiter(watch::Receiver<Option<Outcome>>);

/// The flying end. Dropped without an outcome (a panic, the process' end), it wakes those who wait.
#[derive(Debug)]
pub(super) struct Leader {
    outcome: watch::Sender<Option<Outcome>>,
    /// Where it is counted.
    pub(super) counts: Arc<QueryCounts>,
    /// Held as long as the fetch lasts: bounds how many there are.
    _slot: OwnedSemaphorePermit,
}

/// Both ends of a new fetch.
pub(super) fn begin(slot: OwnedSemaphorePermit, counts: Arc<QueryCounts>) -> (Leader, Waiter) {
    let (outcome, flight) = watch::channel(None);
    (Leader { outcome, counts, _slot: slot }, Waiter(flight))
}

impl Leader {
    /// Tells everybody who waits.
    pub(super) fn complete(self, outcome: Outcome) {
        self.outcome.send_replace(Some(outcome));
    }
}

impl Waiter {
    /// Whether the flying end is gone. A fetch that landed was taken off the store before; one found there and over
    /// has crashed.
    pub(super) fn is_over(&self) -> bool {
        self.0.has_changed().is_err()
    }

    /// The fetch's outcome, waited for until `deadline`.
    pub(super) async fn outcome(mut self, deadline: Instant) -> Result<Arc<Reading>, ReadError> {
        let landed = timeout_at(deadline, self.0.wait_for(Option::is_some)).await;
        let outcome = match landed.map_err(|_| ReadError::DeadlinePassed)? {
            Ok(outcome) => outcome.clone(),
            Err(_) => None,
        };
        outcome.unwrap_or_else(|| Err(crashed())).map_err(ReadError::Query)
    }
}

fn crashed() -> QueryError {
    QueryError::Unavailable { detail: "the fetch ended without an outcome".into() }
}
