//! The command line, parsed and checked.

mod parse;

use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser};

pub use parse::{Fraction, ParseDurationError, ParseFractionError};
use parse::{duration, fraction};

/// The configuration of the service.
#[derive(Debug, Clone, Parser)]
#[command(name = "inference-svc", version, about, long_about = LONG_ABOUT)]
pub struct Config {
    /// IP address to listen on, for both ports
    #[arg(long, value_name = "IP", default_value = "0.0.0.0")]
    pub bind_address: IpAddr,

    /// Port of the service; 0 chooses a free port, which the log names
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub port: u16,

    /// Port of /metrics, /healthz and /readyz, served by its own threads; 0 chooses a free port
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    pub metrics_port: u16,

    /// Duration of one inference
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub inference_time: Duration,

    /// Variation of the inference time, as a fraction of it: with 0.1, 10s becomes 9s to 11s
    #[arg(long, value_name = "FRACTION", default_value = "0.1", value_parser = fraction)]
    pub jitter: Fraction,

    /// Maximum number of concurrent inferences; further requests wait in a FIFO queue
    #[arg(long, value_name = "N", default_value = "1")]
    pub slots: NonZeroU16,

    /// Maximum number of queued requests; further requests are answered 503 with Retry-After
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub queue_limit: u32,

    /// Simulated time to load the model; until then /readyz and requests are answered 503
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub startup_delay: Duration,

    /// Maximum number of requests per connection; the last one is answered with Connection: close.
    ///
    /// A keep-alive connection pins its client to one pod, so that new pods get no traffic. Compared with an inference
    /// a new connection costs nothing, so the default is one request.
    #[arg(long, value_name = "N", default_value = "1")]
    pub max_requests_per_connection: NonZeroU32,

    /// Time after SIGTERM to finish running and queued requests; the rest are cancelled.
    ///
    /// It must be shorter than the pod's terminationGracePeriodSeconds.
    #[arg(long, value_name = "DURATION", default_value = "25s", value_parser = duration)]
    pub drain_timeout: Duration,
}

const LONG_ABOUT: &str = "\
A simulated inference service. POST /infer (or GET /) waits for a slot, holds it for the inference time, and \
reports both durations. The histogram python_request_duration_seconds measures requests from arrival to answer, \
queue time included.

Durations are a whole number and a unit: 250ms, 10s, 1m, 1h.";

impl Config {
    /// Rejects combinations of flags that cannot work.
    ///
    /// # Errors
    /// A usage error, to be printed like clap's own errors.
    pub fn checked(self) -> Result<Self, clap::Error> {
        if self.port != 0 && self.port == self.metrics_port {
            let message = "--port and --metrics-port must differ";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, message));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Config, clap::Error> {
        Config::try_parse_from([&["inference-svc"], args].concat()).and_then(Config::checked)
    }

    #[test]
    fn the_defaults_are_those_of_the_manifests() {
        let config = parse(&[]).unwrap();
        assert_eq!((config.port, config.metrics_port), (8080, 8081));
        assert_eq!(config.inference_time, Duration::from_secs(10));
        assert_eq!(config.slots.get(), 1);
        assert_eq!(config.queue_limit, 1000);
    }

    #[test]
    fn flags_that_cannot_work_are_refused() {
        for args in [
            ["--slots", "0"],
            ["--max-requests-per-connection", "0"],
            ["--jitter", "1.5"],
            ["--inference-time", "10"],
            ["--bind-address", "localhost"],
            ["--metrics-port", "8080"],
            ["--queue-limit", "-1"],
            ["--unknown", "1"],
        ] {
            let error = parse(&args).expect_err(&args.join(" "));
            assert!(error.use_stderr(), "{args:?} must be an error, not help");
        }
    }

    #[test]
    fn two_free_ports_are_no_conflict() {
        assert!(parse(&["--port", "0", "--metrics-port", "0"]).is_ok());
    }

    #[test]
    fn the_command_is_sound() {
        Config::command().debug_assert();
    }
}
