//! Puts one query to one server and reads what comes back, within bounds.
//!
//! A body is decoded as a whole, for the type of its result may come last. The larger ones share what [`room`](super::room)
//! there is, and are decoded where they keep nobody waiting.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use tokio::time::Instant;

use super::annotations::Annotations;
use super::breaker::Breaker;
use super::budget::Budget;
use super::concurrency::ConcurrencyLimiter;
use super::credentials::{Session, Sessions, describe};
use super::decode::{self, DecodeError, Failure};
use super::long::LongAnswers;
use super::room::{Places, Room, Share};
use super::slow::SlowQueries;
use super::{ClientOptions, SetupError};
use crate::cache::{BackendName, QueryError};
use crate::metric::Sample;
use crate::syntax::BaseUrl;
use crate::telemetry;

/// Queries at one server at once: with two replicas as many as Prometheus runs (`--query.max-concurrency` 20).
pub(super) const QUERIES_MAX: usize = 10;

/// Longer queries are sent as a form: proxies and logs cut URLs at 2 KiB and more.
const URL_QUERY_BYTES_MAX: usize = 1536;

/// [`decode::SAMPLES_MAX`] series with 1.6 KiB of labels each.
const RESPONSE_BYTES_MAX: usize = 16 << 20;
const RESPONSE_LIMIT: &str = "16 MiB";

/// What of a failure's body is read: Prometheus' message is in the first lines.
const FAILURE_BYTES_MAX: usize = 64 << 10;

/// What of a backend's own words goes to the log.
const DETAIL_CHARS_MAX: usize = 1000;

/// An answer to one query.
#[derive(Debug)]
pub(super) struct Answer {
    /// When the query was sent.
    pub(super) asked: Instant,
    pub(super) samples: Vec<Sample>,
    /// What it says besides.
    pub(super) annotations: Annotations,
}

/// What the body of an answer holds.
type Content = (Vec<Sample>, Annotations);

/// A query without an answer.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: QueryError,
    pub(super) fault: Fault,
}

/// Whose fault it is that a query has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The server's: it is not there, not able to work, or not understood.
    Server,
    /// That of what lets us to the server, or does not: a gateway refuses us, or knows no way. It says nothing of the
    /// server behind it, and another one may have another gateway.
    Gateway,
    /// The query's own: the server did its part, and each other one would do the same.
    QuerySource,
}

impl From<QueryError> for Failed {
    fn from(error: QueryError) -> Self {
        let is_its_own = matches!(error, QueryError::TooMuch { .. } | QueryError::Unfit { .. });
        Self { error, fault: if is_its_own { Fault::QuerySource } else { Fault::Server } }
    }
}

/// What it takes to ask the servers of one backend.
pub(super) struct Client {
    pub(super) name: BackendName,
    /// How long one query may take, trying several servers included.
    pub(super) timeout: Duration,
    /// At least one.
    pub(super) servers: Vec<Server>,
    headers: HeaderMap,
    sessions: Sessions,
    long: LongAnswers,
    slow: SlowQueries,
}

/// One URL of a backend.
pub(super) struct Server {
    pub(super) breaker: Breaker,
    url: Url,
    concurrency: Arc<ConcurrencyLimiter>,
    share: Share,
    budget: Budget,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(name: &BackendName, options: ClientOptions, room: &Room) -> Result<Self, SetupError> {
        if options.urls.is_empty() {
            return Err(SetupError::Url);
        }
        Ok(Self {
            name: name.clone(),
            timeout: options.timeout,
            servers: options.urls.iter().map(|url| Server::new(url, room)).collect::<Result<_, _>>()?,
            headers: headers(&options.headers)?,
            sessions: Sessions::new(name, options)?,
            long: LongAnswers::default(),
            slow: SlowQueries::default(),
        })
    }

    /// Queries are sent on new connections from now on.
    pub(super) async fn reconnect(&self) {
        self.sessions.reconnect().await;
    }

    /// Puts a query when it is its turn. `allowed` is told to the server; the caller keeps the time.
    pub(super) async fn ask(
        &self,
        server: &Server,
        promql: &str,
        allowed: Duration,
    ) -> Result<Answer, Failed> {
        let _turn = server.concurrency.take(self.slow.pace(promql)).await;
        server.budget.spend().await;
        let under_way = self.slow.sent(promql, allowed);
        let answer = self.send(server, promql, allowed).await?;
        under_way.answered();
        Ok(answer)
    }

    /// Puts a query now.
    pub(super) async fn send(
        &self,
        server: &Server,
        promql: &str,
        allowed: Duration,
    ) -> Result<Answer, Failed> {
        let session = self.sessions.current().await;
        let asked = Instant::now();
        let mut response = self.request(&session, server, promql, allowed).await?;
        if matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            && let Some(renewed) = self.sessions.refused(&session).await
        {
            response = self.request(&renewed, server, promql, allowed).await?;
        }
        let (samples, annotations) = self.read(server, promql, response, allowed).await?;
        Ok(Answer { asked, samples, annotations })
    }

