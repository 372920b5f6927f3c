//! What the command line means: checked, and ready to use.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::base_url::{BaseUrl, ParseUrlError};
use super::flags::{
    AuthenticationFlags, AuthorizationFlags, Flags, LimitFlags, LogFormat, ServingFlags, TlsVersion,
    TracingFlags,
};

/// What the server needs to know besides its configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where and how to serve.
    pub serving: Serving,
    /// How to learn who asks.
    pub authentication: Authentication,
    /// How to learn what they may.
    pub authorization: Authorization,
    /// The configuration file.
    pub config_file: PathBuf,
    /// How long a read waits for Prometheus; at least a millisecond.
    pub read_deadline: Duration,
    /// How to log.
    pub logging: Logging,
    /// Where traces go; none: nowhere.
    pub tracing: Option<Tracing>,
    /// What bounds the server.
    pub limits: Limits,
    /// What was typed without effect, for the log.
    pub notes: Vec<String>,
}

/// Where and how to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// The address to listen on; port 0 lets the system choose.
    pub address: SocketAddr,
    /// The certificate chain, PEM.
    pub cert_file: PathBuf,
    /// Its private key, PEM.
    pub key_file: PathBuf,
    /// The oldest TLS version that is spoken.
    pub min_tls: TlsVersion,
}

/// How to learn who asks (contract §2.1, §2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    /// CAs of client certificates; none: from the ConfigMap.
    pub client_ca_file: Option<PathBuf>,
    /// What makes a front proxy; none: from the ConfigMap.
    pub request_header: Option<RequestHeader>,
    /// The kubeconfig for TokenReview and the ConfigMap; none: as a pod does.
    pub kubeconfig: Option<PathBuf>,
    /// Whether to do without the ConfigMap.
    pub skip_lookup: bool,
    /// Whether to start although the ConfigMap can't be read.
    pub tolerate_lookup_failure: bool,
    /// How long the answer to a TokenReview is remembered; zero: not at all.
    pub token_cache_ttl: Duration,
}

/// What makes a front proxy, and which of its headers are believed. Header names are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// CAs of the proxy's certificate.
    pub client_ca_file: PathBuf,
    /// Its possible common names; empty: any.
    pub allowed_names: Vec<String>,
    /// Headers with the user's name.
    pub username_headers: Vec<String>,
    /// Headers with the groups.
    pub group_headers: Vec<String>,
    /// How headers with extra attributes begin.
    pub extra_headers_prefix: Vec<String>,
    /// Headers with the uid.
    pub uid_headers: Vec<String>,
}

/// How to learn what somebody may (contract §2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// The kubeconfig for SubjectAccessReview; none: as a pod does.
    pub kubeconfig: Option<PathBuf>,
    /// Paths that everybody may get: each begins with `/`, and a `*` stands at most at its end.
    pub always_allow_paths: Vec<String>,
    /// How long a yes is remembered; zero: not at all.
    pub authorized_ttl: Duration,
    /// How long a no is remembered; zero: not at all.
    pub unauthorized_ttl: Duration,
}

/// How to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logging {
    /// How much.
    pub level: LogLevel,
    /// How lines look.
    pub format: LogFormat,
}

/// How much to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// What an operator should know (`-v` 0 to 3).
    Info,
    /// Each request and query too (`-v` 4 to 6).
    Debug,
    /// Everything (`-v` 7 to 10).
    Trace,
}

/// Where traces go, and how many are begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracing {
    /// The base URL of a collector that takes OTLP over HTTP.
    pub endpoint: BaseUrl,
    /// Of a million requests whose caller says nothing of a trace, so many are traced.
    pub sampling_rate_per_million: u32,
}

/// What bounds the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many requests may be under way at once; at least one.
    pub max_requests_in_flight: usize,
    /// How long any request may take; at least a millisecond.
    pub request_timeout: Duration,
    /// How long to go on serving after SIGTERM.
    pub shutdown_delay: Duration,
}

