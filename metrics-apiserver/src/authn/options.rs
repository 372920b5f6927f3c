//! The flags of authentication, and the errors of the CA bundles they name.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use super::ca::CaError;
use super::headers::ProxyNames;
use crate::syntax::{is_header_name, parse_bool, parse_duration};

/// The trusted CAs, and the cache of token reviews.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Authentication")]
#[group(skip)]
pub struct Options {
    /// CA bundle for client certificates: CN is the user, O the groups; defaults to the bundle in ConfigMap
    /// kube-system/extension-apiserver-authentication
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// The flags of the front proxy.
    #[command(flatten)]
    pub front_proxy: FrontProxyOptions,
    /// Kubeconfig for TokenReview and the ConfigMap; defaults to --kubeconfig
    #[arg(id = "authentication-kubeconfig", long = "authentication-kubeconfig", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Do not read ConfigMap kube-system/extension-apiserver-authentication
    #[arg(long = "authentication-skip-lookup", value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "false", default_missing_value = "true", action = ArgAction::Set, value_parser = parse_bool)]
    pub skip_lookup: bool,
    /// Start even if the ConfigMap cannot be read; until it can, client certificates are rejected
    #[arg(long = "authentication-tolerate-lookup-failure", value_name = "BOOL", num_args = 0..=1)]
    #[arg(require_equals = true, default_value = "false", default_missing_value = "true")]
    #[arg(action = ArgAction::Set, value_parser = parse_bool)]
    pub tolerate_lookup_failure: bool,
    /// Cache TTL for TokenReview results; 0 disables caching
    #[arg(long = "authentication-token-webhook-cache-ttl", value_name = "DURATION", default_value = "10s")]
    #[arg(value_parser = parse_duration)]
    pub token_cache_ttl: Duration,
}

/// The front proxy. Without a CA file, all of it comes from the `ConfigMap`.
#[derive(Debug, Clone, Default, Args)]
#[group(skip)]
pub struct FrontProxyOptions {
    /// CA bundle for the client certificate of the front proxy, whose X-Remote-* headers are trusted; without this
    /// flag, CA bundle, allowed names and header names come from the ConfigMap
    #[arg(id = "requestheader-client-ca-file", long = "requestheader-client-ca-file", value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// Allowed common names of the front proxy's certificate; defaults to any
    #[arg(long = "requestheader-allowed-names", value_name = "NAME,…", value_delimiter = ',')]
    pub allowed_names: Vec<String>,
    /// Headers with the user name; the first non-empty header wins
    #[arg(long = "requestheader-username-headers", value_name = "HEADER,…", value_delimiter = ',')]
    #[arg(default_value = "x-remote-user")]
    pub username_headers: Vec<String>,
    /// Headers with the groups
    #[arg(long = "requestheader-group-headers", value_name = "HEADER,…", value_delimiter = ',')]
    #[arg(default_value = "x-remote-group")]
    pub group_headers: Vec<String>,
    /// Prefixes of the headers with extra attributes of the user
    #[arg(long = "requestheader-extra-headers-prefix", value_name = "PREFIX,…", value_delimiter = ',')]
    #[arg(default_value = "x-remote-extra-")]
    pub extra_headers_prefix: Vec<String>,
    /// Headers with the user's UID; without it, the UID is not read
    #[arg(long = "requestheader-uid-headers", value_name = "HEADER,…", value_delimiter = ',')]
    pub uid_headers: Vec<String>,
}

impl Options {
    /// Every invalid flag.
    pub fn errors(&self) -> Vec<String> {
        self.front_proxy.errors()
    }

    /// Every flag that has no effect.
    pub fn warnings(&self) -> Vec<String> {
        let FrontProxyOptions { client_ca_file, allowed_names, uid_headers, .. } = &self.front_proxy;
        let is_set = |list: &[String]| items(list).next().is_some();
        if client_ca_file.is_none() && (is_set(allowed_names) || is_set(uid_headers)) {
            let warning = "the --requestheader-* flags have no effect without --requestheader-client-ca-file";
            vec![warning.to_owned()]
        } else {
            Vec::new()
        }
    }

    /// Whether the `ConfigMap` is used: flags may set everything that is in it.
    pub(super) fn want_lookup(&self) -> bool {
        let flags_set_all = self.client_ca_file.is_some() && self.front_proxy.client_ca_file.is_some();
        !self.skip_lookup && !flags_set_all
    }
}

impl FrontProxyOptions {
    fn errors(&self) -> Vec<String> {
        let lists = [
            ("username-headers", &self.username_headers),
            ("group-headers", &self.group_headers),
            ("extra-headers-prefix", &self.extra_headers_prefix),
            ("uid-headers", &self.uid_headers),
        ];
        let mut errors = Vec::new();
        for (flag, list) in lists {
            for name in items(list).filter(|name| !is_header_name(name)) {
                errors.push(format!("--requestheader-{flag}: {name:?} is not a valid header name"));
            }
        }
        if self.client_ca_file.is_some() && items(&self.username_headers).next().is_none() {
            errors.push(
                "--requestheader-username-headers must not be empty with --requestheader-client-ca-file"
                    .to_owned(),
            );
        }
        errors
    }

    pub(super) fn names(&self) -> ProxyNames {
        let list = |list: &[String]| items(list).map(str::to_owned).collect();
        ProxyNames::new([
            list(&self.allowed_names),
            list(&self.username_headers),
            list(&self.group_headers),
            list(&self.extra_headers_prefix),
            list(&self.uid_headers),
        ])
    }
}

/// The items of a list without empty ones: `--flag=` is an empty list.
fn items(list: &[String]) -> impl Iterator<Item = &str> {
    list.iter().map(|item| item.trim()).filter(|item| !item.is_empty())
}

/// Why a CA bundle cannot be loaded at start. Later failures are logged: the last good bundle stays in use.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file of `--client-ca-file` or `--requestheader-client-ca-file`.
    #[error("cannot read the CA bundle {}; check that the file exists and is readable", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a PEM bundle of CA certificates.
    #[error("{} is not a PEM bundle of CA certificates", path.display())]
    NoBundle {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: CaError,
    },
    /// kube-apiserver refuses to let us read the `ConfigMap`, or fails.
    #[error(
        "cannot read ConfigMap kube-system/extension-apiserver-authentication; bind Role \
         extension-apiserver-authentication-reader in kube-system to the service account, or start with \
         --authentication-tolerate-lookup-failure or --authentication-skip-lookup"
    )]
    Lookup {
        /// The error of the Kubernetes API.
        #[source]
        source: Box<kube::Error>,
    },
    /// kube-apiserver was not reached.
    #[error(
        "kube-apiserver cannot be reached; check the network between the pod and the control plane: a NetworkPolicy \
         may forbid egress to its port (443, 6443 or another one: see the endpoints of the Service default/kubernetes)"
    )]
    Unreachable {
        /// The error of the connection; `None` if nothing answered in time.
        #[source]
        source: Option<Box<kube::Error>>,
    },
}
