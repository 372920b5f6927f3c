//! The cache's metrics.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters, each looked up once: a read from the cache takes a microsecond.
#[derive(Debug)]
pub(super) struct Metrics {
    lookups: Counters,
    queries_started: Counters,
    /// Reads answered from the cache.
    pub(super) hits: Counter,
    /// Reads that waited for a query already in flight.
    pub(super) joined: Counter,
    /// Reads that started a query and waited for it.
    pub(super) missed: Counter,
    /// Reads refused because too many queries were in flight.
    pub(super) refused: Counter,
    /// Queries started because a read waits for them.
    pub(super) started_for_read: Counter,
    /// Queries started ahead of an expected read.
    pub(super) prefetches: Counter,
}

type Counters = Family<[(&'static str, &'static str); 1], Counter>;

impl Metrics {
    pub(super) fn new() -> Self {
        let (lookups, queries_started) = (Counters::default(), Counters::default());
        let lookup = |result| lookups.get_or_create_owned(&[("result", result)]);
        let started = |reason| queries_started.get_or_create_owned(&[("reason", reason)]);
        Self {
            hits: lookup("hit"),
            joined: lookup("joined"),
            missed: lookup("missed"),
            refused: lookup("refused"),
            started_for_read: started("read"),
            prefetches: started("prefetch"),
            lookups,
            queries_started,
        }
    }

    pub(super) fn register(&self, registry: &mut Registry, stats: &CacheStats) {
        let own = registry.sub_registry_with_prefix("metrics_apiserver_cache");
        own.register("lookups", "Reads of the cache, by result", self.lookups.clone());
        own.register("queries_started", "Queries started, by reason", self.queries_started.clone());
        own.register("queries", "Queries in the cache", stats.queries.clone());
        own.register(
            "queries_prefetched",
            "Queries that are prefetched before each expected read",
            stats.prefetched.clone(),
        );
        own.register("samples", "Samples in the cache", stats.samples.clone());
        own.register(
            "bytes",
            "Estimated memory of the queries and readings in the cache",
            stats.bytes.clone(),
        );
        own.register(
            "evictions",
            "Queries removed from the cache because it was full",
            stats.evictions.clone(),
        );
    }
}

/// What the cache holds. Exact: changed with each query.
#[derive(Debug, Default)]
pub(super) struct CacheStats {
    queries: Gauge,
    prefetched: Gauge,
    samples: Gauge,
    bytes: Gauge,
    pub(super) evictions: Counter,
}

/// What one query adds to [`CacheStats`], or what all do. Small, because each query has one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) queries: u32,
    /// Whether it is prefetched.
    pub(super) prefetched: u32,
    pub(super) samples: u32,
    pub(super) bytes: u32,
}

impl CacheStats {
    /// A query's size has changed.
    pub(super) fn replace(&self, before: Size, after: Size) {
        for (gauge, before, after) in [
            (&self.queries, before.queries, after.queries),
            (&self.prefetched, before.prefetched, after.prefetched),
            (&self.samples, before.samples, after.samples),
            (&self.bytes, before.bytes, after.bytes),
        ] {
            if before != after {
                gauge.inc_by(i64::from(after) - i64::from(before));
            }
        }
    }

    /// The size of all queries.
    pub(super) fn total(&self) -> Size {
        let count = |gauge: &Gauge| u32::try_from(gauge.get()).unwrap_or_default();
        Size {
            queries: count(&self.queries),
            prefetched: count(&self.prefetched),
            samples: count(&self.samples),
            bytes: count(&self.bytes),
        }
    }
}
