//! The HTTP client and the credentials that it sends.
//!
//! The files are read again before a query, at most every ten seconds, and at once when a backend refuses the
//! credentials: what is new in them is then tried for that request, before it counts. What cannot be used (missing,
//! half written, a key that does not match) leaves the last good one in place, and does not keep the other files from
//! being used.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use reqwest::redirect;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

use super::call::CALLS_MAX;
use super::{Auth, FileOrData, Options, SetupError, server_name};
use crate::cache::BackendName;
use crate::causes::causes;
use crate::files::{self, CREDENTIAL_BYTES_MAX, WatchedFiles};
use crate::syntax::BaseUrl;
use crate::x509::Unsupported;

/// A token that is replaced after it has become invalid is found by the refusal; a rule that may never be queried
/// must not make us read files for each of its queries.
const REFUSED_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Longer than the 15 s between two reads of an HPA, so that connections are reused; short enough that a replaced
/// client certificate is soon the only one in use.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

const USER_AGENT: &str = concat!("metrics-apiserver/", env!("CARGO_PKG_VERSION"));

/// What requests are sent with.
pub(super) struct HttpSession {
    pub(super) http: reqwest::Client,
    pub(super) authorization: Option<HeaderValue>,
    contents: Contents,
}

/// The session in use, and the files it follows.
pub(super) struct Credentials {
    backend: BackendName,
    options: Options,
    current: ArcSwap<HttpSession>,
    /// Locked by the query that reads the files.
    poll: Arc<Mutex<PollState>>,
}

struct PollState {
    files: Vec<(Kind, WatchedFiles)>,
    polled_at: Instant,
    refused_at: Option<Instant>,
    /// With what is new in the files and has not settled yet.
    trial: Option<Arc<HttpSession>>,
}

/// What files are for. Each kind is used as soon as it is good: a broken CA bundle does not keep a new token away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ca,
    Identity,
    Secret,
}

/// The contents of all files; empty where there is none. Not `Debug`: they are secrets.
#[derive(Clone, Default, PartialEq, Eq)]
struct Contents {
    ca: Vec<u8>,
    identity: Vec<u8>,
    secret: Vec<u8>,
}

impl Credentials {
    pub(super) fn new(backend: &BackendName, options: Options) -> Result<Self, SetupError> {
        // reqwest panics without one. Fails if there is one already, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (mut files, mut contents) = (options.files(), Contents::default());
        for kind in Kind::ALL {
            contents.set(kind, &[], &options);
        }
        for (kind, files) in &mut files {
            contents.set(*kind, &files.read()?, &options);
        }
        let session = HttpSession::open(&options, contents, None)?;
        session.warn_unsupported(backend);
        let current = ArcSwap::from_pointee(session);
        let poll = PollState { files, polled_at: Instant::now(), refused_at: None, trial: None };
        Ok(Self { backend: backend.clone(), options, current, poll: Arc::new(Mutex::new(poll)) })
    }

    /// The session to use now; reads the files if it is time to.
    pub(super) async fn current(self: &Arc<Self>) -> Arc<HttpSession> {
        // Should the files hang, only one query waits for them.
        if let Ok(state) = Arc::clone(&self.poll).try_lock_owned()
            && state.is_due()
        {
            self.poll(state).await;
        }
        self.current.load_full()
    }

    /// Another session than `used`, whose credentials the backend refuses, if there is one. What has not settled is
    /// for this request only: a half-written token must not replace a good one that one query is refused with.
    pub(super) async fn refused(self: &Arc<Self>, used: &Arc<HttpSession>) -> Option<Arc<HttpSession>> {
        let mut state = Arc::clone(&self.poll).lock_owned().await;
        let is_due = state.refused_at.is_none_or(|at| at.elapsed() >= REFUSED_POLL_INTERVAL);
        if is_due && Arc::ptr_eq(&self.current.load(), used) {
            state.refused_at = Some(Instant::now());
            state = self.poll(state).await?;
        }
        let current = self.current.load_full();
        if Arc::ptr_eq(&current, used) { state.trial.clone() } else { Some(current) }
    }

