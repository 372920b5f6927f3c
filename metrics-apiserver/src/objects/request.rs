//! GET requests to kube-apiserver. Responses are decoded while they arrive, and their size is bounded;
//! kube's own calls collect them whole, so this file names hyper for requests and bodies.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use hyper::body::{Body as _, Bytes};
use kube::Client;
use kube::client::Body;
use tokio::time::{Instant, timeout, timeout_at};

use super::error::RequestError;
use super::split::{Splitter, Take};

/// How long kube-apiserver may take to begin its response.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A response with status 200 or 304.
pub(super) struct Response {
    /// Whether what the `ETag` of the request names is still current.
    pub(super) is_unmodified: bool,
    pub(super) etag: Option<String>,
    body: Body,
}

/// Sends a GET request. Any status but 200 and 304 is an error.
pub(super) async fn get(
    client: &Client,
    target: &str,
    accept: &'static str,
    etag: Option<&str>,
) -> Result<Response, RequestError> {
    let mut request = hyper::Request::get(target).header("Accept", accept);
    if let Some(etag) = etag {
        request = request.header("If-None-Match", etag);
    }
    let request = request.body(Body::empty()).map_err(|error| RequestError::Request(Box::new(error)))?;
    let sent = timeout(HEAD_TIMEOUT, client.send(request)).await.map_err(|_| RequestError::Timeout)?;
    let response = sent.map_err(|error| RequestError::Transport(Box::new(error)))?;
    let status = response.status().as_u16();
    if !matches!(status, 200 | 304) {
        return Err(RequestError::Status(status));
    }
    let etag = response.headers().get("ETag").and_then(|etag| etag.to_str().ok()).map(ToOwned::to_owned);
    Ok(Response { is_unmodified: status == 304, etag, body: response.into_body() })
}

impl Response {
    /// The next bytes of the body; none at its end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, RequestError> {
        loop {
            match poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await {
                None => return Ok(None),
                Some(Err(error)) => return Err(RequestError::Transport(Box::new(error))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// Reads the body as one JSON object, and calls `take` with the name and the value of each field. Of the lists in
    /// `lists`, each item is passed by itself.
    pub(super) async fn read(
        mut self,
        lists: &'static [&'static str],
        bytes_max: usize,
        deadline: Instant,
        take: Take<'_>,
    ) -> Result<(), RequestError> {
        let mut splitter = Splitter::new(lists);
        let mut bytes = 0;
        loop {
            let chunk = timeout_at(deadline, self.chunk()).await.map_err(|_| RequestError::Timeout)??;
            let Some(chunk) = chunk else { return splitter.end() };
            bytes += chunk.len();
            if bytes > bytes_max {
                return Err(RequestError::TooLarge(bytes_max));
            }
            splitter.feed(&chunk, take)?;
        }
    }
}
