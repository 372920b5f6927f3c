//! Authorization. The group `system:masters` may do everything, and some paths are open to everybody; for all else the
//! Kubernetes API decides (`SubjectAccessReview`). Without a decision the request is refused.
//!
//! Decisions are cached with the TTLs that flags set. While the Kubernetes API cannot answer, an expired one that
//! allows stands in for a bounded time; one that denies never does.

mod attributes;
mod key;
mod options;
mod paths;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
    SubjectAccessReviewStatus,
};
use kube::Client;
use moka::Expiry;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use prometheus_client::metrics::counter::Counter;
use tokio::time;

use crate::authn::review::{self, ReviewError};
use crate::authn::{ReviewCounts, ReviewQueue, Reviews, UserInfo, Wanted};
use crate::causes::causes;
use crate::limit::TokenBucket;

use key::Key;
use paths::OpenPaths;

pub use attributes::{Attributes, attributes_of};
pub use options::Options;
pub use paths::InvalidPath;

/// The group whose members may do everything without a review, as in kube-apiserver.
const MASTERS: &str = "system:masters";
/// Cached decisions, as in every aggregated API server. A decision uses about 200 bytes.
const MAX_DECISIONS: u64 = 8192;
/// How long a user is in doubt after a denial: the rate of further reviews is limited then.
const DOUBT: Duration = Duration::from_secs(60);
/// Users in doubt. With more, some are in doubt for a shorter time.
const MAX_DENIED: u64 = 4096;
/// Bytes of a request's attributes above which its decision is not cached.
const MAX_CACHED_LEN: usize = 10_000;
/// How long a review may take if an expired decision can stand in: much more than an idle kube-apiserver needs, and
/// little of a read's second.
const STALE_PATIENCE: Duration = Duration::from_millis(250);
/// One log line about stale decisions in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Characters of the authorizer's reason that are passed on to the user.
const MAX_REASON_CHARS: usize = 1_000;

/// Why a request is not authorized.
#[derive(Debug, thiserror::Error)]
pub enum AuthzError {
    /// The user does not have the permission: 403.
    #[error("not allowed")]
    Denied {
        /// The authorizer's reason, for the user; may be empty.
        reason: String,
    },
    /// Too many reviews of this user are in flight: 429.
    #[error("too many reviews of this user's permissions, please try again later")]
    TooManyReviews,
    /// The Kubernetes API refuses to review anything for now: 503.
    #[error("the Kubernetes API throttles reviews of permissions (429), please try again later")]
    Throttled {
        /// The cause. For the log.
        #[source]
        source: Arc<ReviewError>,
    },
    /// There is no decision, so the request is refused: 500, or 504 if the review did not end in time.
    #[error("the user's permissions could not be reviewed")]
    ReviewFailed {
        /// The cause. For the log.
        #[source]
        source: Arc<ReviewError>,
    },
}

/// Decides whether a request is allowed.
pub struct Authorizer {
    client: Client,
    open_paths: OpenPaths,
    decisions: Cache<Key, Decision>,
    /// What was allowed in its last review, for longer than `decisions` has it.
    granted: Cache<Key, ()>,
    /// Users to whom something was denied a moment ago.
    denied: Cache<String, ()>,
    /// By user; all anonymous ones together count as one.
    queue: Arc<ReviewQueue<Option<String>, Decision>>,
    reviews: ReviewCounts,
    stale: Counter,
    stale_log: TokenBucket,
}

impl Authorizer {
    /// An authorizer that uses the Kubernetes API behind `client`.
    pub fn new(client: Client, options: &Options, reviews: &Reviews) -> Result<Self, InvalidPath> {
        let decisions = Cache::builder()
            .max_capacity(MAX_DECISIONS)
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(Ttls { allowed: options.allowed_ttl, denied: options.denied_ttl })
            .build();
        let stale_ttl = if options.stale_ttl.is_zero() {
            Duration::ZERO
        } else {
            options.allowed_ttl + options.stale_ttl
        };
        Ok(Self {
            client,
            open_paths: OpenPaths::parse(&options.always_allow_paths)?,
            decisions,
            granted: Cache::builder().max_capacity(MAX_DECISIONS).time_to_live(stale_ttl).build(),
            denied: Cache::builder().max_capacity(MAX_DENIED).time_to_live(DOUBT).build(),
            queue: ReviewQueue::new(reviews.access.clone()),
            reviews: reviews.access.clone(),
            stale: reviews.stale.clone(),
            stale_log: TokenBucket::new(LOG_INTERVAL, 1),
        })
    }

    /// `Ok` if `user` is allowed to do what `wanted` describes. Decided by the deadline, or not at all.
    pub async fn authorize(
        &self,
        user: &UserInfo,
        wanted: &Attributes,
        deadline: time::Instant,
    ) -> Result<(), AuthzError> {
        if user.groups.iter().any(|group| group == MASTERS) || self.is_open(wanted) {
            return Ok(());
        }
        match self.decision(user, wanted, deadline).await {
            Ok(Decision::Allowed) => Ok(()),
            Ok(Decision::Denied { reason }) => Err(AuthzError::Denied { reason: reason.to_string() }),
            Err(source) => Err(match *source {
                ReviewError::TooMany { .. } => AuthzError::TooManyReviews,
                ReviewError::Throttled { .. } => AuthzError::Throttled { source },
                _ => AuthzError::ReviewFailed { source },
            }),
        }
    }

