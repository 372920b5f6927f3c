//! What the cache tells of itself at `/metrics`.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::store::Store;

/// Counters, each looked up once: a read from the cache takes a microsecond.
#[derive(Debug)]
pub(super) struct Metrics {
    lookups: Counters,
    fetches: Counters,
    /// Reads answered from the cache.
    pub(super) hits: Counter,
    /// Reads that waited for a fetch begun by another read, or ahead.
    pub(super) joined: Counter,
    /// Reads that began a fetch and waited for it.
    pub(super) missed: Counter,
    /// Reads that could not begin one.
    pub(super) refused: Counter,
    /// Fetches that a read waits for.
    pub(super) fetched_for_a_read: Counter,
    /// Fetches that run ahead of reads.
    pub(super) fetched_ahead: Counter,
}

type Counters = Family<[(&'static str, &'static str); 1], Counter>;

impl Metrics {
    pub(super) fn new() -> Self {
        let (lookups, fetches) = (Counters::default(), Counters::default());
        let lookup = |result| lookups.get_or_create_owned(&[("result", result)]);
        let fetch = |reason| fetches.get_or_create_owned(&[("reason", reason)]);
        Self {
            hits: lookup("hit"),
            joined: lookup("joined"),
            missed: lookup("missed"),
            refused: lookup("refused"),
            fetched_for_a_read: fetch("read"),
            fetched_ahead: fetch("ahead"),
            lookups,
            fetches,
        }
    }

    pub(super) fn register(&self, registry: &mut Registry, store: Arc<Store>) {
        let own = registry.sub_registry_with_prefix("metrics_apiserver_cache");
        own.register("lookups", "Reads, by what memory had for them", self.lookups.clone());
        own.register("fetches", "Queries begun, by why", self.fetches.clone());
        own.register_collector(Box::new(Content(store)));
    }
}

/// Counts what is kept when it is scraped.
#[derive(Debug)]
struct Content(Arc<Store>);

impl Collector for Content {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let stats = self.0.stats();
        for (name, help, count) in [
            ("queries", "Queries kept", stats.queries),
            ("questions_ahead", "Queries whose fetches run ahead of their reads", stats.ahead),
            ("samples", "Samples kept", stats.samples),
            ("bytes", "What queries and readings take, by their lengths", stats.bytes),
        ] {
            let gauge = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let (name, help) = ("evictions", "Queries forgotten because the memory was full");
        let evicted = ConstCounter::new(stats.evicted);
        evicted.encode(encoder.encode_descriptor(name, help, None, evicted.metric_type())?)
    }
}
