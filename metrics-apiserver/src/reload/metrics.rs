//! What `/metrics` tells of the configuration.

use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counts what became of each new content of the file.
#[derive(Debug)]
pub struct Metrics {
    reloads: Family<Labels, Counter>,
    last_successful: Gauge,
    last_success: Gauge<f64, AtomicU64>,
    rules: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: &'static str,
}

const SUCCESS: Labels = Labels { outcome: "success" };
const FAILURE: Labels = Labels { outcome: "failure" };

impl Metrics {
    /// Registers them, with nothing counted yet.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            reloads: Family::default(),
            last_successful: Gauge::default(),
            last_success: Gauge::default(),
            rules: Gauge::default(),
        };
        // Both from the start: a counter that appears with its first failure hides that failure from rate().
        for labels in [SUCCESS, FAILURE] {
            drop(metrics.reloads.get_or_create(&labels));
        }
        let own = registry.sub_registry_with_prefix("metrics_apiserver_config");
        own.register(
            "reloads",
            "New contents of the configuration file, by outcome",
            metrics.reloads.clone(),
        );
        own.register(
            "last_reload_successful",
            "Whether the configuration file's newest content is served",
            metrics.last_successful.clone(),
        );
        own.register(
            "last_reload_success_timestamp_seconds",
            "When the configuration was last taken from the file, in seconds since 1970",
            metrics.last_success.clone(),
        );
        own.register("rules", "Rules served", metrics.rules.clone());
        metrics
    }

    pub(super) fn count_success(&self) {
        self.reloads.get_or_create(&SUCCESS).inc();
    }

    pub(super) fn count_failure(&self) {
        self.reloads.get_or_create(&FAILURE).inc();
        self.last_successful.set(0);
    }

    /// The file's content is what is served.
    pub(super) fn is_served(&self, rules: usize) {
        self.last_successful.set(1);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit for ages")]
        self.last_success.set(Timestamp::now().as_millisecond() as f64 / 1000.0);
        self.rules.set(i64::try_from(rules).unwrap_or(i64::MAX));
    }
}
