//! What the servers of a backend answer, for `check --online`: more than a read ever says.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use tokio::time::timeout;

use super::advice::advice;
use super::build_info::BuildInfo;
use super::call::InstantQuery;
use super::certificate::{self, ServerCertificate};
use super::client::{Client, Server};
use super::decode::Engine;
use super::excerpt::{Secrets, first_words, hint};
use super::options::Options;
use super::proxy::ProxyUrl;

/// Each of the three calls. People wait for them.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What is read of a body: enough for an answer to [`QUERY`], and for the first words of anything else.
const BYTES_MAX: usize = 16 << 10;
/// Needs no data, and every server that speaks PromQL understands it.
const QUERY: InstantQuery<'_> = InstantQuery { promql: "vector(1)", namespace: None };

/// What one URL of a backend answers.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    /// The URL; it has no credentials.
    pub url: String,
    /// What certificate it presents, trusted or not; none for `http`, and behind a proxy by `https`.
    pub certificate: Option<Result<ServerCertificate, Arc<str>>>,
    /// The response to a query, or why there is none.
    pub answer: Result<HttpAnswer, Arc<str>>,
    /// What it is, or why that is not known.
    pub engine: Result<Engine, Arc<str>>,
    /// What should be changed for a backend with this engine.
    pub advice: Option<&'static str>,
}

/// A response as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The `Content-Type`; may be empty.
    pub content_type: String,
    /// The first words of the body.
    pub words: String,
    /// What answers instead of Prometheus, if that is known.
    pub hint: Option<&'static str>,
    /// Whether it is a successful response of the Prometheus HTTP API to a query.
    pub is_prometheus: bool,
}

/// Asks one server of a client, once each.
pub(super) async fn diagnose(client: &Client, options: &Options, server: &Server) -> Diagnosis {
    let url = server.url();
    let proxy = options.proxy.as_ref();
    let certificate = match url.scheme() {
        "https" if !proxy.is_some_and(ProxyUrl::is_https) => {
            Some(certificate::presented(url, proxy, TIMEOUT).await)
        }
        _ => None,
    };
    let answer = match ask(client, server).await {
        Ok(((status, content_type), body, secrets)) => {
            let text = String::from_utf8_lossy(&body);
            let text = secrets.redact(&text);
            Ok(HttpAnswer {
                status: status.as_u16(),
                content_type: first_words(&content_type),
                words: first_words(&text),
                hint: hint(status, &text),
                is_prometheus: status == StatusCode::OK && is_prometheus(&body),
            })
        }
        Err(error) => Err(error),
    };
    let engine = match &answer {
        Ok(HttpAnswer { is_prometheus: true, .. }) => engine(client, server).await,
        _ => Err("it answers no query".into()),
    };
    let advice = engine.as_ref().ok().and_then(|engine| advice(engine, options));
    Diagnosis { url: url.to_string(), certificate, answer, engine, advice }
}

async fn engine(client: &Client, server: &Server) -> Result<Engine, Arc<str>> {
    let asked = timeout(TIMEOUT, client.send(server, &BuildInfo, TIMEOUT)).await;
    let answer = asked.map_err(|_| Arc::from(format!("no answer within {TIMEOUT:?}")))?;
    let Engine { name, version } = answer.map_err(|failed| Arc::from(failed.error.detail()))?.content;
    Ok(Engine { name: first_words(&name), version: first_words(&version) })
}

/// Status and content type of the response to the query, the beginning of its body, and what must not be shown of it.
type Asked = ((StatusCode, String), Vec<u8>, Secrets);

async fn ask(client: &Client, server: &Server) -> Result<Asked, Arc<str>> {
    let allowed = TIMEOUT.min(client.timeout);
    let asked = async {
        let response = client.response(server, &QUERY, allowed).await;
        let (mut response, secrets) = response.map_err(|error| Arc::from(error.detail()))?;
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let head = (response.status(), content_type.unwrap_or_default().to_owned());
        let mut body = Vec::new();
        while body.len() < BYTES_MAX
            && let Ok(Some(chunk)) = response.chunk().await
        {
            body.extend_from_slice(&chunk);
        }
        Ok((head, body, secrets))
    };
    timeout(allowed, asked).await.unwrap_or_else(|_| Err(format!("no answer within {allowed:?}").into()))
}

/// Whether it is a successful response to [`QUERY`]. Loki says `success`, too, with results of another type.
fn is_prometheus(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(body)
        .is_ok_and(|body| body["status"] == "success" && body["data"]["resultType"] == "vector")
}
