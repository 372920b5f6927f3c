//! Sends reviews (`TokenReview`, `SubjectAccessReview`) to the Kubernetes API, with a deadline and retries.

use std::fmt::Debug;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use hyper::body::Body as _;
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use kube::client::Body;
use kube::core::Status;
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument as _, info_span};

use super::reviews::ReviewCounts;
use crate::causes::causes;

/// The deadline of a review, including retries. Whoever wants it waits less: a late answer serves the next request.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// The maximum number of attempts.
const ATTEMPTS_MAX: u32 = 4;
/// The pause after the first attempt; it doubles with each further one. Shorter than Go's half a second, because a read
/// waits for it: the three pauses add up to 0.7 s, within a read's second.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The HTTP status of an API server that has too much to do, for this client or at all.
const TOO_MANY_REQUESTS: u16 = 429;
/// The longest `Retry-After` that counts. kube-apiserver says 1 s, or up to some seconds when it is starting.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// The largest answer: a review contains what was sent, of which a request line with its headers has 48 KiB.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Why there is no review.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// The deadline has passed.
    #[error("the Kubernetes API did not answer within {0:?}")]
    TimedOut(Duration),
    /// The Kubernetes API is not reachable, or refuses: the service account must be bound to `system:auth-delegator`.
    #[error("the review request to the Kubernetes API failed")]
    Failed(#[source] Box<kube::Error>),
    /// The Kubernetes API has too much to do, and says when to come back. Until then no review is sent.
    #[error("the Kubernetes API throttles reviews (429 Too Many Requests)")]
    Throttled {
        /// When it may be asked again.
        until: Instant,
    },
    /// The review has no status.
    #[error("the Kubernetes API returned a review without a status")]
    NoStatus,
    /// The review was not sent, or not in time.
    #[error("too many reviews are in flight")]
    TooMany {
        /// Whether the Kubernetes API answers others, so that it is whoever causes the reviews who has too many.
        is_answering: bool,
    },
    /// The server is stopping, or the review panicked.
    #[error("the review ended without an answer")]
    Ended,
}

impl ReviewError {
    /// Whether the answer was only too late.
    pub(crate) fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut(_))
    }

    /// Whether the Kubernetes API could not answer at all, so that it may well decide as before.
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            Self::TimedOut(_) | Self::Throttled { .. } => true,
            Self::TooMany { is_answering } => !is_answering,
            Self::Failed(error) => is_temporary(error),
            Self::NoStatus | Self::Ended => false,
        }
    }
}

/// Sends a review and returns the answer. Failures that may be temporary (5xx, 429, network) are retried, so the
/// client's own retries (`Config::default_retry`) should be off. Where the API says when to come back, nothing is.
pub(crate) async fn create<K>(client: &Client, review: &K, counts: &ReviewCounts) -> Result<K, ReviewError>
where
    K: DeserializeOwned + Serialize + Resource<DynamicType = ()>,
{
    let started = Instant::now();
    let span = info_span!(
        target: "traces", "review", otel.kind = "client", otel.name = &*K::kind(&()), otel.status_code = Empty
    );
    let outcome = tokio::time::timeout(DEADLINE, create_with_retries(client, review))
        .instrument(span.clone())
        .await
        .unwrap_or(Err(ReviewError::TimedOut(DEADLINE)));
    match &outcome {
        Ok(_) => counts.success.inc(),
        Err(ReviewError::Throttled { .. }) => counts.throttled.inc(),
        Err(_) => counts.failure.inc(),
    };
    if outcome.is_err() {
        span.record("otel.status_code", "ERROR");
    }
    counts.durations.observe(started.elapsed().as_secs_f64());
    outcome
}

async fn create_with_retries<K>(client: &Client, review: &K) -> Result<K, ReviewError>
where
    K: DeserializeOwned + Serialize + Resource<DynamicType = ()>,
{
    let mut pause = FIRST_PAUSE;
    let mut attempts = 1;
    loop {
        match send(client, review).await {
            Err(ReviewError::Failed(error)) if attempts < ATTEMPTS_MAX && is_temporary(&error) => {
                tracing::debug!(error = %causes(&error), attempts, "review failed, retrying");
            }
            Err(ReviewError::Failed(error)) if is_throttling(&error) => {
                return Err(ReviewError::Throttled { until: Instant::now() + pause });
            }
            outcome => return outcome,
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
        attempts += 1;
    }
}

/// Sends a review once. kube's own calls drop the header that says when to come back.
async fn send<K>(client: &Client, review: &K) -> Result<K, ReviewError>
where
    K: DeserializeOwned + Serialize + Resource<DynamicType = ()>,
{
    let failed = |error: kube::Error| ReviewError::Failed(Box::new(error));
    let json = serde_json::to_vec(review).map_err(|error| failed(kube::Error::SerdeError(error)))?;
    let request = hyper::Request::post(K::url_path(&(), None)).header(CONTENT_TYPE, "application/json");
    let request = request.body(Body::from(json)).map_err(|error| failed(kube::Error::HttpError(error)))?;
    let response = client.send(request).await.map_err(failed)?;
    let code = response.status();
    // No time to wait is as good as none named.
    let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let wait = wait.filter(|seconds| *seconds > 0);
    if code.as_u16() == TOO_MANY_REQUESTS
        && let Some(seconds) = wait
    {
        let wait = Duration::from_secs(seconds).min(RETRY_AFTER_MAX);
        return Err(ReviewError::Throttled { until: Instant::now() + wait });
    }
    let body = collect(response.into_body()).await.map_err(failed)?;
    if code.is_success() {
        return serde_json::from_slice(&body).map_err(|error| failed(kube::Error::SerdeError(error)));
    }
    let status = serde_json::from_slice::<Status>(&body)
        .unwrap_or_else(|_| Status::failure(code.canonical_reason().unwrap_or("unknown status"), "Unknown"));
    Err(failed(kube::Error::Api(status.with_code(code.as_u16()).boxed())))
}

async fn collect(mut body: Body) -> Result<Vec<u8>, kube::Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > BODY_BYTES_MAX {
            let error = format!("the answer has more than {BODY_BYTES_MAX} bytes");
            return Err(kube::Error::Service(error.into()));
        }
    }
    Ok(bytes)
}

/// Whether a retry may succeed.
fn is_temporary(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code >= 500 || status.code == TOO_MANY_REQUESTS,
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
}

fn is_throttling(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == TOO_MANY_REQUESTS)
}
