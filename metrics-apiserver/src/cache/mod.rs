//! The readings kept: their age, singleflight, the read deadline, prefetching. Owns the trait [`QuerySource`].
//!
//! What a read gets, in this order:
//!
//! 1. The reading in the cache, if its query was sent no longer than the rule's `maxAge` ago. Two rules with the same
//!    query share its reading, each with its own `maxAge`. A `maxAge` of zero never takes a reading from the cache.
//! 2. Otherwise the outcome of the one query in flight for it, which is started if there is none. If that was sent
//!    more than `maxAge` before the read came, its reading is of no more use than a cached one of that age:
//!    [`ReadError::TooOld`]. With a `maxAge` of zero, reads take whatever that query returns; otherwise no two could
//!    share one.
//! 3. [`ReadError::DeadlinePassed`] once the read's deadline is reached. The query continues until the backend's own
//!    timeout, and its reading serves the next read.
//!
//! A query that is read at an interval, as by HPAs, is prefetched shortly before each expected read
//! ([`Cache::run_prefetch`]; `schedule` tells when), so that reads get 1. That changes when Prometheus is queried,
//! never what is answered.
//!
//! Each query runs as a task on the runtime given to [`Cache::new`]: it does not end when the client that caused it
//! goes away. A failure is returned to all reads that wait and to those of the next moment; after that, a read tries
//! again. The last reading stays, for reads whose `maxAge` still allows it.
//!
//! A query that is unread for twelve intervals is forgotten; it is not prefetched once the rule that reads it is
//! gone. Bounded by [`Limits`]: when there are too many queries, those read longest ago are evicted; when they use
//! too much memory, those that use most for the longest time; when too many are in flight, a read that would start
//! one more fails at once.
//!
//! Age runs on the monotonic clock from just before the query is sent, so it is never understated; the time that a
//! query waits for a permit to be sent does not count.

mod counts;
mod entry;
mod error;
mod metrics;
mod schedule;
mod singleflight;
mod source;
mod store;
mod subscriber;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info_span};

pub use crate::rules::{BackendName, Query};
pub use counts::QueryCounts;
pub use error::{QueryError, ReadError};
pub use source::{Owner, QuerySource, Reading};
pub use store::Limits;
pub use subscriber::Subscriber;

use entry::Lookup;
use metrics::Metrics;
use singleflight::Leader;
use store::Store;

/// The readings kept, and the only way to Prometheus.
pub struct Cache {
    source: Arc<dyn QuerySource>,
    store: Arc<Store>,
    runtime: Handle,
    tasks: Mutex<JoinSet<()>>,
    metrics: Metrics,
}

impl Cache {
    /// An empty cache; queries run on `runtime`, which must outlive every server thread.
    pub fn new(source: Arc<dyn QuerySource>, limits: Limits, runtime: Handle) -> Self {
        let store = Arc::new(Store::new(limits));
        Self { source, store, runtime, tasks: Mutex::default(), metrics: Metrics::new() }
    }

    /// Registers the cache's metrics.
    pub fn register(&self, registry: &mut Registry) {
        self.metrics.register(registry, &self.store.stats);
    }

    /// A reading for `query` by the rules above. From now on the query is prefetched for `subscriber`.
    pub async fn reading(
        &self,
        query: &Query,
        max_age: Duration,
        subscriber: &Subscriber,
        deadline: Instant,
    ) -> Result<Arc<Reading>, ReadError> {
        let now = Instant::now();
        let waiter = match self.store.look(query, max_age, subscriber, now) {
            Lookup::Hit(reading) => {
                self.metrics.hits.inc();
                return Ok(reading);
            }
            Lookup::Failed(error) => {
                self.metrics.hits.inc();
                return Err(error.into());
            }
            Lookup::Joined(waiter) => {
                self.metrics.joined.inc();
                waiter
            }
            Lookup::Missed(leader, waiter) => {
                self.metrics.missed.inc();
                self.metrics.started_for_read.inc();
                self.spawn(query.clone(), leader);
                waiter
            }
            Lookup::Refused => {
                self.metrics.refused.inc();
                return Err(ReadError::Busy);
            }
        };
        Span::current().record("waited", true);
        let reading = waiter.outcome(deadline).await?;
        // The query may have been in flight for long when the read came: its reading is too old from the start.
        let is_too_old = now.saturating_duration_since(reading.asked) > max_age && !max_age.is_zero();
        if is_too_old { Err(ReadError::TooOld(max_age)) } else { Ok(reading) }
    }