/// Everything that is wrong with the flags, one per line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct FlagErrors(pub Vec<String>);

/// Longer than any deadline between client and server, so a larger one is a slip.
const MAX_DEADLINE: Duration = Duration::from_secs(600);

/// What an OTLP collector takes traces at, below its base URL.
const TRACES_PATH: &str = "/v1/traces";

impl Options {
    /// Checks the flags; every problem is listed.
    pub fn check(flags: Flags, positional: &[String]) -> Result<Self, FlagErrors> {
        let mut errors = Vec::new();
        let mut notes = positional_notes(positional);
        let kubeconfig = flags.configuration.kubeconfig;
        let config_file = required("config", flags.configuration.config, &mut errors);
        let serving = serving(flags.serving, &mut errors);
        let authentication =
            authentication(flags.authentication, kubeconfig.clone(), &mut notes, &mut errors);
        let authorization = authorization(flags.authorization, kubeconfig, &mut errors);
        let read_deadline = deadline("read-deadline", flags.configuration.read_deadline, &mut errors);
        let tracing = tracing(flags.tracing, &mut notes, &mut errors);
        let limits = limits(&flags.limits, &mut errors);
        let level = match flags.logging.verbosity {
            0..=3 => LogLevel::Info,
            4..=6 => LogLevel::Debug,
            _ => LogLevel::Trace,
        };
        let logging = Logging { level, format: flags.logging.logging_format };
        match (serving, config_file) {
            (Some(serving), Some(config_file)) if errors.is_empty() => Ok(Self {
                serving,
                authentication,
                authorization,
                config_file,
                read_deadline,
                logging,
                tracing,
                limits,
                notes,
            }),
            _ => Err(FlagErrors(errors)),
        }
    }
}

fn positional_notes(positional: &[String]) -> Vec<String> {
    positional.iter().map(|argument| format!("the argument {argument:?} is no flag and is ignored")).collect()
}

fn required<T>(flag: &str, value: Option<T>, errors: &mut Vec<String>) -> Option<T> {
    if value.is_none() {
        errors.push(format!("--{flag} is required"));
    }
    value
}

fn deadline(flag: &str, value: Duration, errors: &mut Vec<String>) -> Duration {
    if value < Duration::from_millis(1) || value > MAX_DEADLINE {
        errors.push(format!("--{flag} must be from 1ms to 10m"));
    }
    value
}

fn serving(flags: ServingFlags, errors: &mut Vec<String>) -> Option<Serving> {
    let cert_file = required("tls-cert-file", flags.tls_cert_file, errors);
    let key_file = required("tls-private-key-file", flags.tls_private_key_file, errors);
    let address = SocketAddr::new(flags.bind_address, flags.secure_port);
    Some(Serving { address, cert_file: cert_file?, key_file: key_file?, min_tls: flags.tls_min_version })
}

fn authentication(
    flags: AuthenticationFlags,
    kubeconfig: Option<PathBuf>,
    notes: &mut Vec<String>,
    errors: &mut Vec<String>,
) -> Authentication {
    let allowed_names = filled(flags.requestheader_allowed_names);
    let uid_headers = headers("requestheader-uid-headers", flags.requestheader_uid_headers, errors);
    let username_headers =
        headers("requestheader-username-headers", flags.requestheader_username_headers, errors);
    let group_headers = headers("requestheader-group-headers", flags.requestheader_group_headers, errors);
    let extra_headers_prefix =
        headers("requestheader-extra-headers-prefix", flags.requestheader_extra_headers_prefix, errors);
    let request_header = flags.requestheader_client_ca_file.map(|client_ca_file| RequestHeader {
        client_ca_file,
        allowed_names: allowed_names.clone(),
        username_headers: username_headers.clone(),
        group_headers,
        extra_headers_prefix,
        uid_headers: uid_headers.clone(),
    });
    match &request_header {
        Some(_) if username_headers.is_empty() => {
            errors.push("--requestheader-username-headers must name a header when --requestheader-client-ca-file is given".into());
        }
        None if !(allowed_names.is_empty() && uid_headers.is_empty()) => {
            notes.push(
                "the --requestheader-* flags have no effect without --requestheader-client-ca-file".into(),
            );
        }
        _ => {}
    }
    Authentication {
        client_ca_file: flags.client_ca_file,
        request_header,
        kubeconfig: flags.authentication_kubeconfig.or(kubeconfig),
        skip_lookup: flags.authentication_skip_lookup,
        tolerate_lookup_failure: flags.authentication_tolerate_lookup_failure,
        token_cache_ttl: flags.authentication_token_webhook_cache_ttl,
    }
}

