//! Metrics of resources and objects.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::error::ObjectsError;
use super::key::Key;
use super::store::Budget;

type Counters = Family<[(&'static str, &'static str); 1], Counter>;
type Stored = Family<[(&'static str, String); 2], Gauge>;

/// Reasons and outcomes, which are exposed from the start.
const WATCH_RESTARTS: [&str; 5] = ["expired", "failed", "forbidden", "refused", "memory"];
const LIVE_LISTS: [&str; 5] = ["success", "forbidden", "unavailable", "deadline", "too_many"];

/// The metrics of the room.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    stored: Stored,
    bytes: Gauge,
    watch_restarts: Counters,
    live_lists: Counters,
    discoveries: Counters,
    resources: Gauge,
    discovered_at: Gauge<f64, AtomicU64>,
    /// Discoveries that failed.
    pub(super) discovery_failures: Counter,
    discovery_successes: Counter,
}

impl Metrics {
    /// Registers the metrics.
    pub(super) fn register(registry: &mut Registry) -> Arc<Self> {
        let discoveries = Counters::default();
        let ended = |outcome| discoveries.get_or_create_owned(&[("outcome", outcome)]);
        let metrics = Self {
            discovery_failures: ended("failure"),
            discovery_successes: ended("success"),
            discoveries,
            ..Self::default()
        };
        for reason in WATCH_RESTARTS {
            metrics.watch_restarts.get_or_create_owned(&[("reason", reason)]);
        }
        for outcome in LIVE_LISTS {
            metrics.live_lists.get_or_create_owned(&[("outcome", outcome)]);
        }
        let own = registry.sub_registry_with_prefix("metrics_apiserver_objects");
        own.register(
            "stored",
            "Objects that are watched, by resource and field selector",
            metrics.stored.clone(),
        );
        own.register(
            "stored_bytes",
            "Estimated memory of the watched objects in bytes",
            metrics.bytes.clone(),
        );
        own.register(
            "watch_restarts",
            "Watches that ended with an error, by reason",
            metrics.watch_restarts.clone(),
        );
        own.register(
            "live_lists",
            "Lists of objects that reads waited for, by outcome",
            metrics.live_lists.clone(),
        );
        own.register(
            "discoveries",
            "Discoveries of the cluster's resources, by outcome",
            metrics.discoveries.clone(),
        );
        own.register("resources", "Resources that the cluster has", metrics.resources.clone());
        own.register(
            "discovery_last_success_timestamp_seconds",
            "Time of the last successful discovery in seconds since the Unix epoch; 0 if there was none",
            metrics.discovered_at.clone(),
        );
        Arc::new(metrics)
    }

    pub(super) fn discovered(&self, resources: usize) {
        self.discovery_successes.inc();
        self.resources.set(i64::try_from(resources).unwrap_or(i64::MAX));
        self.discovered_at.set(Timestamp::now().as_duration().as_secs_f64());
    }

    pub(super) fn stored(&self, key: &Key, objects: usize) {
        let stored = self.stored.get_or_create_owned(&labels(key));
        stored.set(i64::try_from(objects).unwrap_or(i64::MAX));
    }

    pub(super) fn held(&self, budget: &Budget) {
        self.bytes.set(i64::try_from(budget.bytes()).unwrap_or(i64::MAX));
    }

    /// The resource is no longer watched.
    pub(super) fn unwatched(&self, key: &Key) {
        self.stored.remove(&labels(key));
    }

    pub(super) fn watch_restarted(&self, reason: &'static str) {
        self.watch_restarts.get_or_create_owned(&[("reason", reason)]).inc();
    }

    pub(super) fn listed(&self, outcome: Result<(), &ObjectsError>) {
        let outcome = match outcome {
            Ok(()) => "success",
            Err(ObjectsError::Forbidden { .. }) => "forbidden",
            Err(ObjectsError::Unavailable { .. }) => "unavailable",
            Err(ObjectsError::Deadline { .. }) => "deadline",
            Err(ObjectsError::TooMany { .. }) => "too_many",
        };
        self.live_lists.get_or_create_owned(&[("outcome", outcome)]).inc();
    }
}

fn labels(key: &Key) -> [(&'static str, String); 2] {
    [
        ("resource", key.resource.resource.to_string()),
        ("field_selector", key.field_selector().unwrap_or_default().to_owned()),
    ]
}
