//! The HTTP client and the credentials of the moment.
//!
//! Mounted secrets change by a swap of symlinks, which a watch on the file does not survive. So the files are read
//! again, at most every [`FILES_CHECK_INTERVAL`], before a query, and compared by content; also at once when a backend
//! refuses what they held: what is new is then tried before it counts. What cannot be used (gone, half written, a key
//! that does not fit) leaves the last good one in place and is tried again; it does not keep the other files from being
//! used.

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
use super::{Auth, ClientOptions, Identity, SetupError};
use crate::cache::BackendName;
use crate::files;
use crate::syntax::BaseUrl;

/// Kubelet refreshes a mounted secret about once a minute; tokens are replaced long before they expire.
pub(super) const FILES_CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// New content is read once more before it counts.
pub(super) const SETTLE: Duration = Duration::from_secs(1);

/// A token that is replaced when it is already invalid is found by the refusal; a rule that may not be asked at all must
/// not make us read files for each of its queries.
const REFUSED_CHECK_INTERVAL: Duration = Duration::from_secs(1);

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
    /// Held by the one who reads the files.
    look: Mutex<Look>,
}

impl Sessions {
    pub(super) fn new(backend: &BackendName, options: ClientOptions) -> Result<Self, SetupError> {
        // reqwest panics without one. Fails if there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let session = Arc::new(Session::open(&options, Files::read(&options)?, None)?);
        let current = ArcSwap::new(session);
        let look = Mutex::new(Look { at: Instant::now(), refused_at: None, new: None });
        Ok(Self { backend: backend.clone(), options: Arc::new(options), current, look })
    }

    /// The session to use now; looks at the files if it is time to.
    pub(super) async fn current(&self) -> Arc<Session> {
        if self.options.has_files()
            // Should the files hang, only one query waits for them.
            && let Ok(mut look) = self.look.try_lock()
            && look.at.elapsed() >= if look.new.is_some() { SETTLE } else { FILES_CHECK_INTERVAL }
        {
            self.renew(&mut look).await;
        }
        self.current.load_full()
    }

    /// Another session than `used`, whose credentials the backend refuses, if there is one: with what is new in the files,
    /// settled or not. What has not settled is for this try only, lest half of a token replace a good one that one query
    /// is refused with.
    pub(super) async fn refused(&self, used: &Arc<Session>) -> Option<Arc<Session>> {
        if !self.options.has_files() {
            return None;
        }
        let mut look = self.look.lock().await;
        let is_due = look.refused_at.is_none_or(|at| at.elapsed() >= REFUSED_CHECK_INTERVAL);
        if is_due && Arc::ptr_eq(&self.current.load(), used) {
            look.refused_at = Some(Instant::now());
            self.renew(&mut look).await;
        }
        let current = self.current.load_full();
        if Arc::ptr_eq(&current, used) { look.new.as_ref()?.session.clone() } else { Some(current) }
    }

    /// Another HTTP client from now on, without the connections of the one before: a network that has lost them says nothing,
    /// and each query that is sent on one waits for its timeout.
    pub(super) async fn reconnect(&self) {
        let (options, before) = (Arc::clone(&self.options), self.current.load_full());
        let used = Arc::clone(&before);
        // It reads the system's CAs, perhaps.
        let open = move || Session::open(&options, used.files.clone(), None);
        // What one client was made of makes another; else the old one stays.
        if let Ok(Ok(session)) = tokio::task::spawn_blocking(open).await {
            // New credentials that have come meanwhile stay.
            self.current.compare_and_swap(&before, Arc::new(session));
        }
    }

    /// Looks at the files, and takes up what is new in them and was found so [`SETTLE`] ago: a token that is being written
    /// could be half of a good one.
    async fn renew(&self, look: &mut Look) {
        // Set first: whoever is given up while the files hang has still tried.
        look.at = Instant::now();
        let (options, before, seen) = (Arc::clone(&self.options), self.current.load_full(), look.new.clone());
        let renew = move || before.renewed(&options, seen);
        // Fails only if the runtime ends, and this query with it.
        let Ok((new, mut problems)) = tokio::task::spawn_blocking(renew).await else { return };
        let settled = new.as_ref().filter(|new| new.since.elapsed() >= SETTLE);
        problems.extend(settled.into_iter().flat_map(|new| &new.problems).map(Arc::clone));
        let backend = &*self.backend.0;
        for error in problems {
            tracing::warn!(
                backend,
                cause = describe(&*error),
                "a credential file is not used, what it held before stays"
            );
        }
        if let Some(session) = settled.and_then(|new| new.session.clone()) {
            tracing::info!(backend, "credentials replaced");
            self.current.store(session);
        }
        look.new = if settled.is_some() { None } else { new };
    }
}

