//! What a client must know about its backend, in plain types.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How to reach one backend.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientOptions {
    /// Its http or https address, up to and without `/api/v1`; of an HA group those of all its servers, at least one.
    pub urls: Vec<String>,
    /// How long one query may take, waiting for its turn and trying other servers included.
    pub timeout: Duration,
    /// Sent with every query; values may be secrets.
    pub headers: Vec<(String, String)>,
    /// How it learns who asks.
    pub auth: Auth,
    /// PEM file of the CAs that its certificate may be from; none: the system's.
    pub ca_file: Option<PathBuf>,
    /// The client certificate shown to it.
    pub identity: Option<Identity>,
}

/// How a backend learns who asks. Files are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Auth {
    /// It does not.
    #[default]
    None,
    /// By `Authorization: Bearer` with this file's content.
    BearerTokenFile(PathBuf),
    /// By `Authorization: Basic`.
    Basic {
        /// The user's name.
        username: String,
        /// The file that holds the password.
        password_file: PathBuf,
    },
}

/// A client certificate and its key, PEM files that are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, followed by its chain.
    pub cert_file: PathBuf,
    /// The private key.
    pub key_file: PathBuf,
}

impl ClientOptions {
    /// Whether what the other one reaches has the same data: the same servers, asked as the same user or tenant.
    pub fn has_the_data_of(&self, other: &Self) -> bool {
        // Taken apart, so that a new field has to be decided on.
        let Self { urls, headers, auth, identity, timeout: _, ca_file: _ } = self;
        *urls == other.urls && *headers == other.headers && *auth == other.auth && *identity == other.identity
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| (name, "[redacted]")).collect();
        f.debug_struct("ClientOptions")
            .field("timeout", &self.timeout)
            .field("headers", &headers)
            .field("auth", &self.auth)
            .field("ca_file", &self.ca_file)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// A backend whose client cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("backend `{backend}` cannot be used")]
pub struct BuildError {
    /// Its name in the configuration.
    pub backend: String,
    /// What is wrong.
    #[source]
    pub source: SetupError,
}

/// What keeps a client from being set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Not an address, another scheme, or credentials in it.
    #[error("the url must be http:// or https:// and contain no credentials")]
    Url,
    /// A name or value that HTTP does not allow.
    #[error("header `{0}` is not a valid HTTP header")]
    Header(String),
    /// No such file, or no right to read it.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is empty, too large or not what it should be.
    #[error("{} {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Certificates that do not fit, or no system CAs.
    #[error("cannot set up TLS; check caFile, certFile and keyFile")]
    Tls(#[source] reqwest::Error),
}
