//! Sends one call to one server and reads the response.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Response, StatusCode, Url};
use tokio::time::Instant;

use super::annotations::Annotations;
use super::body::{Body, BodyBudget, short, transport};
use super::breaker::Breaker;
use super::call::{CALLS_MAX, Call};
use super::credentials::{Credentials, HttpSession};
use super::decode::{self, DecodeError, Failure};
use super::excerpt::{Beginning, Secrets, excerpt};
use super::namespaced::NamespacedText;
use super::proxy::ProxyUrl;
use super::{Method, Options, SetupError};
use crate::cache::{BackendName, Owner, QueryError};
use crate::limit::ConcurrencyLimiter;
use crate::metric::Namespace;
use crate::syntax::BaseUrl;
use crate::telemetry;

/// A call that takes longer than a read waits for it (`--read-deadline`, 1 s by default) serves no read that came
/// before it ended. All owners of such calls together leave half of the permits to the others.
const SLOW_AFTER: Duration = Duration::from_secs(1);

/// Longer parameters are sent as a form: proxies and logs cut URLs at 2 KiB and more.
const URL_PARAMETERS_BYTES_MAX: usize = 1536;

/// The response to a call.
#[derive(Debug)]
pub(super) struct Answer<C> {
    /// When the call was sent.
    pub(super) asked: Instant,
    pub(super) content: C,
    pub(super) annotations: Annotations,
}

/// A call that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: QueryError,
    pub(super) fault: Fault,
}

/// What is at fault when a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The server: it is not reachable, cannot work, or is not understood.
    Server,
    /// A gateway before the server, which refuses us or knows no route. That says nothing about the server, and another
    /// server may have another gateway.
    Gateway,
    /// The call itself: the server works, and every other server would answer the same.
    Call,
}

impl From<QueryError> for Failed {
    fn from(error: QueryError) -> Self {
        let is_of_call = matches!(error, QueryError::TooMuch { .. } | QueryError::Unfit { .. });
        Self { error, fault: if is_of_call { Fault::Call } else { Fault::Server } }
    }
}

/// What the servers of one backend are called with.
pub(super) struct Client {
    pub(super) name: BackendName,
    /// How long one call may take, trying several servers included.
    pub(super) timeout: Duration,
    /// At least one.
    pub(super) servers: Vec<Server>,
    method: Method,
    headers: Vec<(HeaderName, NamespacedText)>,
    parameters: Vec<(String, NamespacedText)>,
    proxy: Option<ProxyUrl>,
    credentials: Arc<Credentials>,
}

/// One URL of a backend.
pub(super) struct Server {
    pub(super) breaker: Breaker,
    url: Url,
    concurrency: Arc<ConcurrencyLimiter<Option<Owner>>>,
    budget: BodyBudget,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(name: &BackendName, options: Options, budget: &BodyBudget) -> Result<Self, SetupError> {
        if options.urls.is_empty() {
            return Err(SetupError::Url);
        }
        Ok(Self {
            name: name.clone(),
            timeout: options.timeout,
            servers: options.urls.iter().map(|url| Server::new(url, budget)).collect::<Result<_, _>>()?,
            method: options.method,
            headers: headers(&options.headers)?,
            parameters: options.parameters.clone(),
            proxy: options.proxy.clone(),
            credentials: Arc::new(Credentials::new(name, options)?),
        })
    }

    /// From now on calls are sent on new connections.
    pub(super) async fn reconnect(&self) {
        self.credentials.reconnect().await;
    }

    /// Sends a call once the server has a permit for its owner. The server is told how long it is `allowed` to take;
    /// the caller keeps the time.
    pub(super) async fn call<C: Call>(
        &self,
        server: &Server,
        call: &C,
        owner: Option<Owner>,
        allowed: Duration,
    ) -> Result<Answer<C::Content>, Failed> {
        let _permit = server.concurrency.acquire(owner).await;
        self.send(server, call, allowed).await
    }

