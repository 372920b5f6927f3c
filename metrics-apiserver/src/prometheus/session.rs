//! The HTTP client and the credentials of the moment.
//!
//! Mounted secrets change by a swap of symlinks, which a watch on the file does not survive. So the files are read
//! again, at most every [`FILES_CHECK_INTERVAL`], before a query, and compared by content; also at once when a backend
//! refuses what they hold. What cannot be used (gone, half written, a key that does not fit) leaves the last good ones in
//! place and is tried again.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use reqwest::{Certificate, redirect};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::client::QUERIES_MAX;
use super::{Auth, ClientOptions, SetupError};
use crate::memory::BackendName;

/// Kubelet refreshes a mounted secret about once a minute; tokens are replaced long before they expire.
pub(super) const FILES_CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// A token that is replaced when it is already invalid is found by the refusal; a rule that may not be asked at all must
/// not make us read files for each of its queries.
pub(super) const REFUSED_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A bundle of all public CAs is 200 KiB.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Longer than the 15 s between two reads of an HPA, so that connections are reused; short enough that a replaced
/// client certificate is soon the only one in use.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

const USER_AGENT: &str = concat!("metrics-apiserver/", env!("CARGO_PKG_VERSION"));

/// What queries are sent with.
pub(super) struct Session {
    pub(super) http: reqwest::Client,
    pub(super) authorization: Option<HeaderValue>,
    files: Files,
}

/// The session of the moment.
pub(super) struct Sessions {
    backend: BackendName,
    options: Arc<ClientOptions>,
    current: ArcSwap<Session>,
    /// When the files were read last; held by the one who reads them.
    checked_at: Mutex<Instant>,
}

impl Sessions {
    pub(super) fn new(backend: &BackendName, options: ClientOptions) -> Result<Self, SetupError> {
        // reqwest panics without one. Fails if there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let session = Arc::new(Session::open(&options, Files::read(&options)?, None)?);
        let current = ArcSwap::new(session);
        let checked_at = Mutex::new(Instant::now());
        Ok(Self { backend: backend.clone(), options: Arc::new(options), current, checked_at })
    }

    /// The session to use now; looks at the files if it is time to.
    pub(super) async fn current(&self) -> Arc<Session> {
        if self.options.has_files()
            // Should the files hang, only one query waits for them.
            && let Ok(mut checked_at) = self.checked_at.try_lock()
            && checked_at.elapsed() >= FILES_CHECK_INTERVAL
        {
            self.renew(&mut checked_at).await;
        }
        self.current.load_full()
    }

    /// Another session than `used`, whose credentials the backend refuses, if there is one.
    pub(super) async fn refused(&self, used: &Arc<Session>) -> Option<Arc<Session>> {
        if !self.options.has_files() {
            return None;
        }
        let mut checked_at = self.checked_at.lock().await;
        if Arc::ptr_eq(&self.current.load(), used) && checked_at.elapsed() >= REFUSED_CHECK_INTERVAL {
            self.renew(&mut checked_at).await;
        }
        Some(self.current.load_full()).filter(|current| !Arc::ptr_eq(current, used))
    }

    async fn renew(&self, checked_at: &mut Instant) {
        // Set first: whoever is given up while the files hang has still tried.
        *checked_at = Instant::now();
        match self.renewed().await {
            Ok(None) => {}
            Ok(Some(session)) => {
                tracing::info!(backend = &*self.backend.0, "credentials replaced");
                self.current.store(Arc::new(session));
            }
            Err(error) => {
                let (backend, cause) = (&*self.backend.0, describe(&error));
                tracing::warn!(backend, cause, "credentials not replaced, the old ones stay");
            }
        }
    }

    async fn renewed(&self) -> Result<Option<Session>, SetupError> {
        let (options, before) = (Arc::clone(&self.options), self.current.load_full());
        let renew = move || {
            let files = Files::read(&options)?;
            if files == before.files {
                Ok(None)
            } else {
                Session::open(&options, files, Some(&before)).map(Some)
            }
        };
        // Fails only if the runtime ends, and this query with it.
        tokio::task::spawn_blocking(renew).await.unwrap_or(Ok(None))
    }
}

