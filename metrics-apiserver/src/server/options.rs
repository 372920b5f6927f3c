//! The flags of the HTTPS server: where it listens, and its limits.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::Args;

use crate::syntax::parse_duration;

/// Longer than any deadline between client and server; a higher value is a mistake.
const DEADLINE_MAX: Duration = Duration::from_secs(600);
const DEADLINE_MIN: Duration = Duration::from_millis(1);

/// Where the server listens, and its limits.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Serving")]
#[group(skip)]
pub struct Options {
    /// IP address to listen on; 0.0.0.0 or :: for all interfaces of both IP families
    #[arg(long, value_name = "IP", default_value = "0.0.0.0")]
    pub bind_address: IpAddr,
    /// HTTPS port; 0 lets the system choose a free port, which is logged
    #[arg(long, value_name = "PORT", default_value_t = 6443)]
    pub secure_port: u16,
    /// Maximum number of metrics that the resource list of an API group names; beyond it the list is cut off, and reads
    /// are not affected. 0 lists no metrics
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub discovery_metrics_max: usize,
    /// Maximum number of requests in flight; further requests are answered with 429
    #[arg(long = "max-requests-inflight", value_name = "N", default_value_t = 400)]
    #[arg(help_heading = "Limits and shutdown")]
    pub max_in_flight: usize,
    /// Maximum duration of a request; after that it is answered with 504
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    #[arg(help_heading = "Limits and shutdown")]
    pub request_timeout: Duration,
    /// How long a read waits for Prometheus before it is answered with an error; the query continues, within the
    /// timeout of its backend, and serves the next read
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    #[arg(help_heading = "Limits and shutdown")]
    pub read_deadline: Duration,
}

impl Options {
    /// The address to listen on.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.bind_address, self.secure_port)
    }

    /// Every invalid flag.
    pub fn errors(&self) -> Vec<String> {
        let deadlines = [("read-deadline", self.read_deadline), ("request-timeout", self.request_timeout)];
        let is_wrong = |deadline: &Duration| !(DEADLINE_MIN..=DEADLINE_MAX).contains(deadline);
        let wrong = deadlines.iter().filter(|(_, deadline)| is_wrong(deadline));
        let mut errors: Vec<_> = wrong.map(|(flag, _)| format!("--{flag} must be from 1ms to 10m")).collect();
        if self.max_in_flight == 0 {
            errors.push("--max-requests-inflight must be at least 1".to_owned());
        }
        errors
    }
}
