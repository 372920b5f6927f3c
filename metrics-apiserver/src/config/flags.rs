//! The command line as typed. [`Options`](super::Options) is what it means.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};

use super::duration::parse_duration;

/// Every flag of the server, by the names that Kubernetes' API servers use.
#[derive(Debug, Clone, Args)]
pub struct Flags {
    #[command(flatten)]
    pub(super) serving: ServingFlags,
    #[command(flatten)]
    pub(super) authentication: AuthenticationFlags,
    #[command(flatten)]
    pub(super) authorization: AuthorizationFlags,
    #[command(flatten)]
    pub(super) configuration: ConfigurationFlags,
    #[command(flatten)]
    pub(super) logging: LoggingFlags,
    #[command(flatten)]
    pub(super) tracing: TracingFlags,
    #[command(flatten)]
    pub(super) limits: LimitFlags,
}

/// The oldest TLS version that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[value(name = "VersionTLS12")]
    Tls12,
    /// TLS 1.3.
    #[value(name = "VersionTLS13")]
    Tls13,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Serving")]
pub(super) struct ServingFlags {
    /// The address to listen on
    #[arg(long, value_name = "IP", default_value = "0.0.0.0")]
    pub(super) bind_address: IpAddr,
    /// The HTTPS port; 0 lets the system choose one, which the log then names
    #[arg(long, value_name = "PORT", default_value_t = 6443)]
    pub(super) secure_port: u16,
    /// The serving certificate and its chain, PEM; required; a changed file is taken up without a restart
    #[arg(long, value_name = "FILE")]
    pub(super) tls_cert_file: Option<PathBuf>,
    /// The serving certificate's private key, PEM; required; a changed file is taken up without a restart
    #[arg(long, value_name = "FILE")]
    pub(super) tls_private_key_file: Option<PathBuf>,
    /// The oldest TLS version that is spoken
    #[arg(long, value_name = "VERSION", default_value = "VersionTLS12")]
    pub(super) tls_min_version: TlsVersion,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Authentication")]
pub(super) struct AuthenticationFlags {
    /// A client certificate signed by one of these CAs is who its CN (user) and O (groups) say; without it, the CAs
    /// come from the ConfigMap kube-system/extension-apiserver-authentication
    #[arg(long, value_name = "FILE")]
    pub(super) client_ca_file: Option<PathBuf>,
    /// A client certificate signed by one of these CAs belongs to a front proxy whose X-Remote-* headers are believed;
    /// without it, CAs, names and headers all come from the ConfigMap
    #[arg(long, value_name = "FILE")]
    pub(super) requestheader_client_ca_file: Option<PathBuf>,
    /// The front proxy certificate's possible common names; without it, any
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub(super) requestheader_allowed_names: Vec<String>,
    /// The headers that carry the user's name, the first one filled counts
    #[arg(long, value_name = "HEADER,…", value_delimiter = ',', default_value = "x-remote-user")]
    pub(super) requestheader_username_headers: Vec<String>,
    /// The headers that carry the user's groups
    #[arg(long, value_name = "HEADER,…", value_delimiter = ',', default_value = "x-remote-group")]
    pub(super) requestheader_group_headers: Vec<String>,
    /// How headers begin that carry other attributes of the user
    #[arg(long, value_name = "PREFIX,…", value_delimiter = ',', default_value = "x-remote-extra-")]
    pub(super) requestheader_extra_headers_prefix: Vec<String>,
    /// The headers that carry the user's uid; without it, no uid is believed
    #[arg(long, value_name = "HEADER,…", value_delimiter = ',')]
    pub(super) requestheader_uid_headers: Vec<String>,
    /// The kubeconfig for TokenReview and the ConfigMap; without it, --kubeconfig counts
    #[arg(long, value_name = "FILE")]
    pub(super) authentication_kubeconfig: Option<PathBuf>,
    /// Do not read the ConfigMap kube-system/extension-apiserver-authentication
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false")]
    #[arg(default_missing_value = "true", action = ArgAction::Set, value_parser = parse_bool)]
    pub(super) authentication_skip_lookup: bool,
    /// Start even if that ConfigMap can't be read; client certificates are not accepted until it can
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false")]
    #[arg(default_missing_value = "true", action = ArgAction::Set, value_parser = parse_bool)]
    pub(super) authentication_tolerate_lookup_failure: bool,
    /// How long the answer to a TokenReview is remembered
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub(super) authentication_token_webhook_cache_ttl: Duration,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Authorization")]
#[expect(clippy::struct_field_names, reason = "the fields are named as the flags are")]
pub(super) struct AuthorizationFlags {
    /// The kubeconfig for SubjectAccessReview; without it, --kubeconfig counts
    #[arg(long, value_name = "FILE")]
    pub(super) authorization_kubeconfig: Option<PathBuf>,
    /// Paths that everybody may get; a `*` at the end stands for any rest
    #[arg(long, value_name = "PATH,…", value_delimiter = ',', default_value = "/healthz,/readyz,/livez")]
    pub(super) authorization_always_allow_paths: Vec<String>,
    /// How long it is remembered that somebody may
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub(super) authorization_webhook_cache_authorized_ttl: Duration,
    /// How long it is remembered that somebody may not
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub(super) authorization_webhook_cache_unauthorized_ttl: Duration,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Configuration")]
pub(super) struct ConfigurationFlags {
    /// The configuration file (docs/configuration.md); required; a changed file is taken up without a restart
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// How to reach kube-apiserver; without it, as a pod does: with the ServiceAccount's token
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// How long a read waits for Prometheus before it is answered with an error; the query goes on, within its
    /// backend's timeout, for the next read
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub(super) read_deadline: Duration,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logging")]
pub(super) struct LoggingFlags {
    /// How much is logged, 0 to 10: from 4 on each request and query, from 7 on everything
    #[arg(short = 'v', long = "v", value_name = "LEVEL", default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(u8).range(0..=10))]
    pub(super) verbosity: u8,
    /// How log lines look
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(super) logging_format: LogFormat,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tracing")]
pub(super) struct TracingFlags {
    /// Send traces to the OTLP/HTTP collector with this base URL, as in `http://otel-collector.monitoring:4318`; the
    /// server adds /v1/traces; without it, there are no traces
    #[arg(long, value_name = "URL")]
    pub(super) otlp_endpoint: Option<String>,
    /// Of a million requests whose caller says nothing of a trace, how many are traced; with 0, only those whose
    /// caller's traceparent says so
    #[arg(long, value_name = "N", default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(super) otlp_sampling_rate_per_million: u32,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits and shutdown")]
pub(super) struct LimitFlags {
    /// How many requests may be under way at once; one more is answered 429
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub(super) max_requests_inflight: u32,
    /// How long any request may take; then it is answered 504
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    pub(super) request_timeout: Duration,
    /// How long the server goes on serving after SIGTERM, with /readyz failing, before it stops listening
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    pub(super) shutdown_delay_duration: Duration,
}

/// Reads a boolean as Go's `strconv.ParseBool` does.
fn parse_bool(text: &str) -> Result<bool, &'static str> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("must be true or false"),
    }
}