impl Session {
    /// Takes over the HTTP client, and its connections, of the session `before` if only the secret changed.
    fn open(options: &ClientOptions, files: Files, before: Option<&Self>) -> Result<Self, SetupError> {
        let same =
            before.filter(|before| before.files.ca == files.ca && before.files.identity == files.identity);
        let http = match same {
            Some(before) => before.http.clone(),
            None => http_client(options, &files)?,
        };
        let authorization = authorization(&options.auth, &files.secret)?;
        Ok(Self { http, authorization, files })
    }
}

fn http_client(options: &ClientOptions, files: &Files) -> Result<reqwest::Client, SetupError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(QUERIES_MAX);
    if let Some(path) = &options.ca_file {
        let certs = Certificate::from_pem_bundle(&files.ca).map_err(SetupError::Tls)?;
        if certs.is_empty() {
            return Err(SetupError::Content { path: path.clone(), problem: "holds no certificate" });
        }
        builder = builder.tls_certs_only(certs);
    } else if options.urls.iter().all(|url| url.starts_with("http:")) {
        // The system's CAs are not needed, and an image from scratch has none.
        builder = builder.tls_certs_only([]);
    }
    if options.identity.is_some() {
        builder = builder.identity(reqwest::Identity::from_pem(&files.identity).map_err(SetupError::Tls)?);
    }
    builder.build().map_err(SetupError::Tls)
}

fn authorization(auth: &Auth, secret: &[u8]) -> Result<Option<HeaderValue>, SetupError> {
    let (path, value) = match auth {
        Auth::None => return Ok(None),
        Auth::BearerTokenFile(path) => (path, [b"Bearer ", secret.trim_ascii()].concat()),
        Auth::Basic { username, password_file } => {
            let pair = [username.as_bytes(), b":", trim_line_end(secret)].concat();
            (password_file, format!("Basic {}", STANDARD.encode(pair)).into_bytes())
        }
    };
    if secret.trim_ascii().is_empty() {
        return Err(SetupError::Content { path: path.clone(), problem: "is empty" });
    }
    let mut value = HeaderValue::from_bytes(&value).map_err(|_| SetupError::Content {
        path: path.clone(),
        problem: "holds a character that cannot be sent in an http header",
    })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Spaces may belong to a password; the line end that an editor adds does not.
fn trim_line_end(mut secret: &[u8]) -> &[u8] {
    while let [rest @ .., b'\n' | b'\r'] = secret {
        secret = rest;
    }
    secret
}

/// The contents of all files of a backend; empty where there is none. Not `Debug`: they are secrets.
#[derive(PartialEq, Eq)]
struct Files {
    ca: Vec<u8>,
    identity: Vec<u8>,
    secret: Vec<u8>,
}

impl Files {
    fn read(options: &ClientOptions) -> Result<Self, SetupError> {
        let ca = options.ca_file.as_deref().map(read_file).transpose()?.unwrap_or_default();
        let identity = match &options.identity {
            Some(identity) => [read_file(&identity.cert_file)?, read_file(&identity.key_file)?].join(&b'\n'),
            None => Vec::new(),
        };
        let secret = match &options.auth {
            Auth::None => Vec::new(),
            Auth::BearerTokenFile(path) | Auth::Basic { password_file: path, .. } => read_file(path)?,
        };
        Ok(Self { ca, identity, secret })
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, SetupError> {
    let failed = |source| SetupError::File { path: path.to_owned(), source };
    let mut content = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    let size = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content).map_err(failed)?;
    if size as u64 > FILE_BYTES_MAX {
        return Err(SetupError::Content { path: path.to_owned(), problem: "is larger than 4 MiB" });
    }
    Ok(content)
}

impl ClientOptions {
    fn has_files(&self) -> bool {
        self.ca_file.is_some() || self.identity.is_some() || self.auth != Auth::None
    }
}

/// An error with its causes, on one line.
pub(super) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
