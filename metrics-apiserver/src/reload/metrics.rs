//! Metrics about the configuration.

use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counts reloads by outcome.
#[derive(Debug)]
pub struct Metrics {
    successes: Counter,
    failures: Counter,
    last_successful: Gauge,
    last_success: Gauge<f64, AtomicU64>,
    rules: Gauge,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let reloads = Family::<[(&str, &str); 1], Counter>::default();
        // Both series exist from the start: rate() misses the first failure of a counter that begins with it.
        let [successes, failures] =
            ["success", "failure"].map(|outcome| reloads.get_or_create_owned(&[("outcome", outcome)]));
        let (last_successful, last_success, rules) = (Gauge::default(), Gauge::default(), Gauge::default());
        let metrics = Self { successes, failures, last_successful, last_success, rules };
        let own = registry.sub_registry_with_prefix("metrics_apiserver_config");
        own.register("reloads", "Reloads of the configuration file, by outcome", reloads);
        own.register(
            "last_reload_successful",
            "Whether the current content of the configuration file is in use",
            metrics.last_successful.clone(),
        );
        own.register(
            "last_reload_success_timestamp_seconds",
            "Time of the last successful reload, in seconds since 1970",
            metrics.last_success.clone(),
        );
        own.register("rules", "Number of rules in use", metrics.rules.clone());
        metrics
    }

    pub(super) fn count_success(&self) {
        self.successes.inc();
    }

    pub(super) fn count_failure(&self) {
        self.failures.inc();
        self.last_successful.set(0);
    }

    /// The content of the file is in use.
    pub(super) fn is_served(&self, rules: usize) {
        self.last_successful.set(1);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit for ages")]
        self.last_success.set(Timestamp::now().as_millisecond() as f64 / 1000.0);
        self.rules.set(i64::try_from(rules).unwrap_or(i64::MAX));
    }
}