/// The items of a list without the empty ones: `--flag=` is an empty list.
fn filled(items: Vec<String>) -> Vec<String> {
    items.into_iter().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

fn headers(flag: &str, items: Vec<String>, errors: &mut Vec<String>) -> Vec<String> {
    let names = filled(items);
    for name in names.iter().filter(|name| !is_header_name(name)) {
        errors.push(format!("--{flag}: {name:?} is no header name"));
    }
    names.into_iter().map(|name| name.to_ascii_lowercase()).collect()
}

/// Whether a text is a token of RFC 9110.
pub(super) fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

fn authorization(
    flags: AuthorizationFlags,
    kubeconfig: Option<PathBuf>,
    errors: &mut Vec<String>,
) -> Authorization {
    let always_allow_paths = filled(flags.authorization_always_allow_paths);
    for path in &always_allow_paths {
        if !path.starts_with('/') || path.trim_end_matches('*').contains('*') || path.ends_with("**") {
            errors.push(format!(
                "--authorization-always-allow-paths: {path:?} must begin with a / and may have a * only at its end"
            ));
        }
    }
    Authorization {
        kubeconfig: flags.authorization_kubeconfig.or(kubeconfig),
        always_allow_paths,
        authorized_ttl: flags.authorization_webhook_cache_authorized_ttl,
        unauthorized_ttl: flags.authorization_webhook_cache_unauthorized_ttl,
    }
}

fn tracing(flags: TracingFlags, notes: &mut Vec<String>, errors: &mut Vec<String>) -> Option<Tracing> {
    let sampling_rate_per_million = flags.otlp_sampling_rate_per_million;
    let Some(url) = flags.otlp_endpoint else {
        if sampling_rate_per_million > 0 {
            notes.push("--otlp-sampling-rate-per-million has no effect without --otlp-endpoint".into());
        }
        return None;
    };
    match endpoint(&url) {
        Ok(endpoint) => Some(Tracing { endpoint, sampling_rate_per_million }),
        Err(problem) => {
            errors.push(format!("--otlp-endpoint: {problem}"));
            None
        }
    }
}

fn endpoint(url: &str) -> Result<BaseUrl, String> {
    match BaseUrl::parse_any(url) {
        Ok(url) if url.as_str().ends_with(TRACES_PATH) => {
            Err(format!("the url must end before {TRACES_PATH}: the server adds that itself"))
        }
        // What else they say is for backends.
        Err(ParseUrlError::Credentials) => Err("the url must not hold credentials".into()),
        Err(ParseUrlError::Query) => Err("the url must not have a query or a fragment".into()),
        checked => checked.map_err(|error| error.to_string()),
    }
}

fn limits(flags: &LimitFlags, errors: &mut Vec<String>) -> Limits {
    if flags.max_requests_inflight == 0 {
        errors.push("--max-requests-inflight must be at least 1".into());
    }
    if flags.shutdown_delay_duration > MAX_DEADLINE {
        errors.push("--shutdown-delay-duration must be at most 10m".into());
    }
    Limits {
        max_requests_in_flight: usize::try_from(flags.max_requests_inflight).unwrap_or(usize::MAX),
        request_timeout: deadline("request-timeout", flags.request_timeout, errors),
        shutdown_delay: flags.shutdown_delay_duration,
    }
}
