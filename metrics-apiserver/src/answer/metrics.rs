//! The metrics of reads, by metric and outcome.
//!
//! A read finds its stats by one look into a map that is made once per catalog and swapped whole: no lock, no text made.
//! What a rule counted stays when a reload keeps its name, and goes when a reload removes it. Only what has happened is
//! shown, so a metric that nobody reads costs nothing in a scrape.

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
use crate::metric::MetricName;

/// Metrics with series of their own: a read one has some 40, and a Prometheus has better things to keep than more.
pub(super) const OWN_SERIES_MAX: usize = 1_000;

/// The label `metric` of all others that are served.
const OTHER: &str = "_other";
/// The label `metric` of all that are not.
const UNKNOWN: &str = "_unknown";

/// Counts reads.
#[derive(Debug)]
pub(super) struct ReadMetrics {
    catalog: Arc<ServedCatalog>,
    served: ArcSwap<AllStats>,
    /// Held by the one who makes the next all_stats.
    renewing: Mutex<()>,
    /// Reads of metrics that no rule serves.
    unknown: ReadStats,
}

/// The all_stats of one catalog.
#[derive(Debug)]
struct AllStats {
    generation: u64,
    own: BTreeMap<MetricName, Own>,
    other: Arc<ReadStats>,
}

/// A rule with series of its own.
#[derive(Debug, Clone)]
struct Own {
    stats: Arc<ReadStats>,
    /// Whether its policies hold values, so that the gauge of holds is of interest.
    holds: bool,
}

impl ReadMetrics {
    /// Counts the reads of what `catalog` serves, and shows them in `registry`.
    pub(super) fn register(registry: &mut Registry, catalog: Arc<ServedCatalog>) -> Arc<Self> {
        let none = AllStats { generation: 0, own: BTreeMap::new(), other: Arc::new(ReadStats::new()) };
        let metrics = Self {
            catalog,
            served: ArcSwap::from_pointee(none),
            renewing: Mutex::default(),
            unknown: ReadStats::new(),
        };
        let metrics = Arc::new(metrics);
        registry.register_collector(Box::new(Arc::clone(&metrics)));
        metrics
    }

    /// Where the reads of a rule of `catalog` are counted.
    pub(super) fn stats(&self, catalog: &Catalog, rule: &MetricName) -> Arc<ReadStats> {
        let all_stats = self.all_stats(catalog);
        all_stats.own.get(rule).map_or_else(|| Arc::clone(&all_stats.other), |own| Arc::clone(&own.stats))
    }

    /// Counts a read of a metric that no rule serves.
    pub(super) fn count_unknown(&self, took: Duration) {
        self.unknown.count(Outcome::Unknown, took);
    }

    /// Makes the all_stats of the catalog of now, and frees those of the one before.
    pub(super) fn renew(&self) {
        drop(self.all_stats(&self.catalog.current()));
    }

    /// The all_stats of `catalog`, or of a newer one.
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
    /// Those of the next catalog: who has series of its own keeps them, the others follow by name while there is room.
    fn next(&self, catalog: &Catalog) -> Self {
        let rules = catalog.rules().filter(|rule| ![OTHER, UNKNOWN].contains(&rule.name.as_str()));
        let (old, new): (Vec<_>, Vec<_>) = rules.partition(|rule| self.own.contains_key(&rule.name));
        let own = old.into_iter().chain(new).take(OWN_SERIES_MAX).map(|rule| {
            let known = self.own.get(&rule.name).map(|own| Arc::clone(&own.stats));
            let stats = known.unwrap_or_else(|| Arc::new(ReadStats::new()));
            (rule.name.clone(), Own { stats, holds: rule.policies.hold() })
        });
        Self { generation: catalog.generation(), own: own.collect(), other: Arc::clone(&self.other) }
    }
}

impl Collector for ReadMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        // The catalog of now, so that a rule that was removed leaves no series even if nobody reads.
        let all_stats = self.all_stats(&self.catalog.current());
        let own = all_stats.own.iter().map(|(name, own)| (name.as_str(), &*own.stats));
        let all: Vec<Labelled<'_>> =
            own.chain([(OTHER, &*all_stats.other), (UNKNOWN, &self.unknown)]).collect();
        encode_reads(&mut encoder, &all)?;
        let durations = all.iter().filter(|(_, stats)| stats.any(&Outcome::ALL));
        encode_histograms(
            &mut encoder,
            ("metrics_apiserver_read_duration_seconds", "Time from the parsed request to its values"),
            durations.map(|(metric, stats)| (*metric, &stats.durations)),
        )?;
        let ages = all.iter().filter(|(_, stats)| stats.any(&[Outcome::Ok, Outcome::Held]));
        encode_histograms(
            &mut encoder,
            ("metrics_apiserver_reading_age_seconds", "Age of the reading that answered a read"),
            ages.map(|(metric, stats)| (*metric, &stats.ages)),
        )?;
        encode_queries(&mut encoder, &all)?;
        let queries = all.iter().filter(|(_, stats)| stats.queries.any());
        encode_histograms(
            &mut encoder,
            ("metrics_apiserver_query_duration_seconds", "Time of queries, waiting for their turn included"),
            queries.map(|(metric, stats)| (*metric, stats.queries.durations())),
        )?;
        let holding = all_stats.own.iter().filter(|(_, own)| own.holds);
        let holding = holding.map(|(name, own)| (name.as_str(), own.stats.holds()));
        encode_holds(&mut encoder, holding.chain(all_stats.other.holds().then_some((OTHER, true))))
    }
}

/// The label `metric`, and what is counted under it.
type Labelled<'a> = (&'a str, &'a ReadStats);

fn encode_reads(encoder: &mut DescriptorEncoder<'_>, all: &[Labelled<'_>]) -> Result<(), std::fmt::Error> {
    let (name, help) = ("metrics_apiserver_reads", "Reads answered, by how they ended");
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (metric, stats) in all {
        for outcome in Outcome::ALL.into_iter().filter(|outcome| stats.reads(*outcome) > 0) {
            let labels = [("metric", *metric), ("outcome", outcome.as_str())];
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

fn encode_queries(encoder: &mut DescriptorEncoder<'_>, all: &[Labelled<'_>]) -> Result<(), std::fmt::Error> {
    let (name, help) = ("metrics_apiserver_queries", "Queries ended, by what came of them");
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (metric, stats) in all {
        stats.queries.encode_outcomes(("metric", metric), false, &mut family)?;
    }
    Ok(())
}

fn encode_holds<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    series: impl Iterator<Item = (&'a str, bool)>,
) -> Result<(), std::fmt::Error> {
    let (name, help) =
        ("metrics_apiserver_hold_in_effect", "Whether a read of the last 45 s got the last good value");
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (metric, holds) in series {
        ConstGauge::new(i64::from(holds)).encode(family.encode_family(&[("metric", metric)])?)?;
    }
    Ok(())
}
