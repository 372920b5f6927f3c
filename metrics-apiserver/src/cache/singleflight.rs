//! Singleflight: one query in flight, with a leader that runs it and any number of waiters.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{Owner, QueryCounts, QueryError, ReadError, Reading, Subscriber};
use crate::limit::Permit;

/// The result of a query, shared by all who waited.
pub(super) type Outcome = Result<Arc<Reading>, QueryError>;

/// Waits for the query; any number of reads hold one.
#[derive(Debug, Clone)]
pub(super) struct Waiter(watch::Receiver<Option<Outcome>>);

/// Runs the query. Dropped without an outcome (a panic, shutdown), it wakes the waiters.
#[derive(Debug)]
pub(super) struct Leader {
    outcome: watch::Sender<Option<Outcome>>,
    /// Where the query is counted.
    pub(super) counts: Arc<QueryCounts>,
    /// What it is sent for.
    pub(super) owner: Owner,
    /// Held while the query is in flight: bounds how many are.
    _slot: Permit<Owner>,
}

/// Leader and first waiter of a new query.
pub(super) fn begin(slot: Permit<Owner>, subscriber: &Subscriber) -> (Leader, Waiter) {
    let (outcome, waiter) = watch::channel(None);
    let (counts, owner) = (Arc::clone(&subscriber.counts), subscriber.sent_for);
    (Leader { outcome, counts, owner, _slot: slot }, Waiter(waiter))
}

impl Leader {
    /// Gives the outcome to the waiters.
    pub(super) fn complete(self, outcome: Outcome) {
        self.outcome.send_replace(Some(outcome));
    }
}

impl Waiter {
    /// Whether the leader is gone. A query that completed was removed from the store before; one found there that is
    /// over has panicked.
    pub(super) fn is_over(&self) -> bool {
        self.0.has_changed().is_err()
    }

    /// The query's outcome, waited for until `deadline`.
    pub(super) async fn outcome(mut self, deadline: Instant) -> Result<Arc<Reading>, ReadError> {
        let completed = timeout_at(deadline, self.0.wait_for(Option::is_some)).await;
        let outcome = match completed.map_err(|_| ReadError::DeadlinePassed)? {
            Ok(outcome) => outcome.clone(),
            Err(_) => None,
        };
        outcome.unwrap_or_else(|| Err(panicked())).map_err(ReadError::Query)
    }
}

fn panicked() -> QueryError {
    QueryError::Unavailable { detail: "the query ended without an outcome".into() }
}
