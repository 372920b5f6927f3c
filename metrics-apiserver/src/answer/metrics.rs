//! Prometheus metrics of reads, by metric and outcome.
//!
//! A read finds its statistics by one lookup in a map that is made once per catalog and swapped as a whole, without a
//! lock or an allocation. A rule that a reload keeps also keeps its counts; one that a reload removes loses its series.
//! Only outcomes that occurred are shown, so a metric that nobody reads costs nothing in a scrape.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::outcome::Outcome;
use super::stats::ReadStats;
use crate::catalog::{Catalog, ServedCatalog};
use crate::metric::{MetricId, MetricName};
use crate::rules::Rule;

/// Metrics with series of their own. Each metric that is read has about 40 series; more would burden Prometheus.
pub(super) const OWN_SERIES_MAX: usize = 1_000;

/// The label `metric` of all others that rules serve.
const OTHER: &str = "_other";
/// The label `metric` of all that no rule serves.
const UNKNOWN: &str = "_unknown";
/// The label `metric` of reads of `metrics.k8s.io`.
pub(super) const USAGE: [&str; 2] = ["pods.metrics.k8s.io", "nodes.metrics.k8s.io"];

/// Counts reads.
#[derive(Debug)]
pub(super) struct ReadMetrics {
    catalog: Arc<ServedCatalog>,
    served: ArcSwap<AllStats>,
    /// Held while the statistics of a new catalog are made.
    renewing: Mutex<()>,
    /// Reads of metrics that no rule serves.
    unknown: ReadStats,
    /// Reads of the usage of pods and of nodes.
    usage: [(&'static str, Arc<ReadStats>); 2],
}

/// The statistics of one catalog.
#[derive(Debug)]
struct AllStats {
    generation: u64,
    own: BTreeMap<MetricId, Own>,
    other: Arc<ReadStats>,
}

/// A rule with series of its own.
#[derive(Debug)]
struct Own {
    /// As the operator wrote it.
    name: MetricName,
    stats: Arc<ReadStats>,
    /// Whether its policies hold values, so that it has a gauge of holds.
    holds: bool,
}

impl ReadMetrics {
    /// Counts the reads of what `catalog` serves; registers the metrics.
    pub(super) fn register(registry: &mut Registry, catalog: Arc<ServedCatalog>) -> Arc<Self> {
        let none = AllStats { generation: 0, own: BTreeMap::new(), other: Arc::new(ReadStats::new()) };
        let metrics = Self {
            catalog,
            served: ArcSwap::from_pointee(none),
            renewing: Mutex::default(),
            unknown: ReadStats::new(),
            usage: USAGE.map(|name| (name, Arc::new(ReadStats::new()))),
        };
        let metrics = Arc::new(metrics);
        registry.register_collector(Box::new(Arc::clone(&metrics)));
        metrics
    }

    /// The statistics of a metric that `catalog` serves.
    pub(super) fn stats(&self, catalog: &Catalog, metric: &MetricId) -> Arc<ReadStats> {
        let all_stats = self.all_stats(catalog);
        all_stats.own.get(metric).map_or_else(|| Arc::clone(&all_stats.other), |own| Arc::clone(&own.stats))
    }

    /// The statistics of reads of the usage of nodes, or of pods.
    pub(super) fn usage_stats(&self, is_of_nodes: bool) -> Arc<ReadStats> {
        let [(_, pods), (_, nodes)] = &self.usage;
        Arc::clone(if is_of_nodes { nodes } else { pods })
    }

    /// Counts a read of a metric that no rule serves.
    pub(super) fn count_unknown(&self, took: Duration) {
        self.unknown.count(Outcome::Unknown, took);
    }

    /// Makes the statistics of the current catalog, and frees those of removed rules.
    pub(super) fn renew(&self) {
        drop(self.all_stats(&self.catalog.current()));
    }

    /// The statistics of `catalog`, or of a newer one.
    fn all_stats(&self, catalog: &Catalog) -> Arc<AllStats> {
        let all_stats = self.served.load_full();
        if all_stats.generation >= catalog.generation() {
            return all_stats;
        }
        let _one = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        let all_stats = self.served.load_full();
        if all_stats.generation >= catalog.generation() {
            return all_stats;
        }
        let next = Arc::new(all_stats.next(catalog));
        self.served.store(Arc::clone(&next));
        next
    }
}

impl AllStats {
    /// The statistics of the next catalog: rules with series of their own keep them, others get some by name while
    /// there is room.
    fn next(&self, catalog: &Catalog) -> Self {
        let is_named = |rule: &Rule| ![OTHER, UNKNOWN].contains(&rule.name.as_str());
        let entries = catalog.entries().filter(|(_, rule)| is_named(rule));
        let (old, new): (Vec<_>, Vec<_>) = entries.partition(|(metric, _)| self.own.contains_key(metric));
        let own = old.into_iter().chain(new).take(OWN_SERIES_MAX).map(|(metric, rule)| {
            let known = self.own.get(metric).map(|own| Arc::clone(&own.stats));
            let stats = known.unwrap_or_else(|| Arc::new(ReadStats::new()));
            (metric.clone(), Own { name: rule.name.clone(), stats, holds: rule.policies.hold() })
        });
        Self { generation: catalog.generation(), own: own.collect(), other: Arc::clone(&self.other) }
    }
}

impl Collector for ReadMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        // The current catalog: a removed rule has no series, even if nobody has read since.
        let all_stats = self.all_stats(&self.catalog.current());
        let own = all_stats.own.values().map(|own| (own.name.as_str(), &*own.stats));
        let usage = self.usage.iter().map(|(name, stats)| (*name, &**stats));
        let all: Vec<Labelled<'_>> =
            own.chain([(OTHER, &*all_stats.other), (UNKNOWN, &self.unknown)]).chain(usage).collect();
        encode_reads(&mut encoder, &all)?;
        let is_read = |stats: &ReadStats| Outcome::ALL.iter().any(|(outcome, _)| stats.reads(*outcome) > 0);
        let durations = all.iter().filter(|(_, stats)| is_read(stats));
        encode_histograms(
            &mut encoder,
            ("metrics_apiserver_read_duration_seconds", "Time from the parsed request to its values"),
            durations.map(|(metric, stats)| (*metric, &stats.durations)),
        )?;
        let ages = all.iter().filter(|(_, stats)| stats.reads(Outcome::Ok) + stats.reads(Outcome::Held) > 0);
        encode_histograms(
            &mut encoder,
            ("metrics_apiserver_reading_age_seconds", "Age of the reading that answered a read"),
            ages.map(|(metric, stats)| (*metric, &stats.ages)),
        )?;
        let (name, help) = ("metrics_apiserver_queries", "Completed queries, by outcome");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (metric, stats) in &all {
            stats.queries.encode_outcomes(("metric", *metric), false, &mut family)?;
        }
        let queries = all.iter().filter(|(_, stats)| stats.queries.any());
        encode_histograms(
            &mut encoder,
            (
                "metrics_apiserver_query_duration_seconds",
                "Duration of queries, including the wait for a permit",
            ),
            queries.map(|(metric, stats)| (*metric, stats.queries.durations())),
        )?;
        let holding = all_stats.own.values().filter(|own| own.holds);
        let holding = holding.map(|own| (own.name.as_str(), own.stats.holds()));
        encode_holds(&mut encoder, holding.chain(all_stats.other.holds().then_some((OTHER, true))))
    }
}

