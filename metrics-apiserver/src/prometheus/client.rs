//! One backend's client: puts a query and reads what comes back, within bounds.

use std::fmt;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::session::{Session, Sessions, describe};
use super::wire::{self, Failure, WireError};
use super::{ClientOptions, SetupError};
use crate::memory::{BackendName, Fetched, QueryError};

/// Queries at one backend at once: with two replicas as many as Prometheus runs (`--query.max-concurrency` 20).
pub(super) const QUERIES_MAX: usize = 10;

/// Longer queries are sent as a form: proxies and logs cut URLs at 2 KiB and more.
const URL_QUERY_BYTES_MAX: usize = 1536;

/// [`wire::SAMPLES_MAX`] series with 1.6 KiB of labels each.
const RESPONSE_BYTES_MAX: usize = 16 << 20;
const RESPONSE_LIMIT: &str = "16 MiB";

/// What of a failure's body is read: Prometheus' message is in the first lines.
const FAILURE_BYTES_MAX: usize = 64 << 10;

/// What of a backend's own words goes to the log.
const DETAIL_CHARS_MAX: usize = 1000;

/// A client for one backend.
pub(super) struct Client {
    endpoint: Url,
    timeout: Duration,
    headers: HeaderMap,
    sessions: Sessions,
    slots: Semaphore,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(backend: &BackendName, options: ClientOptions) -> Result<Self, SetupError> {
        Ok(Self {
            endpoint: endpoint(&options.url)?,
            timeout: options.timeout,
            headers: headers(&options.headers)?,
            sessions: Sessions::new(backend, options)?,
            slots: Semaphore::new(QUERIES_MAX),
        })
    }

    /// What an instant query gives, now.
    pub(super) async fn query(&self, promql: &str) -> Result<Fetched, QueryError> {
        let fetched = timeout(self.timeout, self.ask(promql)).await;
        fetched.unwrap_or(Err(QueryError::TimedOut(self.timeout)))
    }

    async fn ask(&self, promql: &str) -> Result<Fetched, QueryError> {
        // Never closed; an error would only mean that there is nothing to wait for.
        let _slot = self.slots.acquire().await;
        let session = self.sessions.current().await;
        let sent = self.request(&session, promql).send().await;
        let response = sent.map_err(|error| QueryError::Unavailable { detail: transport(error) })?;
        let status = response.status();
        if status.is_success() {
            let body = body(response, RESPONSE_BYTES_MAX).await?;
            let (samples, notes) = wire::answer(&body).map_err(|error| self.unusable(status, error))?;
            if !notes.warnings.is_empty() || !notes.infos.is_empty() {
                tracing::debug!(warnings = ?notes.warnings, infos = ?notes.infos, "prometheus remarked on a query");
            }
            Ok(Fetched { samples, partial: notes.partial.map(Into::into) })
        } else {
            let body = body(response, FAILURE_BYTES_MAX).await.unwrap_or_default();
            Err(self.failed(status, wire::failure(&body)))
        }
    }

    fn request(&self, session: &Session, promql: &str) -> RequestBuilder {
        let time = format!("{}ms", self.timeout.as_millis());
        let parameters = [("query", promql), ("timeout", &time)];
        let request = if promql.len() <= URL_QUERY_BYTES_MAX {
            session.http.get(self.endpoint.clone()).query(&parameters)
        } else {
            session.http.post(self.endpoint.clone()).form(&parameters)
        };
        let request = request.headers(self.headers.clone());
        match &session.authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        }
    }

    fn unusable(&self, status: StatusCode, error: WireError) -> QueryError {
        match error {
            WireError::Failure(failure) => self.failed(status, Some(failure)),
            WireError::Malformed(detail) => QueryError::Malformed { detail: short(&detail) },
            WireError::TooMany => QueryError::TooMuch { limit: wire::SAMPLES_LIMIT },
        }
    }

    fn failed(&self, status: StatusCode, failure: Option<Failure>) -> QueryError {
        let Failure { kind, message } = failure.unwrap_or_default();
        let detail = short(&if status.is_redirection() {
            format!("{status}: redirects are not followed, set the backend's url to the final address")
        } else {
            format!("{status}: {kind}: {message}")
        });
        match kind.as_str() {
            "timeout" => QueryError::TimedOut(self.timeout),
            "canceled" | "internal" | "unavailable" => QueryError::Unavailable { detail },
            _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                QueryError::Unavailable { detail }
            }
            _ => QueryError::Refused { detail },
        }
    }
}

fn endpoint(url: &str) -> Result<Url, SetupError> {
    let url = format!("{}/api/v1/query", url.trim_end_matches('/'));
    let url = Url::parse(&url).map_err(|_| SetupError::Url)?;
    let bare = url.username().is_empty() && url.password().is_none();
    if bare && matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(SetupError::Url) }
}

fn headers(pairs: &[(String, String)]) -> Result<HeaderMap, SetupError> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let invalid = || SetupError::Header(name.clone());
        let mut value = HeaderValue::from_str(value).map_err(|_| invalid())?;
        value.set_sensitive(true);
        headers.append(HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?, value);
    }
    Ok(headers)
}

/// The body, decompressed; given up as soon as it is longer than `limit` bytes.
async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, QueryError> {
    let mut body = Vec::new();
    loop {
        let chunk = response.chunk().await;
        let Some(chunk) = chunk.map_err(|error| QueryError::Malformed { detail: transport(error) })? else {
            return Ok(body);
        };
        if body.len() + chunk.len() > limit {
            return Err(QueryError::TooMuch { limit: RESPONSE_LIMIT });
        }
        body.extend_from_slice(&chunk);
    }
}

/// Without the URL, which holds the query and perhaps a tenant's path.
fn transport(error: reqwest::Error) -> std::sync::Arc<str> {
    short(&describe(&error.without_url()))
}

fn short(detail: &str) -> std::sync::Arc<str> {
    let end = detail.char_indices().nth(DETAIL_CHARS_MAX).map_or(detail.len(), |(at, _)| at);
    detail[..end].into()
}
