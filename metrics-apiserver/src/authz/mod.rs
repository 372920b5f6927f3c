//! May they. The group of cluster administrators, the paths open to everybody, and for all else the
//! Kubernetes API's own answer (`SubjectAccessReview`). Without an answer: no.
//!
//! Answers are remembered for some seconds. Where the same is asked on a beat, as an HPA's reads do, the review is made anew
//! shortly before ([`Authorizer::review_ahead`]), so that a read does not wait for it; no answer counts for longer by that.

mod ahead;
mod attributes;
mod key;
mod paths;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
    SubjectAccessReviewStatus,
};
use kube::{Api, Client};
use moka::Expiry;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use tokio::time::{Instant, MissedTickBehavior};

use crate::authn::review::{self, ReviewError};
use crate::authn::{ReviewCounts, Reviews, UnauthenticatedReviewLimiter, UserInfo};

use ahead::{Expected, Query};
use key::Key;

pub use ahead::Grant;
pub use attributes::{Attributes, attributes_of};
pub use paths::{InvalidPath, OpenPaths};

/// Who is in this group may do everything, without asking: kube-apiserver decides so too.
const MASTERS: &str = "system:masters";
/// Decisions remembered, as in every aggregated API server. A decision takes about 200 bytes.
const MAX_DECISIONS: u64 = 8192;
/// Between two looks for reviews that are due: a fraction of the time they are made ahead.
const TICK: Duration = Duration::from_millis(100);
/// Reviews ahead of requests at one time: HPAs created together are no reason to burst into kube-apiserver.
const REVIEWS_AHEAD_MAX: usize = 8;
/// Length of a query in bytes, the user's part apart, above which the decision is not remembered: nobody
/// shall push the others' decisions out with queries that will not come again.
const MAX_REMEMBERED_LEN: usize = 10_000;
/// Characters of a denial's reason that are kept; it is shown to the user.
const MAX_REASON_CHARS: usize = 1_000;

/// Why a request is not allowed.
#[derive(Debug, thiserror::Error)]
pub enum AuthzError {
    /// The user has no right to it: a 403.
    #[error("not allowed")]
    Denied {
        /// The authorizer's reason, for the user; may be empty.
        reason: String,
    },
    /// The user is nobody known, and too many queries about such are being reviewed, or were lately: a 429.
    #[error("too many requests of anonymous users, please try again later")]
    TooManyReviews,
    /// The Kubernetes API did not decide. The request is refused all the same: a 500.
    #[error("the user's rights could not be reviewed")]
    ReviewFailed {
        /// Why not. For the log.
        #[source]
        source: Arc<ReviewError>,
    },
}

/// What the authorizer is told by flags.
#[derive(Debug, Clone)]
pub struct AuthorizerOptions {
    /// `--authorization-always-allow-paths`.
    pub open_paths: OpenPaths,
    /// `--authorization-webhook-cache-authorized-ttl`: how long a yes is remembered.
    pub allowed_lifetime: Duration,
    /// `--authorization-webhook-cache-unauthorized-ttl`: how long a no is remembered.
    pub denied_lifetime: Duration,
}

impl Default for AuthorizerOptions {
    fn default() -> Self {
        Self {
            open_paths: OpenPaths::default(),
            allowed_lifetime: Duration::from_secs(10),
            denied_lifetime: Duration::from_secs(10),
        }
    }
}

/// Decides whether a user may do what a request wants.
#[derive(Debug)]
pub struct Authorizer {
    api: Api<SubjectAccessReview>,
    open_paths: OpenPaths,
    decisions: Cache<Key, Decision>,
    allowed_lifetime: Duration,
    expected: Expected,
    /// For the reviews about users who are nobody known.
    unauthenticated: UnauthenticatedReviewLimiter,
    asked: ReviewCounts,
    asked_ahead: ReviewCounts,
}

impl Authorizer {
    /// An authorizer that asks the Kubernetes API behind `client`.
    pub fn new(client: Client, options: AuthorizerOptions, reviews: &Reviews) -> Self {
        let decisions = Cache::builder()
            .max_capacity(MAX_DECISIONS)
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(Lifetimes { allowed: options.allowed_lifetime, denied: options.denied_lifetime })
            .build();
        Self {
            api: Api::all(client),
            open_paths: options.open_paths,
            decisions,
            allowed_lifetime: options.allowed_lifetime,
            expected: Expected::default(),
            unauthenticated: UnauthenticatedReviewLimiter::new(),
            asked: reviews.access.clone(),
            asked_ahead: reviews.access_ahead.clone(),
        }
    }

