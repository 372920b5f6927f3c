//! As much HTTP/1.1 as the client of a Prometheus speaks: a head, a body of a known length, one request after the
//! other.

use super::Call;
use anyhow::{Context, Result, ensure};
use reqwest::{
    Method, Url,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A query in the URL is at most a few kilobytes.
const HEAD_BYTES_MAX: u64 = 64 << 10;
/// A query in the body.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Of a request, what goes on with it. The length follows from the body, the rest belongs to one connection.
const PASSED_ON: [HeaderName; 2] = [ACCEPT_ENCODING, CONTENT_TYPE];

/// A request as it arrived.
#[derive(Debug)]
pub(super) struct Request {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// An answer as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// The next request; none when the caller has closed the connection.
    pub(super) async fn read(stream: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Self>> {
        let mut head = stream.take(HEAD_BYTES_MAX);
        let mut line = String::new();
        if head.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let method = words.next().context("no method")?.parse()?;
        let target = words.next().context("no target")?.to_owned();
        let mut headers = HeaderMap::new();
        loop {
            line.clear();
            ensure!(head.read_line(&mut line).await? > 0, "the head is cut off or too long");
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.append(name.parse::<HeaderName>()?, value.trim().parse()?);
        }
        let length = match headers.get("content-length") {
            Some(length) => length.to_str()?.parse()?,
            None => 0,
        };
        ensure!(length <= BODY_BYTES_MAX, "the body is too long");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        Ok(Some(Self { method, target, headers, body }))
    }

    /// The target without its parameters.
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// What is asked, with the parameters of the target and of the body decoded.
    pub(super) fn call(&self) -> Result<Call> {
        let mut url = Url::parse("http://prometheus")?.join(&self.target)?;
        let mut parameters: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        url.set_query(Some(&String::from_utf8_lossy(&self.body)));
        parameters.extend(url.query_pairs().into_owned());
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = self.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        Ok(Call { method: self.method.to_string(), path: self.path().to_owned(), parameters, headers })
    }

    /// The real answer; if it is to be `plain`, the server is not offered compression.
    pub(super) async fn forward(
        self,
        client: &reqwest::Client,
        upstream: &str,
        plain: bool,
    ) -> Result<Answer> {
        let mut request = client.request(self.method, format!("{upstream}{}", self.target)).body(self.body);
        for name in PASSED_ON.iter().filter(|name| !plain || **name != ACCEPT_ENCODING) {
            if let Some(value) = self.headers.get(name) {
                request = request.header(name, value);
            }
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let kept = [CONTENT_TYPE, CONTENT_ENCODING].into_iter();
        let headers = kept.filter_map(|name| Some((name.clone(), response.headers().get(&name)?.clone())));
        let headers = headers.collect();
        Ok(Answer { status, headers, body: response.bytes().await?.to_vec() })
    }
}

impl Answer {
    /// An answer that nobody gave.
    pub(super) fn new(status: u16, content_type: &'static str, body: &str) -> Self {
        let headers = vec![(CONTENT_TYPE, HeaderValue::from_static(content_type))];
        Self { status, headers, body: body.as_bytes().to_vec() }
    }

    /// The whole message.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes =
            format!("HTTP/1.1 {} -\r\ncontent-length: {}\r\n", self.status, self.body.len()).into_bytes();
        for (name, value) in &self.headers {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                bytes.extend_from_slice(part);
            }
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends it.
    pub(super) async fn write(&self, stream: &mut (impl AsyncWrite + Unpin)) -> Result<()> {
        stream.write_all(&self.bytes()).await?;
        Ok(stream.flush().await?)
    }
}
