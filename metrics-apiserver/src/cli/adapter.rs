//! The flags of prometheus-adapter's discovery of series, and of its clients of the Kubernetes API.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::syntax::parse_duration;

/// Shorter intervals only load Prometheus: its own scrape interval is rarely below.
const RELIST_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// How adapter rules discover series and objects. The defaults are those of prometheus-adapter.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Adapter rules")]
#[group(skip)]
pub struct AdapterOptions {
    /// Interval of the discovery of series
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_duration)]
    pub metrics_relist_interval: Duration,
    /// How far back the discovery looks for series; 0 is the interval
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    metrics_max_age: Duration,
    /// Kubeconfig for the discovery of objects; defaults to --kubeconfig
    #[arg(long, value_name = "FILE")]
    pub lister_kubeconfig: Option<PathBuf>,
    /// Interval of the discovery of resources; 0 is the default of the server
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    pub discovery_interval: Duration,
    /// Requests per second to the Kubernetes API for objects; 0 is the default of the server
    #[arg(long, value_name = "N", default_value_t = 0.0, allow_negative_numbers = true)]
    pub client_qps: f32,
    /// Burst of requests to the Kubernetes API for objects; 0 is the default of the server
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub client_burst: i32,
}

impl AdapterOptions {
    /// How far back the discovery looks for series.
    pub fn max_age(&self) -> Duration {
        if self.metrics_max_age.is_zero() { self.metrics_relist_interval } else { self.metrics_max_age }
    }

    /// Every invalid flag.
    pub(super) fn errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if self.metrics_relist_interval < RELIST_INTERVAL_MIN {
            errors.push("--metrics-relist-interval must be at least 1s".to_owned());
        }
        if !self.client_qps.is_finite() {
            errors.push("--client-qps must be a number".to_owned());
        }
        errors
    }

    /// What is wrong if the configuration has `rules`: series that are gone between two discoveries would be missed.
    pub fn error_with_rules(&self) -> Option<String> {
        (self.max_age() < self.metrics_relist_interval)
            .then(|| "--metrics-max-age must not be less than --metrics-relist-interval".to_owned())
    }
}