    /// Sends a call now.
    pub(super) async fn send<C: Call>(
        &self,
        server: &Server,
        call: &C,
        allowed: Duration,
    ) -> Result<Answer<C::Content>, Failed> {
        let session = self.credentials.current().await;
        let asked = Instant::now();
        let mut response = self.request(&session, server, call, allowed).await?;
        if matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            && let Some(other) = self.credentials.refused(&session).await
        {
            response = self.request(&other, server, call, allowed).await?;
        }
        let status = response.status();
        let content_type = response.headers().get(CONTENT_TYPE).cloned();
        let beginning = Beginning::default();
        let body = Body { response, budget: &server.budget, allowed, beginning: &beginning };
        let excerpt = |secrets: &Secrets| excerpt(status, content_type.as_ref(), &beginning.take(), secrets);
        if !status.is_success() {
            let failure = decode::failure(&body.failure().await);
            let secrets = self.secrets(&session);
            let detail = failure.as_ref().map_or_else(|| excerpt(&secrets), |failure| said(status, failure));
            return Err(failed(status, failure, &secrets.redact(&detail), allowed));
        }
        let (content, annotations) = call.decode(body).await.map_err(|error| match error {
            DecodeError::Failure(failure) => {
                let detail = said(status, &failure);
                failed(status, Some(failure), &self.secrets(&session).redact(&detail), allowed)
            }
            DecodeError::Malformed(detail) => {
                let secrets = self.secrets(&session);
                let detail = format!("{} ({})", excerpt(&secrets), secrets.redact(&detail));
                QueryError::Malformed { detail: short(&detail) }.into()
            }
            DecodeError::Unfit(what) => QueryError::Unfit { what }.into(),
            DecodeError::TooMuch(limit) => QueryError::TooMuch { limit }.into(),
            DecodeError::Body(error) => error.into(),
        })?;
        Ok(Answer { asked, content, annotations })
    }

    /// Sends a call now, and gives the response as it came, whatever it is, and what must not be shown of it.
    pub(super) async fn response<C: Call>(
        &self,
        server: &Server,
        call: &C,
        allowed: Duration,
    ) -> Result<(Response, Secrets), QueryError> {
        let session = self.credentials.current().await;
        let response = self.request(&session, server, call, allowed).await?;
        Ok((response, self.secrets(&session)))
    }

    async fn request<C: Call>(
        &self,
        session: &HttpSession,
        server: &Server,
        call: &C,
        allowed: Duration,
    ) -> Result<Response, QueryError> {
        let parameters = call.parameters(allowed);
        let url = server.endpoint(C::PATH);
        let is_form = match self.method {
            Method::ByLength => length(&parameters) + self.own_length() > URL_PARAMETERS_BYTES_MAX,
            Method::Get => false,
            Method::Post => true,
        };
        let request = if is_form {
            session.http.post(url).form(&parameters)
        } else {
            session.http.get(url).query(&parameters)
        };
        // In the URL of a form as well: gateways look for them there.
        let request = request.query(&self.own_parameters(call.namespace()));
        let request = request.headers(self.own_headers(call.namespace())?);
        let request = request.header(ACCEPT_ENCODING, C::ACCEPT_ENCODING);
        let request = match &session.authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        };
        let request = match telemetry::traceparent() {
            Some(value) => request.header("traceparent", value),
            None => request,
        };
        let (again, asked) = (request.try_clone(), Instant::now());
        let sent = match (request.send().await, again) {
            (Err(error), Some(again)) if is_cut_off(&error) => again.send().await,
            (sent, _) => sent,
        };
        if tracing::enabled!(tracing::Level::DEBUG) {
            let status = sent.as_ref().map_or(0, |response| response.status().as_u16());
            self.log(C::PATH, &parameters, is_form, status, asked.elapsed());
        }
        sent.map_err(|error| QueryError::Unavailable { detail: transport(error) })
    }
}

