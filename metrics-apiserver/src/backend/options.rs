//! The options of one backend, as the check of the configuration produces them, and the errors of its client.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::namespaced::NamespacedText;
use super::proxy::ProxyUrl;
use super::server_name::ServerName;
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
    /// The HTTP method of queries.
    pub method: Method,
    /// Headers sent with every query, such as a tenant; values may be secrets.
    pub headers: Vec<(String, NamespacedText)>,
    /// Query parameters sent with every query; values may be secrets.
    pub parameters: Vec<(String, NamespacedText)>,
    /// The credentials sent with every query.
    pub auth: Auth,
    /// CA bundle for the server certificate, PEM; the system's without it.
    pub ca: Option<FileOrData>,
    /// The name that the server certificate must have, instead of the URL's host; needs `ca`.
    pub server_name: Option<ServerName>,
    /// Do not verify the server certificate.
    pub insecure_skip_tls_verify: bool,
    /// The client certificate.
    pub identity: Option<Identity>,
    /// The proxy through which it is reached.
    pub proxy: Option<ProxyUrl>,
}

/// The HTTP method of queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// GET, or POST with a form where the URL would be too long for proxies and logs.
    #[default]
    ByLength,
    /// GET, however long the URL.
    Get,
    /// POST with a form.
    Post,
}

/// The content of a file, which is reloaded when it changes, or data that never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileOrData {
    /// The path of a file.
    File(PathBuf),
    /// The content itself.
    Data(Secret),
}

impl FileOrData {
    /// The path of the file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Data(_) => None,
        }
    }
}

impl From<PathBuf> for FileOrData {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl fmt::Display for FileOrData {
    /// Where it comes from, for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Data(_) => f.write_str("data given in a URL or kubeconfig"),
        }
    }
}

/// Bytes that are not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The credentials sent with every query.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Auth {
    /// None.
    #[default]
    None,
    /// `Authorization: Bearer` with this token.
    Bearer(FileOrData),
    /// `Authorization: Basic`.
    Basic {
        /// The user name, without a colon.
        username: String,
        /// The password.
        password: FileOrData,
    },
}

/// A client certificate and its key, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate followed by its intermediates.
    pub cert: FileOrData,
    /// The private key.
    pub key: FileOrData,
}

impl Options {
    /// A backend with these URLs, and the default of everything else.
    pub fn new(urls: Vec<BaseUrl>) -> Self {
        Self {
            urls,
            timeout: DEFAULT_TIMEOUT,
            method: Method::default(),
            headers: Vec::new(),
            parameters: Vec::new(),
            auth: Auth::None,
            ca: None,
            server_name: None,
            insecure_skip_tls_verify: false,
            identity: None,
            proxy: None,
        }
    }

    /// Whether the server is told the namespace of each request: it answers for one namespace at a time.
    pub fn needs_namespace(&self) -> bool {
        self.headers.iter().chain(&self.parameters).any(|(_, value)| value.needs_namespace())
    }

    /// Whether both reach the same data: the same servers, as the same user or tenant.
    pub fn has_the_data_of(&self, other: &Self) -> bool {
        // Destructured, so that a new field needs a decision.
        let Self {
            urls,
            headers,
            parameters,
            auth,
            identity,
            // Another proxy may know another server by the same name.
            proxy,
            timeout: _,
            method: _,
            ca: _,
            server_name: _,
            insecure_skip_tls_verify: _,
        } = self;
        *urls == other.urls
            && *headers == other.headers
            && *parameters == other.parameters
            && *auth == other.auth
            && *identity == other.identity
            && *proxy == other.proxy
    }

    /// Whether the connections are encrypted.
    pub fn is_https(&self) -> bool {
        self.urls.iter().all(BaseUrl::is_https)
    }

    /// Whether credentials are sent unencrypted.
    pub fn exposes_credentials(&self) -> bool {
        let is_authorization =
            |(name, _): &(String, NamespacedText)| name.eq_ignore_ascii_case("authorization");
        !self.is_https() && (self.auth != Auth::None || self.headers.iter().any(is_authorization))
    }

    /// Whether an encrypted connection is made to a server that nobody has verified.
    pub fn skips_verification(&self) -> bool {
        self.is_https() && self.insecure_skip_tls_verify
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("timeout", &self.timeout)
            .field("method", &self.method)
            .field("headers", &self.headers)
            .field("parameters", &self.parameters)
            .field("auth", &self.auth)
            .field("ca", &self.ca)
            .field("server_name", &self.server_name)
            .field("insecure_skip_tls_verify", &self.insecure_skip_tls_verify)
            .field("identity", &self.identity)
            .field("proxy", &self.proxy)
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
    /// A proxy that the HTTP client does not accept.
    #[error("the URL of the proxy is not accepted by the HTTP client")]
    Proxy,
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] ReadError),
    /// The content of a file, or data, is not usable.
    #[error("{origin} {problem}")]
    Content {
        /// Where the content comes from.
        origin: FileOrData,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Certificates that do not match, or no system CAs.
    #[error("cannot set up TLS; check caFile, certFile and keyFile")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}