    /// Sends prefetches when they are due, and forgets what nobody reads; never ends.
    pub async fn run_prefetch(self: Arc<Self>) {
        loop {
            let now = Instant::now();
            let (prefetches, next) = self.store.take_due(now);
            for (query, leader) in prefetches {
                self.metrics.prefetches.inc();
                self.spawn(query, leader);
            }
            let earlier = self.store.earlier.notified();
            match next {
                Some(next) => drop(timeout_at(next, earlier).await),
                None => earlier.await,
            }
        }
    }

    /// Keeps a reading that a rule's policies turned into values, until a newer one is kept or the query is forgotten.
    pub fn keep_last_good(&self, query: &Query, reading: &Arc<Reading>) {
        self.store.keep_last_good(query, reading, Instant::now());
    }

    /// Readings that can replace one that is missing or bad: the last one, which may be good though no read has used
    /// it yet, and the last good one, if their queries were sent no longer than `longest` ago.
    pub fn stale_candidates(
        &self,
        query: &Query,
        longest: Duration,
    ) -> impl Iterator<Item = Arc<Reading>> + use<> {
        self.store.stale_candidates(query, longest, Instant::now())
    }

    /// Forgets everything of a backend, queries in flight included: from now on it is another server, or none.
    pub fn forget(&self, backend: &BackendName) {
        self.store.forget(backend);
    }

    /// Starts no more queries and aborts those in flight; for when nobody reads any more.
    pub async fn shutdown(&self) {
        self.store.close();
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }

    /// Runs a query as a task. Its span is a child of the read that started it, or a root for a prefetch.
    fn spawn(&self, query: Query, leader: Leader) {
        let backend = &*query.backend.0;
        let span = info_span!(
            target: "traces", "query", otel.kind = "client", backend, outcome = Empty, otel.status_code = Empty,
        );
        let task = run(Arc::clone(&self.source), Arc::clone(&self.store), query, leader);
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(ended) = tasks.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "query task panicked; please report this");
            }
        }
        tasks.spawn_on(task.instrument(span), &self.runtime);
    }
}

async fn run(source: Arc<dyn QuerySource>, store: Arc<Store>, query: Query, leader: Leader) {
    let began = Instant::now();
    let result = source.query(query.clone(), leader.owner).await;
    let span = Span::current();
    span.record("outcome", leader.counts.ended(&result, began.elapsed()));
    if let Err(error) = &result {
        span.record("otel.status_code", "ERROR");
        log(&query, error, &leader.counts);
    }
    let outcome = result.map(Arc::new);
    // First the store, then those who wait: a read in between finds the reading, not a query that is over.
    store.complete(&query, began, Instant::now(), &outcome);
    leader.complete(outcome);
}

/// A failure is logged once in a while for each metric, and its details each time at a higher verbosity. The circuit
/// breaker logs by itself that it is open, so a query that it holds back needs no line.
fn log(query: &Query, error: &QueryError, counts: &QueryCounts) {
    let (backend, query, detail) = (&*query.backend.0, &*query.promql, error.detail());
    let is_held_back = matches!(error, QueryError::BreakerOpen { .. });
    let line = if is_held_back { None } else { counts.failures.next_line() };
    if let Some(suppressed) = line {
        tracing::warn!(backend, query, %error, detail, suppressed, "query failed");
    } else {
        tracing::debug!(backend, query, %error, detail, "query failed");
    }
}

#[cfg(test)]
mod tests;
