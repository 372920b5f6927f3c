//! What `/metrics` tells of the reviews that the Kubernetes API is asked for.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Seconds. From an idle kube-apiserver (a millisecond or two) to the longest a review may take.
const DURATIONS: [f64; 9] = [0.002, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0];

/// Counts reviews, by kind.
#[derive(Debug, Clone, Default)]
pub struct Reviews {
    /// Whose token a request shows.
    pub(super) token: ReviewCounts,
    /// `SubjectAccessReview`s.
    pub(crate) access: ReviewCounts,
}

/// Counts the reviews of one kind.
#[derive(Debug, Clone)]
pub(crate) struct ReviewCounts {
    pub(super) success: Counter,
    pub(super) failure: Counter,
    /// Refused because unauthenticated clients cause too many reviews.
    pub(crate) refused: Counter,
    pub(super) durations: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    kind: &'static str,
    outcome: &'static str,
}

impl Default for ReviewCounts {
    fn default() -> Self {
        Self {
            success: Counter::default(),
            failure: Counter::default(),
            refused: Counter::default(),
            durations: histogram(),
        }
    }
}

fn histogram() -> Histogram {
    Histogram::new(DURATIONS)
}

impl Reviews {
    /// Registers them, with nothing counted yet.
    pub fn register(registry: &mut Registry) -> Self {
        let ended = Family::<Ended, Counter>::default();
        let took = Family::<Kind, Histogram, fn() -> Histogram>::new_with_constructor(histogram);
        let count = |kind, outcome| ended.get_or_create_owned(&Ended { kind, outcome });
        let counts = |kind| ReviewCounts {
            success: count(kind, "success"),
            failure: count(kind, "failure"),
            refused: count(kind, "refused"),
            durations: took.get_or_create_owned(&Kind { kind }),
        };
        let reviews = Self { token: counts("token"), access: counts("access") };
        let own = registry.sub_registry_with_prefix("metrics_apiserver");
        own.register("reviews", "Reviews by the Kubernetes API, by kind and outcome", ended);
        own.register("review_duration_seconds", "Duration of reviews in seconds, including retries", took);
        reviews
    }
}