    /// `Ok` if `user` may do what `wanted` says.
    pub async fn authorize<'a>(
        &self,
        user: &'a UserInfo,
        wanted: &'a Attributes,
    ) -> Result<Grant<'a>, AuthzError> {
        if user.groups.iter().any(|group| group == MASTERS) || self.is_open(wanted) {
            return Ok(Grant::unasked());
        }
        let (decision, grant) = if wanted.len() <= MAX_REMEMBERED_LEN {
            let (key, bytes) = key::of(user, wanted);
            let grant = Grant::reviewed(Query { key, user, wanted, at: Instant::now() }, bytes);
            (self.remembered(key, user, wanted).await, grant)
        } else {
            (self.ask_about(user, wanted).await.map_err(Arc::new), Grant::unasked())
        };
        match decision {
            Ok(Decision::Allowed) => Ok(grant),
            Ok(Decision::Denied { reason }) => Err(AuthzError::Denied { reason: reason.to_string() }),
            Err(source) if matches!(*source, ReviewError::RateLimited) => {
                self.asked.refused.inc();
                Err(AuthzError::TooManyReviews)
            }
            Err(source) => Err(AuthzError::ReviewFailed { source }),
        }
    }

    /// Takes note that a request came to something: the same may be asked on a beat.
    pub fn used(&self, grant: &Grant<'_>) {
        if let Some(query) = grant.query() {
            self.expected.used(query, self.allowed_lifetime);
        }
    }

    /// The decision of the last seconds, or a new one.
    async fn remembered(
        &self,
        key: Key,
        user: &UserInfo,
        wanted: &Attributes,
    ) -> Result<Decision, Arc<ReviewError>> {
        if let Some(decision) = self.decisions.get(&key).await {
            return Ok(decision);
        }
        // The same query at the same time is asked once.
        self.decisions.try_get_with(key, self.ask_about(user, wanted)).await
    }

    /// Reviews anew, shortly before it is asked again, what is asked on a beat; never ends.
    pub async fn review_ahead(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.review_due(Instant::now()).await;
        }
    }

    async fn review_due(&self, now: Instant) {
        let reviews = self.expected.due(now).into_iter().map(async |(key, query)| {
            match self.ask(&query, &self.asked_ahead).await {
                Ok(decision) => self.decisions.insert(key, decision).await,
                // The request that needs it asks for itself, and tells.
                Err(error) => tracing::debug!(%error, "a review ahead of a request failed"),
            }
        });
        stream::iter(reviews).buffer_unordered(REVIEWS_AHEAD_MAX).collect::<()>().await;
    }

    fn is_open(&self, wanted: &Attributes) -> bool {
        match wanted {
            Attributes::NonResource { path, .. } => self.open_paths.contains(path),
            Attributes::Resource { .. } => false,
        }
    }

    /// Asks because a request waits for it.
    async fn ask_about(&self, user: &UserInfo, wanted: &Attributes) -> Result<Decision, ReviewError> {
        let _permit = if user.is_anonymous() { Some(self.unauthenticated.permit()?) } else { None };
        self.ask(&spec(user, wanted), &self.asked).await
    }

    async fn ask(
        &self,
        query: &SubjectAccessReviewSpec,
        counts: &ReviewCounts,
    ) -> Result<Decision, ReviewError> {
        let query = SubjectAccessReview { spec: query.clone(), ..SubjectAccessReview::default() };
        let answer = review::create(&self.api, &query, counts).await?;
        answer.status.map(Decision::from).ok_or(ReviewError::NoStatus)
    }
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

/// How long each kind of decision is remembered.
struct Lifetimes {
    allowed: Duration,
    denied: Duration,
}

impl Lifetimes {
    fn of(&self, decision: &Decision) -> Duration {
        match decision {
            Decision::Allowed => self.allowed,
            Decision::Denied { .. } => self.denied,
        }
    }
}

impl Expiry<Key, Decision> for Lifetimes {
    fn expire_after_create(&self, _: &Key, decision: &Decision, _: std::time::Instant) -> Option<Duration> {
        Some(self.of(decision))
    }

    fn expire_after_update(
        &self,
        _: &Key,
        decision: &Decision,
        _: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(self.of(decision))
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
