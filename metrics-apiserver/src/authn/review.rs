//! One review by the Kubernetes API (`TokenReview`, `SubjectAccessReview`), limited in time and attempts.

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

use super::ReviewCounts;
use crate::causes::causes;

/// How long a review may take, including all attempts.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often a review is sent at most. The client's own retries should be off, see `create`.
const ATTEMPTS_MAX: u32 = 5;
/// The pause after the first try; doubled after each further one. Shorter than Go's half a second, since a
/// read waits for it: the four pauses are 1.5 s together.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The HTTP status of an API server that has too much to do.
const TOO_MANY_REQUESTS: u16 = 429;

/// Why the Kubernetes API gave no review.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// No answer in time.
    #[error("the Kubernetes API did not answer within {0:?}")]
    TimedOut(Duration),
    /// It is not reachable, or refuses: the service account must be bound to `system:auth-delegator`.
    #[error("the review request to the Kubernetes API failed")]
    Failed(#[source] Box<kube::Error>),
    /// The review has no status.
    #[error("the Kubernetes API returned a review without a status")]
    NoStatus,
    /// The review was not requested.
    #[error("unauthenticated clients cause too many reviews")]
    RateLimited,
}

/// Sends a review and waits for the answer. A failure that may be temporary (5xx, 429, network) is retried.
///
/// The client should be made with `Config::default_retry` off: otherwise it repeats 429, 503 and 504 on its
/// own as well, inside the same deadline.
pub(crate) async fn create<K>(api: &Api<K>, review: &K, counts: &ReviewCounts) -> Result<K, ReviewError>
where
    K: Clone + Debug + DeserializeOwned + Serialize + Resource,
{
    let began = Instant::now();
    let span = info_span!(
        target: "traces", "review", otel.kind = "client", otel.name = K::KIND, otel.status_code = Empty
    );
    let answered = tokio::time::timeout(DEADLINE, create_with_retries(api, review))
        .instrument(span.clone())
        .await
        .unwrap_or(Err(ReviewError::TimedOut(DEADLINE)));
    if answered.is_err() {
        span.record("otel.status_code", "ERROR");
    }
    if answered.is_ok() { &counts.success } else { &counts.failure }.inc();
    counts.durations.observe(began.elapsed().as_secs_f64());
    answered
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
            Err(error) if attempts < ATTEMPTS_MAX && may_pass(&error) => {
                tracing::debug!(error = %causes(&error), attempts, "review failed, trying again");
            }
            Err(error) => return Err(ReviewError::Failed(Box::new(error))),
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
        attempts += 1;
    }
}

/// Whether the same request may succeed a moment later.
fn may_pass(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code >= 500 || status.code == TOO_MANY_REQUESTS,
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
}