    /// Another HTTP client from now on, without the connections of the one before: a network that has lost them does
    /// not say so, and each query that is sent on one waits for its timeout.
    pub(super) async fn reconnect(self: &Arc<Self>) {
        let (this, before) = (Arc::clone(self), self.current.load_full());
        let contents = before.contents.clone();
        // It may read the system's CAs.
        let open = move || HttpSession::open(&this.options, contents, None);
        // What one client was made of makes another; else the old one stays.
        if let Ok(Ok(session)) = tokio::task::spawn_blocking(open).await {
            // New credentials that have come meanwhile stay.
            self.current.compare_and_swap(&before, Arc::new(session));
        }
    }

    /// Reads the files on a thread for blocking work. Continues if the query is cancelled, so no content is lost.
    async fn poll(
        self: &Arc<Self>,
        mut state: OwnedMutexGuard<PollState>,
    ) -> Option<OwnedMutexGuard<PollState>> {
        // Set first: a poll that hangs has been tried.
        state.polled_at = Instant::now();
        let this = Arc::clone(self);
        let poll = move || {
            this.poll_files(&mut state);
            state
        };
        // Fails only if the runtime ends, and this query with it.
        tokio::task::spawn_blocking(poll).await.ok()
    }

    fn poll_files(&self, state: &mut PollState) {
        let before = self.current.load_full();
        let mut current = Arc::clone(&before);
        for (kind, files) in &mut state.files {
            let new = files.poll().map(|new| current.with(*kind, &new?, &self.options));
            match new {
                Some(Ok(session)) => {
                    if session.contents.ca != current.contents.ca {
                        session.warn_unsupported(&self.backend);
                    }
                    current = session;
                }
                Some(Err(error)) => self.report(&error),
                None => {}
            }
        }
        let pending = state.files.iter().filter_map(|(kind, files)| Some((*kind, files.pending()?)));
        let trial = pending.fold(Arc::clone(&current), |session, (kind, new)| {
            session.with(kind, new, &self.options).unwrap_or(session)
        });
        state.trial = Some(trial).filter(|trial| !Arc::ptr_eq(trial, &current));
        if !Arc::ptr_eq(&current, &before) {
            tracing::info!(backend = &*self.backend.0, "credentials replaced");
            self.current.store(current);
        }
    }

    fn report(&self, error: &SetupError) {
        let backend = &*self.backend.0;
        tracing::warn!(backend, error = %causes(error), "new credential file not used, keeping the last good one");
    }
}

impl PollState {
    fn is_due(&self) -> bool {
        let interval = self.files.iter().map(|(_, files)| files.poll_interval()).min();
        interval.is_some_and(|interval| self.polled_at.elapsed() >= interval)
    }
}

impl HttpSession {
    /// The token or password, if there is one.
    pub(super) fn password(&self) -> Option<String> {
        let secret = str::from_utf8(&self.contents.secret).ok()?.trim();
        (!secret.is_empty()).then(|| secret.to_owned())
    }

    /// This session with other contents of one kind; the same one if they are the same.
    fn with(
        self: &Arc<Self>,
        kind: Kind,
        new: &files::Contents,
        options: &Options,
    ) -> Result<Arc<Self>, SetupError> {
        let mut contents = self.contents.clone();
        contents.set(kind, new, options);
        if contents == self.contents {
            return Ok(Arc::clone(self));
        }
        // A new secret needs no new client, and no new connections.
        let http = (kind == Kind::Secret).then(|| self.http.clone());
        Self::open(options, contents, http).map(Arc::new)
    }

    fn open(
        options: &Options,
        contents: Contents,
        http: Option<reqwest::Client>,
    ) -> Result<Self, SetupError> {
        let http = http.map_or_else(|| http_client(options, &contents), Ok)?;
        let authorization = authorization(&options.auth, &contents.secret)?;
        Ok(Self { http, authorization, contents })
    }

    /// Logs which CAs of the bundle verify no certificates.
    fn warn_unsupported(&self, backend: &BackendName) {
        Unsupported::of_pem(&self.contents.ca).warn(&format!("backend {}", backend.0));
    }
}

