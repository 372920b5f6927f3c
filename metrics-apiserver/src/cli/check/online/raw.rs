//! Reads of kube-apiserver that end: in time, within a size, and with a message if they are refused.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use hyper::body::Body as _;
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use tokio::time::timeout;

use crate::causes::causes;

/// One read. kube-apiserver itself gives an aggregated API longer, but no HPA controller waits for it with pleasure.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// Far above the list of metrics of a large cluster.
const BYTES_MAX: usize = 16 << 20;
/// What is shown of a message, in characters.
const MESSAGE_CHARS_MAX: usize = 400;

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The HTTP status; 0 without an answer.
    pub(super) code: u16,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn without_answer(message: impl fmt::Display) -> Self {
        Self { code: 0, message: message.to_string() }
    }

    pub(super) const fn is_forbidden(&self) -> bool {
        matches!(self.code, 401 | 403)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.code > 0 {
            write!(f, "{} ", self.code)?;
        }
        f.write_str(&self.message)
    }
}

/// The part of a `Status` that says why.
#[derive(Debug, Deserialize)]
struct Status {
    message: String,
}

/// A typed read, within the time.
pub(super) async fn within<T>(read: impl Future<Output = kube::Result<T>>) -> Result<T, Refusal> {
    match timeout(TIMEOUT, read).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(kube::Error::Api(status))) => {
            Err(Refusal { code: status.code, message: shortened(&status.message) })
        }
        Ok(Err(error)) => Err(Refusal::without_answer(causes(&error))),
        Err(_) => Err(no_answer()),
    }
}

/// What kube-apiserver answers at a path.
pub(super) async fn get(client: &Client, path: &str) -> Result<Vec<u8>, Refusal> {
    timeout(TIMEOUT, read(client, path)).await.unwrap_or_else(|_| Err(no_answer()))
}

async fn read(client: &Client, path: &str) -> Result<Vec<u8>, Refusal> {
    let request = hyper::Request::get(path).header("Accept", "application/json").body(Body::empty());
    let request = request.map_err(Refusal::without_answer)?;
    let response = client.send(request).await.map_err(|error| Refusal::without_answer(causes(&error)))?;
    let code = response.status().as_u16();
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| Refusal::without_answer(causes(&error)))?;
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > BYTES_MAX {
            return Err(Refusal::without_answer("the answer is larger than 16 MiB"));
        }
    }
    if code == 200 {
        return Ok(bytes);
    }
    let message = serde_json::from_slice::<Status>(&bytes)
        .map_or_else(|_| String::from_utf8_lossy(&bytes).into_owned(), |status| status.message);
    Err(Refusal { code, message: shortened(&message) })
}

fn no_answer() -> Refusal {
    Refusal::without_answer(format_args!("no answer within {TIMEOUT:?}"))
}

fn shortened(message: &str) -> String {
    message.trim().chars().take(MESSAGE_CHARS_MAX).collect()
}