impl Client {
    /// The configured headers, without those that need a namespace where there is none.
    fn own_headers(&self, namespace: Option<&Namespace>) -> Result<HeaderMap, QueryError> {
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, text) in &self.headers {
            let Some(text) = text.fill(namespace) else { continue };
            headers.append(
                name.clone(),
                header_value(name, &text).map_err(|error| {
                    let detail = error.to_string().into();
                    QueryError::Refused { detail }
                })?,
            );
        }
        Ok(headers)
    }

    /// The configured parameters, without those that need a namespace where there is none.
    fn own_parameters(&self, namespace: Option<&Namespace>) -> Vec<(&str, Cow<'_, str>)> {
        self.parameters
            .iter()
            .filter_map(|(name, text)| Some((name.as_str(), text.fill(namespace)?)))
            .collect()
    }

    /// About how long they are.
    fn own_length(&self) -> usize {
        let text = |text: &NamespacedText| text.parts().map(str::len).sum::<usize>();
        self.parameters.iter().map(|(name, value)| name.len() + text(value)).sum()
    }

    /// What must not be shown if the server repeats it.
    fn secrets(&self, session: &HttpSession) -> Secrets {
        let authorization = session.authorization.iter().filter_map(|value| value.to_str().ok());
        let authorization =
            authorization.map(|value| value.rsplit(' ').next().unwrap_or_default().to_owned());
        let own = self.headers.iter().map(|(_, text)| text);
        let own = own.chain(self.parameters.iter().map(|(_, text)| text));
        let own = own.flat_map(NamespacedText::parts).map(str::to_owned);
        let proxy = self.proxy.iter().flat_map(ProxyUrl::secrets);
        Secrets::new(authorization.chain(session.password()).chain(own).chain(proxy))
    }

    /// Logs a call with its parameters, which contain the query; without the configured ones, which may be secrets. The
    /// status is 0 if there was no response.
    fn log(
        &self,
        path: &str,
        parameters: &[(&str, Cow<'_, str>)],
        is_form: bool,
        status: u16,
        took: Duration,
    ) {
        let pairs: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        tracing::debug!(
            backend = &*self.name.0,
            http.method = if is_form { "POST" } else { "GET" },
            http.path = path,
            parameters = pairs.join("&"),
            http.code = status,
            duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "call answered"
        );
    }
}

impl Server {
    fn new(url: &BaseUrl, budget: &BodyBudget) -> Result<Self, SetupError> {
        Ok(Self {
            breaker: Breaker::new(),
            url: Url::parse(url.as_str()).map_err(|_| SetupError::Url)?,
            concurrency: ConcurrencyLimiter::fair_to_fast(CALLS_MAX, SLOW_AFTER),
            budget: budget.half(),
        })
    }

    /// The base of every call.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    fn endpoint(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
        url
    }
}

fn headers(pairs: &[(String, NamespacedText)]) -> Result<Vec<(HeaderName, NamespacedText)>, SetupError> {
    let header = |(written, text): &(String, NamespacedText)| {
        let name =
            HeaderName::from_bytes(written.as_bytes()).map_err(|_| SetupError::Header(written.clone()))?;
        for part in text.parts() {
            header_value(&name, part)?;
        }
        Ok((name, text.clone()))
    };
    pairs.iter().map(header).collect()
}

fn header_value(name: &HeaderName, text: &str) -> Result<HeaderValue, SetupError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| SetupError::Header(name.to_string()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn length(parameters: &[(&str, Cow<'_, str>)]) -> usize {
    parameters.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// What a server says went wrong.
fn said(status: StatusCode, Failure { kind, message }: &Failure) -> String {
    let said = [kind, message].into_iter().filter(|text| !text.is_empty());
    said.fold(status.to_string(), |detail, text| format!("{detail}: {text}"))
}

fn failed(status: StatusCode, failure: Option<Failure>, detail: &str, allowed: Duration) -> Failed {
    let kind = failure.unwrap_or_default().kind;
    let detail = if status.is_redirection() {
        let what = "redirects are not followed; set the backend's url to the final address";
        short(&format!("{status}: {what}"))
    } else {
        short(detail)
    };
    match kind.as_str() {
        "timeout" => QueryError::TimedOut(allowed).into(),
        "canceled" | "internal" | "unavailable" => QueryError::Unavailable { detail }.into(),
        _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            QueryError::Unavailable { detail }.into()
        }
        // Prometheus gives the type of its errors. Some servers that speak PromQL do not, but use the same statuses.
        "" if !matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY) => {
            Failed { error: QueryError::Refused { detail }, fault: Fault::Gateway }
        }
        _ => Failed { error: QueryError::Refused { detail }, fault: Fault::Call },
    }
}

/// Whether the connection ended before a response began: most often a kept one that the server, or a gateway, was
/// about to close. A call changes nothing, so it can be sent once more, as Go's client does.
fn is_cut_off(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout()
}
