//! The flags of authorization.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::paths::OpenPaths;
use crate::syntax::parse_duration;

/// Open paths, and the cache of decisions.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Authorization")]
#[group(skip)]
pub struct Options {
    /// Kubeconfig for SubjectAccessReview; defaults to --kubeconfig
    #[arg(id = "authorization-kubeconfig", long = "authorization-kubeconfig", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Paths that need no authorization; a trailing `*` matches any suffix
    #[arg(long = "authorization-always-allow-paths", value_name = "PATH,…", value_delimiter = ',')]
    #[arg(default_value = "/healthz,/readyz,/livez")]
    pub always_allow_paths: Vec<String>,
    /// Cache TTL for allowed decisions; 0 disables caching
    #[arg(
        long = "authorization-webhook-cache-authorized-ttl",
        value_name = "DURATION",
        default_value = "10s"
    )]
    #[arg(value_parser = parse_duration)]
    pub allowed_ttl: Duration,
    /// Cache TTL for denied decisions; 0 disables caching
    #[arg(
        long = "authorization-webhook-cache-unauthorized-ttl",
        value_name = "DURATION",
        default_value = "10s"
    )]
    #[arg(value_parser = parse_duration)]
    pub denied_ttl: Duration,
    /// How long an expired allowed decision stands in while the Kubernetes API cannot answer; 0 disables it
    #[arg(long = "authorization-stale-authorized-ttl", value_name = "DURATION", default_value = "5m")]
    #[arg(value_parser = parse_duration)]
    pub stale_ttl: Duration,
}

impl Options {
    /// Every invalid flag.
    pub fn errors(&self) -> Vec<String> {
        let parsed = self.always_allow_paths.iter().map(|path| OpenPaths::parse([path]));
        let errors = parsed.filter_map(Result::err);
        errors.map(|error| format!("--authorization-always-allow-paths: {error}")).collect()
    }
}

/// The defaults of the flags.
#[cfg(test)]
impl Default for Options {
    fn default() -> Self {
        let always_allow_paths = ["/healthz", "/readyz", "/livez"].map(str::to_owned).into();
        let ttl = Duration::from_secs(10);
        let stale_ttl = Duration::from_secs(300);
        Self { kubeconfig: None, always_allow_paths, allowed_ttl: ttl, denied_ttl: ttl, stale_ttl }
    }
}
