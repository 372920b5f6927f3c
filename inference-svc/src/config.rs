//! The flags, checked: what comes out of here can't be wrong.

mod parse;

use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser};

pub use parse::{Fraction, ParseDurationError, ParseFractionError};
use parse::{duration, fraction};

/// How the service behaves.
#[derive(Debug, Clone, Parser)]
#[command(name = "inference-svc", version, about, long_about = LONG_ABOUT)]
pub struct Config {
    /// Address to listen on, for both ports
    #[arg(long, value_name = "IP", default_value = "0.0.0.0")]
    pub bind_address: IpAddr,

    /// Port of the service; 0 takes a free one, which the log names
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub port: u16,

    /// Port of /metrics, /healthz and /readyz, with threads of its own; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    pub metrics_port: u16,

    /// How long one inference takes
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub inference_time: Duration,

    /// How far the time of an inference varies, as a fraction of it: 0.1 makes 10s last from 9s to 11s
    #[arg(long, value_name = "FRACTION", default_value = "0.1", value_parser = fraction)]
    pub jitter: Fraction,

    /// Inferences that run at the same time; the others queue, first come, first served
    #[arg(long, value_name = "N", default_value = "1")]
    pub slots: NonZeroU16,

    /// Requests that may queue; one more is answered 503 with Retry-After
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub queue_limit: u32,

    /// Time the model takes to load; until then /readyz and requests are answered 503
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub startup_delay: Duration,

    /// Answer the N-th request of a connection with Connection: close.
    ///
    /// A connection that is kept alive keeps its client on one pod, so that new pods get no traffic. Beside an
    /// inference a new connection costs nothing, so one request is the default.
    #[arg(long, value_name = "N", default_value = "1")]
    pub max_requests_per_connection: NonZeroU32,

    /// Time from SIGTERM in which running and queued requests are finished; what is left then is cut.
    ///
    /// Keep it below the pod's terminationGracePeriodSeconds.
    #[arg(long, value_name = "DURATION", default_value = "25s", value_parser = duration)]
    pub drain_timeout: Duration,
}

const LONG_ABOUT: &str = "\
A simulated inference service. POST /infer (or GET /) queues for a slot, holds it for the inference time and \
answers how long both took. The histogram python_request_duration_seconds measures arrival to answer, queue time \
included.

Durations are a whole number and a unit: 250ms, 10s, 1m, 1h.";

impl Config {
    /// Refuses combinations that can't work, so that they end with the exit code of wrong flags.
    ///
    /// # Errors
    /// A usage error, to be printed like one of clap's own.
    pub fn checked(self) -> Result<Self, clap::Error> {
        if self.port != 0 && self.port == self.metrics_port {
            let message = "--port and --metrics-port must differ, each has its own listener";
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