/// What looks at the files came to.
struct Look {
    /// The last one, and the last one that a refusal made.
    at: Instant,
    refused_at: Option<Instant>,
    /// What the last one found, if that was new and has not settled.
    new: Option<New>,
}

/// What is new in the files.
#[derive(Clone)]
struct New {
    files: Files,
    since: Instant,
    /// With all of it that is of use.
    session: Option<Arc<Session>>,
    /// Why the rest is not.
    problems: Vec<Arc<SetupError>>,
}

impl Session {
    /// What is new in the files now, `seen` if that is what was seen before; and what could not be read.
    fn renewed(&self, options: &ClientOptions, seen: Option<New>) -> (Option<New>, Vec<Arc<SetupError>>) {
        let mut unreadable = Vec::new();
        let files = self.files.read_over(options, &mut unreadable);
        let unreadable = unreadable.into_iter().map(Arc::new).collect();
        if files == self.files {
            return (None, unreadable);
        }
        let seen = seen.filter(|seen| seen.files == files);
        (seen.or_else(|| Some(self.with_new(options, files))), unreadable)
    }

    /// What a session with these files comes to.
    fn with_new(&self, options: &ClientOptions, files: Files) -> New {
        let mut new = New { files, since: Instant::now(), session: None, problems: Vec::new() };
        // One after the other: a CA bundle that is of no use must not keep a new token away.
        for take in [Files::take_ca, Files::take_identity, Files::take_secret] {
            let base = new.session.as_deref().unwrap_or(self);
            let mut next = base.files.clone();
            take(&mut next, &new.files);
            if next == base.files {
                continue;
            }
            match Self::open(options, next, Some(base)) {
                Ok(session) => new.session = Some(Arc::new(session)),
                Err(error) => new.problems.push(Arc::new(error)),
            }
        }
        new
    }

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
    } else if !options.urls.iter().any(BaseUrl::is_https) {
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
#[derive(Clone, PartialEq, Eq)]
struct Files {
    ca: Vec<u8>,
    identity: Vec<u8>,
    secret: Vec<u8>,
}

impl Files {
    fn read(options: &ClientOptions) -> Result<Self, SetupError> {
        let mut problems = Vec::new();
        let nothing = Self { ca: Vec::new(), identity: Vec::new(), secret: Vec::new() };
        let files = nothing.read_over(options, &mut problems);
        problems.pop().map_or(Ok(files), Err)
    }

    /// What the files hold now; what can't be read is as it was.
    fn read_over(&self, options: &ClientOptions, problems: &mut Vec<SetupError>) -> Self {
        let mut or = |read: Result<Vec<u8>, SetupError>, before: &[u8]| {
            read.unwrap_or_else(|problem| {
                problems.push(problem);
                before.to_owned()
            })
        };
        let ca = options.ca_file.as_deref().map_or(Ok(Vec::new()), read_file);
        let pair = options.identity.as_ref();
        let identity = pair.map_or(Ok(Vec::new()), |Identity { cert_file, key_file }| {
            Ok([read_file(cert_file)?, read_file(key_file)?].join(&b'\n'))
        });
        let secret = match &options.auth {
            Auth::None => Ok(Vec::new()),
            Auth::BearerTokenFile(path) | Auth::Basic { password_file: path, .. } => read_file(path),
        };
        Self {
            ca: or(ca, &self.ca),
            identity: or(identity, &self.identity),
            secret: or(secret, &self.secret),
        }
    }

    fn take_ca(&mut self, files: &Self) {
        self.ca.clone_from(&files.ca);
    }

    fn take_identity(&mut self, files: &Self) {
        self.identity.clone_from(&files.identity);
    }

    fn take_secret(&mut self, files: &Self) {
        self.secret.clone_from(&files.secret);
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, SetupError> {
    let failed = |source| SetupError::File { path: path.to_owned(), source };
    let mut content = Vec::new();
    let file = files::open(path).map_err(failed)?;
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
