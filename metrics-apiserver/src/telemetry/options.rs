//! The flags of logging and tracing.

use clap::builder::{RangedI64ValueParser, TypedValueParser as _};
use clap::{Args, ValueEnum};

use crate::syntax::{BaseUrl, ParseUrlError};

/// The path of the traces endpoint of an OTLP collector, below its base URL.
pub(super) const TRACES_PATH: &str = "/v1/traces";

/// Logging and tracing.
#[derive(Debug, Clone, Default, Args)]
#[group(skip)]
pub struct Options {
    /// Log verbosity: each request from 3, each query from 6, everything from 8
    #[arg(short = 'v', long = "v", value_name = "LEVEL", default_value = "0", help_heading = "Logging")]
    #[arg(allow_negative_numbers = true)]
    #[arg(value_parser = RangedI64ValueParser::<i32>::new().map(Verbosity::from))]
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
    /// What an operator needs to know (`-v` up to 2).
    #[default]
    Operator,
    /// Each request as well (`-v` 3 to 5).
    Requests,
    /// Each query as well (`-v` 6 and 7).
    Queries,
    /// Everything, dependencies included (`-v` from 8).
    Everything,
}

impl From<i32> for Verbosity {
    fn from(level: i32) -> Self {
        match level {
            ..=2 => Self::Operator,
            3..=5 => Self::Requests,
            6..=7 => Self::Queries,
            8.. => Self::Everything,
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
