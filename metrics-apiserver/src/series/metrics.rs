//! Metrics about the discovery of series. Without adapter rules none has a value.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::failure::OUTCOMES;
use super::queries::Queries;
use crate::catalog::ServedCatalog;

/// Registers them.
pub(super) fn register(registry: &mut Registry, queries: Arc<Mutex<Queries>>, catalog: Arc<ServedCatalog>) {
    let own = registry.sub_registry_with_prefix("metrics_apiserver_series");
    own.register_collector(Box::new(Metrics { queries, catalog }));
}

#[derive(Debug)]
struct Metrics {
    queries: Arc<Mutex<Queries>>,
    catalog: Arc<ServedCatalog>,
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let totals = self.queries.lock().unwrap_or_else(PoisonError::into_inner).totals();
        let has_rules = totals.lists > 0;
        let help = "Calls that list series, by outcome";
        let mut family = encoder.encode_descriptor("calls", help, None, MetricType::Counter)?;
        for (outcome, count) in OUTCOMES.iter().zip(totals.calls).filter(|_| has_rules) {
            ConstCounter::new(count).encode(family.encode_family(&[("outcome", *outcome)])?)?;
        }
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit for ages")]
        let oldest = totals.oldest_success.map_or(0.0, |time| time.as_millisecond() as f64 / 1000.0);
        let catalog = self.catalog.current();
        let metrics = catalog.entries().filter(|(_, rule)| rule.series_of().is_some()).count();
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let gauges = [
            ("queries", "Distinct series queries of the rules", totals.lists as f64),
            ("queries_failing", "Series queries whose last call failed", totals.failing as f64),
            ("names", "Names of series that were found", totals.names as f64),
            ("metrics", "Metrics that are served from series", metrics as f64),
            (
                "last_success_timestamp_seconds",
                "Time of the last success of the series query that succeeded longest ago, in seconds since 1970; 0 if \
                 one has never succeeded",
                oldest,
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            if has_rules {
                ConstGauge::new(value).encode(gauge)?;
            }
        }
        Ok(())
    }
}
