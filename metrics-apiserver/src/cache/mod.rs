//! The readings kept: age, single flight, the read deadline. Owns the trait [`QuerySource`].
//!
//! What a read gets, in this order:
//!
//! 1. The reading in cache, if its query was sent no longer than the rule's `maxAge` ago. Two rules that put the
//!    same query share its reading, each with its own `maxAge`. Zero never takes a reading from the cache.
//! 2. Else the outcome of the one fetch in flight for the query, which is begun if there is none: a second query beside
//!    it would load Prometheus for nothing. If it was sent longer than `maxAge` before the read came, its reading is no more
//!    use to the read than one in cache: [`ReadError::TooOld`]. So what a read gets was asked at most `maxAge` before
//!    it. Zero takes whatever that fetch gives, else no two reads could share one.
//! 3. [`ReadError::DeadlinePassed`] once the read's deadline is reached. The fetch goes on until the backend's own
//!    timeout, and what it gives serves the next read.
//!
//! Where a query is read on a beat, as HPAs do, its fetches run ahead of its reads ([`Cache::run_ahead`]; how is told
//! in `crate::rhythm`), and 1 is what reads get. That changes when Prometheus is asked, never what is answered.
//!
//! A fetch is a task of its own on the runtime given to [`Cache::new`]: a client that goes away, or the end of
//! the web worker that began the fetch, costs the others nothing. A failure goes to all who waited and to who
//! reads in the next moment; after that, a read asks again. The reading before it stays,
//! for those whose `maxAge` still allows it.
//!
//! A query that nobody reads for twelve of its beats is forgotten, and not fetched ahead once its subscriber is gone.
//! Bounded by [`Limits`]: when there are too many queries, those read longest ago are forgotten; when they take too much,
//! those that take most for the longest time; when too many fetches are in flight, a read that would begin one more fails at
//! once.
//!
//! Age runs on the monotonic clock from just before the query is sent, so it is never understated; the time that a query
//! waits for its turn at the backend is no age.

mod counts;
mod entry;
mod metrics;
mod singleflight;
mod source;
mod store;
mod subscriber;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info_span};

pub use crate::rules::{BackendName, Query};
pub use counts::QueryCounts;
pub use source::{Owner, QueryError, QuerySource, Reading};
pub use subscriber::Subscriber;

use metrics::Metrics;
use singleflight::Leader;
use store::{Lookup, Store};

/// Queries kept at most: twice the 10,000 HPAs of the largest clusters; a query with a small reading takes
/// about a kilobyte and a half.
pub const QUERIES_MAX: usize = 20_000;

/// What all queries and readings together may take, of the 160 MB that the manifests allow: the program takes 16, and
/// answers that are read and decoded up to 90. Enough for all queries with 900 bytes of text and labels each; without it,
/// a few readings of the largest kind, or a thousand of the longest queries, would end the process.
pub const BYTES_MAX: usize = 48_000_000;

/// Fetches in flight at most, waiting for their turn at the backend included. More could not be answered within a
/// backend's timeout anyway: ten at a time, 20 ms each, are 5,000 in 10 s.
pub const FETCHES_MAX: usize = 4_096;

/// Between two looks for fetches that are due, at least: with 10,000 queries one is always due.
const TICK: Duration = Duration::from_millis(25);

/// The same at most: beats that are learned meanwhile. The least margin that fetches are sent ahead with.
const TICK_MAX: Duration = Duration::from_millis(100);

/// How much the cache may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Queries kept; an even share of them in each shard, so a little less may be reached.
    pub queries: usize,
    /// What queries and readings take together. Passed by one large reading, or by what a tenth of a second brings.
    pub bytes: usize,
    /// Fetches in flight.
    pub fetches: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queries: QUERIES_MAX, bytes: BYTES_MAX, fetches: FETCHES_MAX }
    }
}

/// Why a read gets no reading.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The query failed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The read's deadline passed first; the query continues and serves the next read.
    #[error("prometheus did not answer in time; the next read gets this query's result")]
    DeadlinePassed,
    /// The query that the read waited for was sent more than `maxAge` before it.
    #[error(
        "prometheus did not answer within the metric's maxAge of {0:?}; make the query faster or increase maxAge"
    )]
    TooOld(Duration),
    /// [`Limits::fetches`] queries are in flight.
    #[error("too many queries to prometheus are in flight")]
    Busy,
}

/// The readings kept, and the only way to Prometheus.
pub struct Cache {
    source: Arc<dyn QuerySource>,
    store: Arc<Store>,
    runtime: Handle,
    fetches: Mutex<JoinSet<()>>,
    metrics: Metrics,
}

impl Cache {
    /// An empty memory; fetches run on `runtime`, which must outlive every server thread.
    pub fn new(source: Arc<dyn QuerySource>, limits: Limits, runtime: Handle) -> Self {
        let store = Arc::new(Store::new(limits));
        Self { source, store, runtime, fetches: Mutex::default(), metrics: Metrics::new() }
    }

