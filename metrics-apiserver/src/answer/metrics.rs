//! Prometheus metrics of reads, by metric and outcome.
//!
//! A read finds its statistics by one lookup in a map that is swapped as a whole, without a lock or an allocation. A
//! native rule has statistics from the start. The metrics of discovered series, of which there may be thousands, get
//! theirs by their first read. A metric that the next catalog keeps also keeps its counts; one that it lacks loses its
//! series. Only outcomes that occurred are shown, so a metric that nobody reads costs nothing in a scrape.

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
use crate::metric::MetricId;
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
    /// Held while the next statistics are made.
    renewing: Mutex<()>,
    /// Reads of metrics that no rule serves.
    unknown: ReadStats,
    /// Reads of the usage of pods and of nodes.
    usage: [(&'static str, Arc<ReadStats>); 2],
}

/// The statistics of one catalog.
#[derive(Debug, Clone)]
struct AllStats {
    generation: u64,
    own: BTreeMap<MetricId, Own>,
    other: Arc<ReadStats>,
}

/// A metric with series of its own.
#[derive(Debug, Clone)]
struct Own {
    /// The label `metric`: the name of an external metric as the operator wrote it, or `pods/name`.
    label: Arc<str>,
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

    /// The statistics of a metric that `catalog` serves by this rule.
    pub(super) fn stats(&self, catalog: &Catalog, metric: &MetricId, rule: &Rule) -> Arc<ReadStats> {
        if let Some(known) = self.all_stats(catalog).find(metric, rule) {
            return known;
        }
        let _one = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        let all_stats = self.served.load_full();
        // Another read may have been the first one.
        all_stats.find(metric, rule).unwrap_or_else(|| {
            let own = Own::new(metric, rule);
            let stats = Arc::clone(&own.stats);
            let mut next = AllStats::clone(&all_stats);
            next.own.insert(metric.clone(), own);
            self.served.store(Arc::new(next));
            stats
        })
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
    /// The statistics that reads of this metric are counted in; none if it is to get its own.
    fn find(&self, metric: &MetricId, rule: &Rule) -> Option<Arc<ReadStats>> {
        let own = self.own.get(metric).map(|own| Arc::clone(&own.stats));
        let gets_none = self.own.len() >= OWN_SERIES_MAX || is_reserved(metric, rule);
        own.or_else(|| gets_none.then(|| Arc::clone(&self.other)))
    }

    /// The statistics of the next catalog: metrics with series of their own keep them, and native rules get some by
    /// name while there is room.
    fn next(&self, catalog: &Catalog) -> Self {
        let entries = catalog.entries().filter(|(metric, rule)| !is_reserved(metric, rule));
        let (old, new): (Vec<_>, Vec<_>) = entries
            .filter(|(metric, rule)| rule.native_query().is_some() || self.own.contains_key(metric))
            .partition(|(metric, _)| self.own.contains_key(metric));
        let own = old.into_iter().chain(new).take(OWN_SERIES_MAX).map(|(metric, rule)| {
            let own = Own::new(metric, rule);
            let known = self.own.get(metric).map(|own| Arc::clone(&own.stats));
            (metric.clone(), Own { stats: known.unwrap_or(own.stats), ..own })
        });
        Self { generation: catalog.generation(), own: own.collect(), other: Arc::clone(&self.other) }
    }
}

impl Own {
    fn new(metric: &MetricId, rule: &Rule) -> Self {
        let label = match metric {
            MetricId::External(_) => rule.name.as_str().into(),
            MetricId::Custom { resource, name, .. } => format!("{resource}/{name}").into(),
        };
        Self { label, stats: Arc::new(ReadStats::new()), holds: rule.policies.hold() }
    }
}

/// Whether an external metric has a name that is a label of other metrics. No custom metric has: its label has a slash.
fn is_reserved(metric: &MetricId, rule: &Rule) -> bool {
    matches!(metric, MetricId::External(_)) && [OTHER, UNKNOWN].contains(&rule.name.as_str())
}

impl Collector for ReadMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        // The current catalog: a removed rule has no series, even if nobody has read since.
        let all_stats = self.all_stats(&self.catalog.current());
        let own = all_stats.own.values().map(|own| (&*own.label, &*own.stats));
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
        let holding = holding.map(|own| (&*own.label, own.stats.holds()));
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