fn http_client(options: &Options, contents: &Contents) -> Result<reqwest::Client, SetupError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        // No proxy of the environment.
        .no_proxy()
        .redirect(redirect::Policy::none())
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(CALLS_MAX);
    if let Some(proxy) = &options.proxy {
        builder = builder.proxy(proxy.for_all().map_err(|_| SetupError::Proxy)?);
    }
    if options.insecure_skip_tls_verify {
        builder = builder.tls_danger_accept_invalid_certs(true);
    } else if let Some(ca) = &options.ca {
        let certs =
            CertificateDer::pem_slice_iter(&contents.ca).collect::<Result<Vec<_>, _>>().map_err(tls)?;
        if certs.is_empty() {
            return Err(SetupError::Content { origin: ca.clone(), problem: "contains no certificate" });
        }
        let name = options.server_name.as_ref();
        let config = server_name::client_config(name, certs, &contents.identity).map_err(tls)?;
        return builder.tls_backend_preconfigured(config).build().map_err(tls);
    } else if !options.urls.iter().any(BaseUrl::is_https) {
        // The system's CAs are not needed, and an image from scratch has none.
        builder = builder.tls_certs_only([]);
    }
    if options.identity.is_some() {
        builder = builder.identity(reqwest::Identity::from_pem(&contents.identity).map_err(tls)?);
    }
    builder.build().map_err(tls)
}

fn tls(error: impl std::error::Error + Send + Sync + 'static) -> SetupError {
    SetupError::Tls(Box::new(error))
}

fn authorization(auth: &Auth, secret: &[u8]) -> Result<Option<HeaderValue>, SetupError> {
    let (origin, value) = match auth {
        Auth::None => return Ok(None),
        Auth::Bearer(token) => (token, [b"Bearer ", secret.trim_ascii()].concat()),
        Auth::Basic { username, password } => {
            let pair = [username.as_bytes(), b":", trim_line_end(secret)].concat();
            (password, format!("Basic {}", STANDARD.encode(pair)).into_bytes())
        }
    };
    // A file may not have been written yet; a URL may have a user name without a password.
    if secret.trim_ascii().is_empty() && origin.path().is_some() {
        return Err(SetupError::Content { origin: origin.clone(), problem: "is empty" });
    }
    let mut value = HeaderValue::from_bytes(&value).map_err(|_| SetupError::Content {
        origin: origin.clone(),
        problem: "contains a character that is not valid in an HTTP header",
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

impl Kind {
    const ALL: [Self; 3] = [Self::Ca, Self::Identity, Self::Secret];
}

impl Contents {
    /// Sets the contents of one kind: what is `new` in its files, and the data that are in no file.
    fn set(&mut self, kind: Kind, new: &[Vec<u8>], options: &Options) {
        let content = match kind {
            Kind::Ca => &mut self.ca,
            Kind::Identity => &mut self.identity,
            Kind::Secret => &mut self.secret,
        };
        let data = options.sources(kind).into_iter().filter_map(|source| match source {
            FileOrData::Data(data) => Some(data.0.as_slice()),
            FileOrData::File(_) => None,
        });
        // A certificate and its key in one PEM text, in any order.
        *content = data.chain(new.iter().map(Vec::as_slice)).collect::<Vec<_>>().join(&b'\n');
    }
}

impl Options {
    /// What makes up one kind.
    fn sources(&self, kind: Kind) -> Vec<&FileOrData> {
        match kind {
            Kind::Ca => self.ca.iter().collect(),
            Kind::Identity => self.identity.iter().flat_map(|pair| [&pair.cert, &pair.key]).collect(),
            Kind::Secret => match &self.auth {
                Auth::None => Vec::new(),
                Auth::Bearer(secret) | Auth::Basic { password: secret, .. } => vec![secret],
            },
        }
    }

    /// The files that it names.
    fn files(&self) -> Vec<(Kind, WatchedFiles)> {
        let paths = |kind| self.sources(kind).into_iter().filter_map(FileOrData::path).map(PathBuf::from);
        let kinds = Kind::ALL.into_iter().filter(|kind| paths(*kind).next().is_some());
        kinds.map(|kind| (kind, WatchedFiles::new(paths(kind), CREDENTIAL_BYTES_MAX))).collect()
    }
}