    /// Registers what the cache tells of itself.
    pub fn register(&self, registry: &mut Registry) {
        self.metrics.register(registry, Arc::clone(&self.store));
    }

    /// A reading for `query` by the module's rules; its fetches are the subscriber's from now on, ahead of reads as well.
    pub async fn reading(
        &self,
        query: &Query,
        max_age: Duration,
        subscriber: &Subscriber,
        deadline: Instant,
    ) -> Result<Arc<Reading>, ReadError> {
        let now = Instant::now();
        let flight = match self.store.look(query, max_age, subscriber, now) {
            Lookup::Reading(reading) => {
                self.metrics.hits.inc();
                return Ok(reading);
            }
            Lookup::Ageing(reading, leader) => {
                self.metrics.hits.inc();
                self.metrics.fetched_ahead.inc();
                self.spawn(query.clone(), leader);
                return Ok(reading);
            }
            Lookup::Waiter(flight) => {
                self.metrics.joined.inc();
                flight
            }
            Lookup::Begun(leader, flight) => {
                self.metrics.missed.inc();
                self.metrics.fetched_for_a_read.inc();
                self.spawn(query.clone(), leader);
                flight
            }
            Lookup::Failed(error) => {
                self.metrics.hits.inc();
                return Err(error.into());
            }
            Lookup::Busy => {
                self.metrics.refused.inc();
                return Err(ReadError::Busy);
            }
        };
        Span::current().record("waited", true);
        let reading = flight.outcome(deadline).await?;
        // The fetch may have been under way for long when the read came: what it gives was then too old from the start.
        let is_too_old = now.saturating_duration_since(reading.asked) > max_age && !max_age.is_zero();
        if is_too_old { Err(ReadError::TooOld(max_age)) } else { Ok(reading) }
    }

    /// Sends fetches ahead of the reads that are expected, and forgets what nobody reads any more; never ends.
    pub async fn run_ahead(self: Arc<Self>) {
        loop {
            let now = Instant::now();
            let (due, next) = self.store.due(now);
            for (query, leader) in due {
                self.metrics.fetched_ahead.inc();
                self.spawn(query, leader);
            }
            let next = next.unwrap_or(now + TICK_MAX);
            tokio::time::sleep_until(next.clamp(now + TICK, now + TICK_MAX)).await;
        }
    }

    /// Keeps a reading that a rule's policies made values of, until a newer one is kept or the query is forgotten.
    pub fn keep_last_good(&self, query: &Query, reading: &Arc<Reading>) {
        self.store.keep_last_good(query, reading);
    }

    /// What can stand in for a reading that is missing or no good: the last one, which may be neither, and the last good one,
    /// if their queries were sent no longer than `longest` ago. Another rule may have called it good.
    pub fn stale_candidates(
        &self,
        query: &Query,
        longest: Duration,
    ) -> impl Iterator<Item = Arc<Reading>> + use<> {
        self.store.stale_candidates(query, longest, Instant::now())
    }

    /// Forgets all of a backend, readings that are on their way included: it is another server from now on, or none.
    pub fn forget(&self, backend: &BackendName) {
        self.store.forget(backend);
    }

    /// Begins no more fetches and ends those in flight; for when nobody reads any more.
    pub async fn shutdown(&self) {
        self.store.close();
        let mut fetches = std::mem::take(&mut *self.fetches.lock().unwrap_or_else(PoisonError::into_inner));
        fetches.shutdown().await;
    }

    /// Begins a fetch. In a trace it is a child of the read that began it, or a root if none did.
    fn spawn(&self, query: Query, leader: Leader) {
        let backend = &*query.backend.0;
        let span = info_span!(target: "traces", "query", otel.kind = "client", backend, outcome = Empty, otel.status_code = Empty);
        let fetch = fetch(Arc::clone(&self.source), Arc::clone(&self.store), query, leader);
        let mut fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(ended) = fetches.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a fetch crashed; please report it");
            }
        }
        fetches.spawn_on(fetch.instrument(span), &self.runtime);
    }
}

async fn fetch(source: Arc<dyn QuerySource>, store: Arc<Store>, query: Query, leader: Leader) {
    let began = Instant::now();
    let fetched = source.query(query.clone(), Owner::new(&leader.counts)).await;
    let span = Span::current();
    span.record("outcome", leader.counts.ended(&fetched, began.elapsed()));
    if let Err(error) = &fetched {
        span.record("otel.status_code", "ERROR");
        let (backend, query, detail) = (&*query.backend.0, &*query.promql, error.detail());
        // Whoever found out that the backend is down has said so; each query that is not sent need not repeat it.
        if matches!(error, QueryError::BreakerOpen { .. }) {
            tracing::debug!(backend, query, %error, "query not sent");
        } else {
            tracing::warn!(backend, query, %error, detail, "query failed");
        }
    }
    let outcome = fetched.map(Arc::new);
    // First the store, then those who wait: a read that comes between finds the reading, not a fetch that is over.
    store.complete(&query, began, Instant::now(), &outcome);
    leader.complete(outcome);
}

#[cfg(test)]
mod tests;
