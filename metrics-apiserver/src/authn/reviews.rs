//! Metrics of reviews.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Buckets in seconds, from an idle kube-apiserver (one or two milliseconds) to the deadline of a review.
const DURATIONS: [f64; 9] = [0.002, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0];

/// The metrics of both kinds of reviews.
#[derive(Debug, Clone)]
pub struct Reviews {
    /// `TokenReview`s.
    pub(super) token: ReviewCounts,
    /// `SubjectAccessReview`s.
    pub(crate) access: ReviewCounts,
    /// Requests that were allowed by an expired decision because there was no review.
    pub(crate) stale: Counter,
}

/// The metrics of one kind of reviews.
#[derive(Debug, Clone)]
pub(crate) struct ReviewCounts {
    pub(super) success: Counter,
    pub(super) failure: Counter,
    /// Reviews that the Kubernetes API answered with 429, and those that were not sent because of that.
    pub(super) throttled: Counter,
    /// Requests refused because too many reviews are in flight.
    pub(super) refused: Counter,
    /// Reviews that were sent, and that no request waited for any more when they ended.
    pub(super) abandoned: Counter,
    pub(super) durations: Histogram,
}

/// A label: its name and its value.
type Label = (&'static str, &'static str);

impl Reviews {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let ended = Family::<[Label; 2], Counter>::default();
        let durations = Family::<[Label; 1], Histogram, fn() -> Histogram>::new_with_constructor(|| {
            Histogram::new(DURATIONS)
        });
        let abandoned = Family::<[Label; 1], Counter>::default();
        let count = |kind, outcome| ended.get_or_create_owned(&[("kind", kind), ("outcome", outcome)]);
        let counts = |kind| ReviewCounts {
            success: count(kind, "success"),
            failure: count(kind, "failure"),
            throttled: count(kind, "throttled"),
            refused: count(kind, "refused"),
            abandoned: abandoned.get_or_create_owned(&[("kind", kind)]),
            durations: durations.get_or_create_owned(&[("kind", kind)]),
        };
        let reviews = Self { token: counts("token"), access: counts("access"), stale: Counter::default() };
        let own = registry.sub_registry_with_prefix("metrics_apiserver");
        own.register(
            "reviews",
            "Reviews by the Kubernetes API, by kind and outcome; refused reviews are not sent",
            ended,
        );
        own.register(
            "reviews_abandoned",
            "Reviews that were answered after the deadline of every request that waited for them, by kind",
            abandoned,
        );
        own.register(
            "authorization_stale_decisions",
            "Requests allowed by an expired decision, because the Kubernetes API did not answer the review",
            reviews.stale.clone(),
        );
        own.register(
            "review_duration_seconds",
            "Duration of reviews in seconds, including retries",
            durations,
        );
        reviews
    }
}

#[cfg(test)]
impl Default for Reviews {
    fn default() -> Self {
        Self::register(&mut Registry::default())
    }
}
