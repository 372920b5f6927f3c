//! Sends reviews (`TokenReview`, `SubjectAccessReview`) to the Kubernetes API, with a deadline and retries.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::Resource;
use kube::Api;
use kube::api::PostParams;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument as _, info_span};

use super::reviews::ReviewCounts;
use crate::causes::causes;

/// The deadline of a review, including retries.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// The maximum number of attempts.
const ATTEMPTS_MAX: u32 = 5;
/// The pause after the first attempt; it doubles with each further one. Shorter than Go's half a second, because a read
/// waits for it: the four pauses add up to 1.5 s.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The HTTP status of an overloaded API server.
const TOO_MANY_REQUESTS: u16 = 429;

/// Why there is no review.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// The deadline has passed.
    #[error("the Kubernetes API did not answer within {0:?}")]
    TimedOut(Duration),
    /// The Kubernetes API is not reachable, or refuses: the service account must be bound to `system:auth-delegator`.
    #[error("the review request to the Kubernetes API failed")]
    Failed(#[source] Box<kube::Error>),
    /// The review has no status.
    #[error("the Kubernetes API returned a review without a status")]
    NoStatus,
    /// The review was not sent.
    #[error("too many reviews are in flight")]
    TooMany,
    /// The server is stopping, or the review panicked.
    #[error("the review ended without an answer")]
    Ended,
}

/// Sends a review and returns the answer. Failures that may be temporary (5xx, 429, network) are retried, so the
/// client's own retries (`Config::default_retry`) should be off.
pub(crate) async fn create<K>(api: &Api<K>, review: &K, counts: &ReviewCounts) -> Result<K, ReviewError>
where
    K: Clone + Debug + DeserializeOwned + Serialize + Resource,
{
    let started = Instant::now();
    let span = info_span!(
        target: "traces", "review", otel.kind = "client", otel.name = K::KIND, otel.status_code = Empty
    );
    let outcome = tokio::time::timeout(DEADLINE, create_with_retries(api, review))
        .instrument(span.clone())
        .await
        .unwrap_or(Err(ReviewError::TimedOut(DEADLINE)));
    if outcome.is_ok() {
        counts.success.inc();
    } else {
        counts.failure.inc();
        span.record("otel.status_code", "ERROR");
    }
    counts.durations.observe(started.elapsed().as_secs_f64());
    outcome
}

async fn create_with_retries<K>(api: &Api<K>, review: &K) -> Result<K, ReviewError>
where
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    let mut pause = FIRST_PAUSE;
    let mut attempts = 1;
    loop {
        match api.create(&PostParams::default(), review).await {
            Ok(answer) => return Ok(answer),
            Err(error) if attempts < ATTEMPTS_MAX && is_temporary(&error) => {
                tracing::debug!(error = %causes(&error), attempts, "review failed, retrying");
            }
            Err(error) => return Err(ReviewError::Failed(Box::new(error))),
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
        attempts += 1;
    }
}

/// Whether a retry may succeed.
fn is_temporary(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code >= 500 || status.code == TOO_MANY_REQUESTS,
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
}