    /// Ends the reviews in flight, for when there are no more requests.
    pub async fn shutdown(&self) {
        self.queue.shutdown().await;
    }

    /// The cached decision, or that of a review. Concurrent equal requests share one review.
    async fn decision(
        &self,
        user: &UserInfo,
        wanted: &Attributes,
        deadline: time::Instant,
    ) -> Result<Decision, Arc<ReviewError>> {
        let key = key::of(user, wanted);
        let is_cached = wanted.len() <= MAX_CACHED_LEN;
        if is_cached && let Some(decision) = self.decisions.get(&key).await {
            return Ok(decision);
        }
        let was_granted = is_cached && self.granted.contains_key(&key);
        let patience = was_granted.then_some(STALE_PATIENCE);
        let by = (!user.is_anonymous()).then(|| user.name.clone());
        let review = || {
            let (denied, name) = (self.denied.clone(), by.clone());
            let is_doubtful = move || name.is_none_or(|name| denied.contains_key(&name));
            let review = self.review(user, wanted, is_cached.then_some(key));
            Wanted { key, by: by.clone(), is_doubtful, review }
        };
        match self.queue.outcome(review, patience, deadline).await {
            // Asked again, for a denial may have arrived meanwhile.
            Err(error) if is_outage(&error) && was_granted && self.granted.contains_key(&key) => {
                self.record_stale(&error);
                Ok(Decision::Allowed)
            }
            outcome => outcome,
        }
    }

    fn record_stale(&self, error: &ReviewError) {
        self.stale.inc();
        if self.stale_log.try_take() {
            tracing::warn!(
                error = %causes(error),
                "the Kubernetes API does not answer reviews; allowing what it allowed in the last minutes"
            );
        }
    }

    fn is_open(&self, wanted: &Attributes) -> bool {
        match wanted {
            Attributes::NonResource { path, .. } => self.open_paths.contains(path),
            Attributes::Resource { .. } => false,
        }
    }

    /// Sends a review, and keeps its decision under `key`.
    fn review(
        &self,
        user: &UserInfo,
        wanted: &Attributes,
        key: Option<Key>,
    ) -> impl Future<Output = Result<Decision, ReviewError>> + Send + use<> {
        let review = SubjectAccessReview { spec: spec(user, wanted), ..SubjectAccessReview::default() };
        let (client, counts, name) = (self.client.clone(), self.reviews.clone(), user.name.clone());
        let (decisions, denied, granted) =
            (self.decisions.clone(), self.denied.clone(), self.granted.clone());
        async move {
            let reviewed = review::create(&client, &review, &counts).await?;
            let decision = reviewed.status.map(Decision::from).ok_or(ReviewError::NoStatus)?;
            if matches!(decision, Decision::Denied { .. }) {
                denied.insert(name, ()).await;
            }
            if let Some(key) = key {
                match decision {
                    Decision::Allowed => granted.insert(key, ()).await,
                    Decision::Denied { .. } => granted.invalidate(&key).await,
                }
                decisions.insert(key, decision.clone()).await;
            }
            Ok(decision)
        }
    }
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizer").finish_non_exhaustive()
    }
}

/// Whether the Kubernetes API cannot answer. That a client gives it too little time does not count: it could keep a
/// right that it has lost.
fn is_outage(error: &ReviewError) -> bool {
    error.is_outage() && !matches!(error, ReviewError::TimedOut(waited) if *waited < STALE_PATIENCE)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Decision {
    Allowed,
    Denied { reason: Arc<str> },
}

impl From<SubjectAccessReviewStatus> for Decision {
    fn from(status: SubjectAccessReviewStatus) -> Self {
        if status.allowed && status.denied != Some(true) {
            return Self::Allowed;
        }
        let reason = status.reason.unwrap_or_default();
        Self::Denied { reason: reason.chars().take(MAX_REASON_CHARS).collect::<String>().into() }
    }
}

/// The cache TTL of each kind of decision.
struct Ttls {
    allowed: Duration,
    denied: Duration,
}

impl Expiry<Key, Decision> for Ttls {
    fn expire_after_create(&self, _: &Key, decision: &Decision, _: Instant) -> Option<Duration> {
        Some(match decision {
            Decision::Allowed => self.allowed,
            Decision::Denied { .. } => self.denied,
        })
    }

    fn expire_after_update(
        &self,
        key: &Key,
        decision: &Decision,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(key, decision, now)
    }
}

fn spec(user: &UserInfo, wanted: &Attributes) -> SubjectAccessReviewSpec {
    let mut spec = SubjectAccessReviewSpec {
        user: Some(user.name.clone()),
        uid: Some(user.uid.clone()),
        groups: Some(user.groups.clone()),
        extra: Some(user.extra.clone()),
        ..SubjectAccessReviewSpec::default()
    };
    match wanted.clone() {
        Attributes::Resource { verb, group, version, namespace, resource, subresource, name } => {
            spec.resource_attributes = Some(ResourceAttributes {
                verb: Some(verb),
                group: Some(group),
                version: Some(version),
                namespace,
                resource: Some(resource),
                subresource,
                name,
                ..ResourceAttributes::default()
            });
        }
        Attributes::NonResource { verb, path } => {
            spec.non_resource_attributes = Some(NonResourceAttributes { verb: Some(verb), path: Some(path) });
        }
    }
    spec
}

#[cfg(test)]
mod tests;
