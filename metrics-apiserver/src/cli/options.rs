//! The flags of the server: those of its rooms, and those that belong to none of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use clap::builder::{OsStringValueParser, TypedValueParser as _};

use super::adapter::AdapterOptions;
use super::ignored::{self, Ignored};
use super::prometheus::PrometheusOptions;
use crate::syntax::parse_duration;
use crate::{authn, authz, registration, server, telemetry, tls};

/// The endpoints of a Service are updated within seconds; a higher value is a mistake.
const SHUTDOWN_DELAY_MAX: Duration = Duration::from_secs(600);

const AFTER_HELP: &str = "\
Commands (as the first argument):
  check    check a configuration file and print its queries; --online also asks the backends and
           the cluster, --cluster also whether HPAs are answered (check --help)
  version  print the version

Without a command, the server starts. Durations have Go syntax: 500ms, 10s, 1m30s.
The flags of prometheus-adapter are accepted; one line of the log names those that have no effect.
Exit codes: 0 after a clean shutdown, 1 if the server cannot start, 2 for an unknown flag,
64 for invalid flags or configuration.";

// Every flag of the server. Names, and defaults where they exist there, are those of Kubernetes' API servers.
/// Serve external metrics to Kubernetes, computed by PromQL.
#[derive(Debug, Clone, Parser)]
#[command(name = "metrics-apiserver", version, term_width = 100, args_override_self = true)]
#[command(after_help = AFTER_HELP)]
pub struct Options {
    /// Where the server listens, and its limits.
    #[command(flatten)]
    pub server: server::Options,
    /// The serving certificate.
    #[command(flatten)]
    pub tls: tls::Options,
    /// Which certificates and tokens are trusted.
    #[command(flatten)]
    pub authentication: authn::Options,
    /// Who may do what.
    #[command(flatten)]
    pub authorization: authz::Options,
    /// Configuration file (docs/configuration.md); required; reloaded when it changes
    #[arg(
        long,
        value_name = "FILE",
        default_value = "",
        hide_default_value = true,
        help_heading = "Configuration"
    )]
    #[arg(value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub config: PathBuf,
    /// Kubeconfig for the Kubernetes API; defaults to the in-cluster configuration of the ServiceAccount
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    pub kubeconfig: Option<PathBuf>,
    /// The backend `default`.
    #[command(flatten)]
    pub prometheus: PrometheusOptions,
    /// Where the `APIService`s should lead.
    #[command(flatten)]
    pub registration: registration::Options,
    /// How adapter rules discover series and objects.
    #[command(flatten)]
    pub adapter: AdapterOptions,
    /// What is logged, and where traces are sent.
    #[command(flatten)]
    pub telemetry: telemetry::Options,
    /// How long the server continues to serve after SIGTERM, with /readyz failing, before it stops listening
    #[arg(long = "shutdown-delay-duration", value_name = "DURATION", default_value = "0s")]
    #[arg(value_parser = parse_duration, help_heading = "Limits and shutdown")]
    pub shutdown_delay: Duration,
    /// Ignored, as in prometheus-adapter: its manifests repeat the path of the program.
    #[arg(hide = true)]
    pub(super) positional: Vec<String>,
    /// Flags of prometheus-adapter that have no effect.
    #[arg(skip)]
    pub(super) ignored: Vec<Ignored>,
}

impl Options {
    /// The kubeconfigs for authentication and for authorization.
    pub fn kubeconfigs(&self) -> [Option<&Path>; 2] {
        [&self.authentication.kubeconfig, &self.authorization.kubeconfig]
            .map(|own| own.as_deref().or(self.kubeconfig.as_deref()))
    }

    /// Every flag that is missing or invalid.
    pub(super) fn errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if self.config.as_os_str().is_empty() {
            errors.push("--config is required".to_owned());
        }
        errors.extend(self.tls.errors());
        errors.extend(self.server.errors());
        errors.extend(self.authentication.errors());
        errors.extend(self.authorization.errors());
        errors.extend(self.prometheus.errors());
        errors.extend(self.adapter.errors());
        errors.extend(self.telemetry.errors());
        if self.shutdown_delay > SHUTDOWN_DELAY_MAX {
            errors.push("--shutdown-delay-duration must be at most 10m".to_owned());
        }
        errors
    }

    /// Every argument that has no effect, for the log.
    pub fn warnings(&self) -> Vec<String> {
        let ignored = |argument| format!("the argument {argument:?} is not a flag and is ignored");
        let mut warnings: Vec<_> = self.positional.iter().map(ignored).collect();
        warnings.extend(ignored::warning(&self.ignored));
        warnings.extend(self.tls.warnings());
        warnings.extend(self.authentication.warnings());
        warnings.extend(self.prometheus.warnings());
        warnings.extend(self.telemetry.warnings());
        warnings
    }
}
