//! The options of one backend, as the check of the configuration produces them, and the errors of its client.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::files::ReadError;
use crate::syntax::BaseUrl;

/// The timeout of a query unless the configuration says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach one backend.
#[derive(Clone, PartialEq, Eq)]
pub struct Options {
    /// The base URLs of its servers, up to and without `/api/v1`: at least one, all `http` or all `https`.
    pub urls: Vec<BaseUrl>,
    /// The timeout of one query, waiting for a permit and trying other servers included.
    pub timeout: Duration,
    /// Headers sent with every query, such as a tenant; values may be secrets.
    pub headers: Vec<(String, String)>,
    /// The credentials sent with every query.
    pub auth: Auth,
    /// CA bundle for the server certificate, PEM; the system's without it.
    pub ca_file: Option<PathBuf>,
    /// The client certificate.
    pub identity: Option<Identity>,
}

/// The credentials sent with every query. Files are reloaded when they change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Auth {
    /// None.
    #[default]
    None,
    /// `Authorization: Bearer` with the content of this file.
    BearerTokenFile(PathBuf),
    /// `Authorization: Basic`.
    Basic {
        /// The user name, without a colon.
        username: String,
        /// The file with the password.
        password_file: PathBuf,
    },
}

/// A client certificate and its key, PEM files that are reloaded when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate followed by its intermediates.
    pub cert_file: PathBuf,
    /// The private key.
    pub key_file: PathBuf,
}

impl Options {
    /// A backend with these URLs, and the default of everything else.
    pub fn new(urls: Vec<BaseUrl>) -> Self {
        Self {
            urls,
            timeout: DEFAULT_TIMEOUT,
            headers: Vec::new(),
            auth: Auth::None,
            ca_file: None,
            identity: None,
        }
    }

    /// Whether both reach the same data: the same servers, as the same user or tenant.
    pub fn has_the_data_of(&self, other: &Self) -> bool {
        // Destructured, so that a new field needs a decision.
        let Self { urls, headers, auth, identity, timeout: _, ca_file: _ } = self;
        *urls == other.urls && *headers == other.headers && *auth == other.auth && *identity == other.identity
    }

    /// Whether the connections are encrypted.
    pub fn is_https(&self) -> bool {
        self.urls.iter().all(BaseUrl::is_https)
    }

    /// Whether credentials are sent unencrypted.
    pub fn exposes_credentials(&self) -> bool {
        !self.is_https() && self.auth != Auth::None
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| (name, "[redacted]")).collect();
        f.debug_struct("Options")
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

/// Why a client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// No URL, or one that the HTTP client does not accept.
    #[error("the URL is not accepted by the HTTP client")]
    Url,
    /// A name or value that HTTP does not allow.
    #[error("header `{0}` is not a valid HTTP header")]
    Header(String),
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] ReadError),
    /// The content of the file is not usable.
    #[error("{} {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Certificates that do not match, or no system CAs.
    #[error("cannot set up TLS; check caFile, certFile and keyFile")]
    Tls(#[source] reqwest::Error),
}
