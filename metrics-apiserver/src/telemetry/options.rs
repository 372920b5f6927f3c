//! The flags of logging and tracing.

use clap::builder::{RangedU64ValueParser, TypedValueParser as _};
use clap::{Args, ValueEnum};

use crate::syntax::{BaseUrl, ParseUrlError};

/// The path of the traces endpoint of an OTLP collector, below its base URL.
pub(super) const TRACES_PATH: &str = "/v1/traces";

/// Logging and tracing.
#[derive(Debug, Clone, Default, Args)]
#[group(skip)]
pub struct Options {
    /// Log verbosity, 0 to 10: requests and queries from 4, everything from 7
    #[arg(short = 'v', long = "v", value_name = "LEVEL", default_value = "0", help_heading = "Logging")]
    #[arg(value_parser = RangedU64ValueParser::<u8>::new().range(0..=10).map(Verbosity::from))]
    pub verbosity: Verbosity,
    /// Log format
    #[arg(long = "logging-format", value_name = "FORMAT", default_value = "text", help_heading = "Logging")]
    pub format: Format,
    /// Base URL of the OTLP/HTTP collector that receives traces, such as `http://otel-collector.monitoring:4318`
    /// (the server appends /v1/traces); without it, tracing is off
    #[arg(long, value_name = "URL", help_heading = "Tracing")]
    pub otlp_endpoint: Option<String>,
    /// How many of a million requests without a traceparent are traced; with 0, only requests with a sampled
    /// traceparent are traced
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Tracing")]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub otlp_sampling_rate_per_million: u32,
}

/// The log format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// Plain text
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verbosity {
    /// What an operator needs to know (`-v` 0 to 3).
    #[default]
    Operator,
    /// Each request and query as well (`-v` 4 to 6).
    Requests,
    /// Everything, dependencies included (`-v` 7 to 10).
    Everything,
}

impl From<u8> for Verbosity {
    fn from(level: u8) -> Self {
        match level {
            0..=3 => Self::Operator,
            4..=6 => Self::Requests,
            _ => Self::Everything,
        }
    }
}

impl Options {
    /// Every invalid flag.
    pub fn errors(&self) -> Vec<String> {
        self.endpoint().err().map(|error| format!("--otlp-endpoint: {error}")).into_iter().collect()
    }

    /// Every flag that has no effect.
    pub fn warnings(&self) -> Vec<String> {
        if self.otlp_endpoint.is_none() && self.otlp_sampling_rate_per_million > 0 {
            vec!["--otlp-sampling-rate-per-million has no effect without --otlp-endpoint".to_owned()]
        } else {
            Vec::new()
        }
    }

    /// The URL of the collector. It is not parsed by clap, whose errors would quote it with a password that it may
    /// contain.
    pub(super) fn endpoint(&self) -> Result<Option<BaseUrl>, ParseUrlError> {
        self.otlp_endpoint.as_deref().map(|url| BaseUrl::parse(url, TRACES_PATH)).transpose()
    }
}
