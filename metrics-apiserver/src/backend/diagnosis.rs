//! What the servers of a backend answer, for `check --online`: more than a read ever says.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::annotations::Annotations;
use super::body::Body;
use super::call::{Call, InstantQuery};
use super::certificate::{self, ServerCertificate};
use super::client::{Client, Server};
use super::decode::DecodeError;

/// Each of the three calls. People wait for them.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What is read of a body: enough for an answer to [`QUERY`], and for the first words of anything else.
const BYTES_MAX: usize = 16 << 10;
/// What is shown of a body.
const WORDS_CHARS_MAX: usize = 120;
/// Needs no data, and every server that speaks PromQL understands it.
const QUERY: InstantQuery<'_> = InstantQuery { promql: "vector(1)" };

/// What one URL of a backend answers.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    /// The URL; it has no credentials.
    pub url: String,
    /// What certificate it presents, trusted or not; none for `http`.
    pub certificate: Option<Result<ServerCertificate, Arc<str>>>,
    /// The response to a query, or why there is none.
    pub answer: Result<HttpAnswer, Arc<str>>,
    /// What it is, or why that is not known.
    pub engine: Result<Engine, Arc<str>>,
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
    /// Whether it is a successful response of the Prometheus HTTP API.
    pub is_prometheus: bool,
}

/// What evaluates the queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// The product, as far as its response tells.
    pub name: String,
    /// The version as it says it.
    pub version: String,
}

/// Asks one server of a client, once each.
pub(super) async fn diagnose(client: &Client, server: &Server) -> Diagnosis {
    let url = server.url();
    let certificate = match url.scheme() {
        "https" => Some(certificate::presented(url, TIMEOUT).await),
        _ => None,
    };
    let answer = match ask(client, server, &QUERY).await {
        Ok(((status, content_type), body)) => Ok(HttpAnswer {
            status,
            content_type: words(content_type.as_bytes()),
            words: words(&body),
            is_prometheus: status == 200 && parsed::<serde_json::Value>(&body).is_some(),
        }),
        Err(error) => Err(error),
    };
    let engine = match &answer {
        Ok(HttpAnswer { is_prometheus: true, .. }) => engine(client, server).await,
        _ => Err("it answers no query".into()),
    };
    Diagnosis { url: url.to_string(), certificate, answer, engine }
}

async fn engine(client: &Client, server: &Server) -> Result<Engine, Arc<str>> {
    let ((status, _), body) = ask(client, server, &BuildInfo).await?;
    let build: Envelope<Build> = parsed(&body)
        .filter(|_| status == 200)
        .ok_or_else(|| format!("/{} is answered with {status}", BuildInfo::PATH))?;
    Ok(Engine { name: words(build.data.product().as_bytes()), version: words(build.data.version.as_bytes()) })
}

/// Status and content type of the response to a call, and the beginning of its body.
async fn ask<C: Call>(
    client: &Client,
    server: &Server,
    call: &C,
) -> Result<((u16, String), Vec<u8>), Arc<str>> {
    let allowed = TIMEOUT.min(client.timeout);
    let asked = async {
        let response = client.response(server, call, allowed).await;
        let mut response: Response = response.map_err(|error| Arc::from(error.detail()))?;
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let head = (response.status().as_u16(), content_type.unwrap_or_default().to_owned());
        let mut body = Vec::new();
        while body.len() < BYTES_MAX
            && let Ok(Some(chunk)) = response.chunk().await
        {
            body.extend_from_slice(&chunk);
        }
        Ok((head, body))
    };
    timeout(allowed, asked).await.unwrap_or_else(|_| Err(format!("no answer within {allowed:?}").into()))
}

/// The first words of a text that may be anything, on one line.
fn words(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|c| !c.is_control()).take(WORDS_CHARS_MAX).collect()
}

/// A successful response of the Prometheus HTTP API.
#[derive(Debug, Deserialize)]
struct Envelope<T> {
    status: String,
    data: T,
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Option<Envelope<T>> {
    serde_json::from_slice(body).ok().filter(|envelope: &Envelope<T>| envelope.status == "success")
}

/// Asks what a server is.
struct BuildInfo;

impl Call for BuildInfo {
    type Content = ();

    const PATH: &'static str = "api/v1/status/buildinfo";

    const ACCEPT_ENCODING: &'static str = "identity";

    fn parameters(&self, _: Duration) -> Vec<(&'static str, Cow<'_, str>)> {
        Vec::new()
    }

    async fn decode(&self, _: Body<'_>) -> Result<((), Annotations), DecodeError> {
        Ok(((), Annotations::default()))
    }
}

/// What a server says of itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Build {
    version: String,
    /// Mimir and Cortex name themselves.
    application: Option<String>,
    go_version: Option<String>,
}

impl Build {
    /// Prometheus and Thanos answer with the same fields, and Thanos' versions begin with 0. VictoriaMetrics answers
    /// with a version of Prometheus and nothing else.
    fn product(&self) -> &str {
        match (&self.application, &self.go_version) {
            (Some(name), _) if !name.is_empty() => name,
            (_, None) => "VictoriaMetrics, or another server that does not say what it is",
            _ if self.version.starts_with("0.") => "Thanos",
            _ => "Prometheus",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_told_apart_by_what_they_answer() {
        for (body, expected) in [
            (r#"{"version":"3.5.0","revision":"a","goVersion":"go1.24"}"#, "Prometheus"),
            (r#"{"version":"0.39.2","revision":"a","goVersion":"go1.24"}"#, "Thanos"),
            (r#"{"application":"Grafana Mimir","version":"2.16.0","goVersion":"go1.24"}"#, "Grafana Mimir"),
            (r#"{"version":"2.24.0"}"#, "VictoriaMetrics, or another server that does not say what it is"),
        ] {
            assert_eq!(serde_json::from_str::<Build>(body).unwrap().product(), expected);
        }
    }

    #[test]
    fn the_first_words_are_bounded_and_change_no_terminal() {
        assert_eq!(
            words(b"<!DOCTYPE html>\n  <title>\x1b[31mLog in</title>"),
            "<!DOCTYPE html> <title>[31mLog in</title>"
        );
        assert_eq!(words("é".repeat(1000).as_bytes()).chars().count(), WORDS_CHARS_MAX);
    }
}
