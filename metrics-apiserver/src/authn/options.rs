//! Where trust comes from, as flags say it, and what can be wrong with that at start.

use std::path::PathBuf;

use super::ca::CaError;
use super::headers::ProxyNames;

/// Where trust comes from, as the flags say it.
#[derive(Debug, Clone, Default)]
pub struct TrustOptions {
    /// `--client-ca-file`: the authorities of client certificates, instead of the `ConfigMap`'s.
    pub client_ca_file: Option<PathBuf>,
    /// `--requestheader-*`: the front proxy, instead of the `ConfigMap`'s. `None` without
    /// `--requestheader-client-ca-file`.
    pub front_proxy: Option<FrontProxyFlags>,
    /// `--authentication-skip-lookup`: never look at the `ConfigMap`.
    pub skip_lookup: bool,
    /// `--authentication-tolerate-lookup-failure`: start although the `ConfigMap` cannot be read.
    pub tolerate_lookup_failure: bool,
}

/// The front proxy as flags describe it. Header names are compared without case.
#[derive(Debug, Clone, Default)]
pub struct FrontProxyFlags {
    /// `--requestheader-client-ca-file`.
    pub client_ca_file: PathBuf,
    /// `--requestheader-allowed-names`; empty means any name the CA signed.
    pub allowed_names: Vec<String>,
    /// `--requestheader-username-headers`.
    pub username_headers: Vec<String>,
    /// `--requestheader-group-headers`.
    pub group_headers: Vec<String>,
    /// `--requestheader-extra-headers-prefix`.
    pub extra_headers_prefix: Vec<String>,
    /// `--requestheader-uid-headers`.
    pub uid_headers: Vec<String>,
}

impl TrustOptions {
    /// Whether there is anything left for the `ConfigMap` to say.
    pub(super) fn want_lookup(&self) -> bool {
        let flags_say_all = self.client_ca_file.is_some() && self.front_proxy.is_some();
        !self.skip_lookup && !flags_say_all
    }
}

impl FrontProxyFlags {
    pub(super) fn names(&self) -> ProxyNames {
        ProxyNames::new([
            self.allowed_names.clone(),
            self.username_headers.clone(),
            self.group_headers.clone(),
            self.extra_headers_prefix.clone(),
            self.uid_headers.clone(),
        ])
    }
}

/// Why nobody can be trusted at start. Later failures are warnings: the last good authorities stay.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file of `--client-ca-file` or `--requestheader-client-ca-file`.
    #[error("cannot read the CA file {}, check that it exists and is readable", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The same file, with something else in it.
    #[error("the CA file {} is no PEM bundle of CA certificates", path.display())]
    NoBundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: CaError,
    },
    /// The `ConfigMap` could not be read.
    #[error(
        "cannot read ConfigMap kube-system/extension-apiserver-authentication, bind Role \
         extension-apiserver-authentication-reader in kube-system to the service account, or start with \
         --authentication-tolerate-lookup-failure or --authentication-skip-lookup"
    )]
    Lookup {
        /// What the Kubernetes API says; `None` if it said nothing in time.
        #[source]
        source: Option<Box<kube::Error>>,
    },
}