    async fn request(
        &self,
        session: &Session,
        server: &Server,
        promql: &str,
        allowed: Duration,
    ) -> Result<Response, QueryError> {
        let encoding = HeaderValue::from_static(if self.long.expects(promql) { "gzip" } else { "identity" });
        let request = request(session, &server.url, promql, allowed).headers(self.headers.clone());
        let request = request.header(ACCEPT_ENCODING, encoding);
        let request = match &session.authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        };
        let request = match telemetry::traceparent() {
            Some(value) => request.header("traceparent", value),
            None => request,
        };
        let again = request.try_clone();
        let sent = match (request.send().await, again) {
            (Err(error), Some(again)) if is_cut_off(&error) => again.send().await,
            (sent, _) => sent,
        };
        sent.map_err(|error| QueryError::Unavailable { detail: transport(error) })
    }

    /// Makes an answer or a failure of what came back.
    async fn read(
        &self,
        server: &Server,
        promql: &str,
        response: Response,
        allowed: Duration,
    ) -> Result<Content, Failed> {
        let status = response.status();
        if !status.is_success() {
            let body = body(response, FAILURE_BYTES_MAX, None).await;
            let failure = body.ok().and_then(|body| decode::failure(&body.bytes));
            return Err(failed(status, failure, allowed));
        }
        let body = body(response, RESPONSE_BYTES_MAX, Some(&server.share)).await?;
        self.long.note(promql, body.bytes.len());
        decode(body).await.map_err(|error| match error {
            DecodeError::Failure(failure) => failed(status, Some(failure), allowed),
            DecodeError::Malformed(detail) => QueryError::Malformed { detail: short(&detail) }.into(),
            DecodeError::Unfit(what) => QueryError::Unfit { what }.into(),
            DecodeError::TooMuch(limit) => QueryError::TooMuch { limit }.into(),
        })
    }
}

impl Server {
    fn new(url: &BaseUrl, room: &Room) -> Result<Self, SetupError> {
        Ok(Self {
            breaker: Breaker::new(),
            url: endpoint(url)?,
            concurrency: ConcurrencyLimiter::new(QUERIES_MAX),
            share: room.share(),
            budget: Budget::new(),
        })
    }
}

fn endpoint(url: &BaseUrl) -> Result<Url, SetupError> {
    Url::parse(&format!("{}/api/v1/query", url.as_str())).map_err(|_| SetupError::Url)
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

fn request(session: &Session, url: &Url, promql: &str, allowed: Duration) -> RequestBuilder {
    let time = format!("{}ms", allowed.as_millis());
    let parameters = [("query", promql), ("timeout", &time)];
    if promql.len() <= URL_QUERY_BYTES_MAX {
        session.http.get(url.clone()).query(&parameters)
    } else {
        session.http.post(url.clone()).form(&parameters)
    }
}

fn failed(status: StatusCode, failure: Option<Failure>, allowed: Duration) -> Failed {
    let Failure { kind, message } = failure.unwrap_or_default();
    let detail = short(&if status.is_redirection() {
        format!("{status}: redirects are not followed, set the backend's url to the final address")
    } else {
        format!("{status}: {kind}: {message}")
    });
    match kind.as_str() {
        "timeout" => QueryError::TimedOut(allowed).into(),
        "canceled" | "internal" | "unavailable" => QueryError::Unavailable { detail }.into(),
        _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            QueryError::Unavailable { detail }.into()
        }
        // Prometheus says of what kind its errors are. Some that speak PromQL do not, but refuse with its statuses.
        "" if !matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY) => {
            Failed { error: QueryError::Refused { detail }, fault: Fault::Gateway }
        }
        _ => Failed { error: QueryError::Refused { detail }, fault: Fault::QuerySource },
    }
}

/// A whole body, decompressed.
struct Body {
    bytes: Vec<u8>,
    /// Held until it is decoded.
    places: Places,
}

/// Reads a body; given up as soon as it is longer than `limit` bytes. It waits until there is room, where there is a share of it.
async fn body(mut response: Response, limit: usize, share: Option<&Share>) -> Result<Body, QueryError> {
    let mut body = Body { bytes: Vec::new(), places: Places::default() };
    loop {
        let chunk = response.chunk().await;
        let Some(chunk) = chunk.map_err(|error| QueryError::Malformed { detail: transport(error) })? else {
            return Ok(body);
        };
        let length = body.bytes.len() + chunk.len();
        if length > limit {
            return Err(QueryError::TooMuch { limit: RESPONSE_LIMIT });
        }
        if let Some(share) = share {
            share.grow(&mut body.places, length).await;
        }
        body.bytes.extend_from_slice(&chunk);
    }
}

async fn decode(Body { bytes, places }: Body) -> Result<Content, DecodeError> {
    if places.is_empty() {
        return decode::answer(&bytes);
    }
    let decode = move || {
        let answer = decode::answer(&bytes);
        drop((bytes, places));
        answer
    };
    let decoded = tokio::task::spawn_blocking(decode).await;
    decoded.unwrap_or_else(|_| {
        Err(DecodeError::Malformed("decoding it has crashed; please report it".to_owned()))
    })
}

/// Whether the connection ended before an answer began: most often a kept one that the server, or a gateway, was just about
/// to close. A query changes nothing, so it can be sent once more, as Go's client does.
fn is_cut_off(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout()
}

/// Without the URL, which holds the query and perhaps a tenant's path.
fn transport(error: reqwest::Error) -> Arc<str> {
    short(&describe(&error.without_url()))
}

fn short(detail: &str) -> Arc<str> {
    let end = detail.char_indices().nth(DETAIL_CHARS_MAX).map_or(detail.len(), |(at, _)| at);
    detail[..end].into()
}