/// The label `metric`, and its statistics.
type Labelled<'a> = (&'a str, &'a ReadStats);

fn encode_reads(encoder: &mut DescriptorEncoder<'_>, all: &[Labelled<'_>]) -> Result<(), std::fmt::Error> {
    let (name, help) = ("metrics_apiserver_reads", "Completed reads, by outcome");
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (metric, stats) in all {
        for (outcome, word) in Outcome::ALL.into_iter().filter(|(outcome, _)| stats.reads(*outcome) > 0) {
            let labels = [("metric", *metric), ("outcome", word)];
            ConstCounter::new(stats.reads(outcome)).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn encode_histograms<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    series: impl Iterator<Item = (&'a str, &'a Histogram)>,
) -> Result<(), std::fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (metric, histogram) in series {
        histogram.encode(family.encode_family(&[("metric", metric)])?)?;
    }
    Ok(())
}

fn encode_holds<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    series: impl Iterator<Item = (&'a str, bool)>,
) -> Result<(), std::fmt::Error> {
    let (name, help) = (
        "metrics_apiserver_hold_in_effect",
        "Whether a read in the last 45 s was answered with the last good value",
    );
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (metric, holds) in series {
        ConstGauge::new(i64::from(holds)).encode(family.encode_family(&[("metric", metric)])?)?;
    }
    Ok(())
}
