//! Why a request gets no values.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use crate::cache::ReadError;
use crate::metric::MetricName;
use crate::objects::ObjectsError;
use crate::rules::{PlanError, Situation, ValueError};

/// Why a request gets no values.
///
/// The message includes its cause and nothing that the client may not know: the HPA shows it in its conditions and
/// events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// No rule serves this metric: the client or the operator is at fault.
    #[error(
        "no rule serves the metric `{metric}`; check the name, or add a rule to the server's configuration"
    )]
    Unknown {
        /// The name as the client wrote it.
        metric: MetricName,
    },
    /// No rule serves this metric as far as is known, but the series of some rules are not discovered yet.
    #[error("no rule serves the metric `{metric}` yet: {pending}")]
    Pending {
        /// The name as the client wrote it.
        metric: MetricName,
        /// What is not known yet, and why.
        pending: Arc<str>,
    },
    /// The rule does not allow the client's selector.
    #[error("metric `{metric}`: {source}")]
    Plan {
        /// The metric.
        metric: MetricName,
        /// What is not allowed.
        source: PlanError,
    },
    /// No reading in time.
    #[error("metric `{metric}`: {source}; see the server log")]
    Read {
        /// The metric.
        metric: MetricName,
        /// What went wrong.
        source: ReadError,
    },
    /// The reading is not usable by the rule's policies.
    #[error("metric `{metric}`: {source}")]
    Value {
        /// The metric.
        metric: MetricName,
        /// Why not, and what the operator can do.
        source: ValueError,
    },
    /// The objects that the request is about are not known.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// The cluster has no such resource, so that its objects cannot be listed.
    #[error("the cluster has no resource {resource:?}, or it is not known yet")]
    UnknownResource {
        /// The resource as the client wrote it.
        resource: Arc<str>,
    },
    /// No rule serves the custom metric, no objects are selected, they have no value, or the rule makes no query. The
    /// sentence is prometheus-adapter's own.
    #[error("the server could not find the metric {metric} for {of}{}", after(pending.as_deref()))]
    NotFound {
        /// The metric.
        metric: MetricName,
        /// The resource as the client wrote it, and the object's name if the client gave one.
        of: String,
        /// Why the metric may exist nevertheless.
        pending: Option<Arc<str>>,
        /// Why the rule makes no query.
        source: Option<PlanError>,
    },
    /// A read of a custom metric failed. The sentences are prometheus-adapter's own.
    #[error("{}: {error}", sentence(error))]
    Custom {
        /// Why.
        error: Box<Self>,
    },
    /// The configuration has no `resourceRules`.
    #[error(
        "the metrics of pods and nodes are not configured; add resourceRules to the server's configuration"
    )]
    NoResourceRules,
    /// There is no such object, or it has no usage. The sentence is Kubernetes' own.
    #[error("{resource} {name:?} not found")]
    NoObject {
        /// The resource, with its group unless it is the core group.
        resource: &'static str,
        /// The object, with its namespace if Kubernetes writes it.
        name: String,
    },
    /// One of the above, and the last good reading is too old to be held.
    #[error("{error}; hold expired: no valid sample in the last {}", spoken(*longest))]
    HoldOver {
        /// What is wrong now.
        error: Box<Self>,
        /// The greatest age of a held reading.
        longest: Duration,
    },
}

impl AnswerError {
    /// The error as a read of a custom metric reports it.
    pub(super) fn of_custom(self) -> Self {
        if matches!(self, Self::NotFound { .. }) { self } else { Self::Custom { error: Box::new(self) } }
    }

    /// Whether the only problem is that there are no samples.
    pub(super) fn is_no_data(&self) -> bool {
        match self {
            Self::Value { source, .. } => *source == ValueError::NoData,
            Self::HoldOver { error, .. } => error.is_no_data(),
            _ => false,
        }
    }
}

fn after(pending: Option<&str>) -> String {
    pending.map_or_else(String::new, |pending| format!(": {pending}"))
}

fn sentence(error: &AnswerError) -> &'static str {
    match error {
        AnswerError::Objects(_) | AnswerError::UnknownResource { .. } => "unable to list matching resources",
        _ => "unable to fetch metrics",
    }
}

/// Why a group of samples has no measured values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// There is no reading.
    #[error(transparent)]
    Read(ReadError),
    /// The reading is not usable by the rule's policies.
    #[error(transparent)]
    Value(ValueError),
}

impl Cause {
    /// The situation it is; none if no fallback applies.
    pub const fn situation(&self) -> Option<Situation> {
        match self {
            Self::Read(_) => Some(Situation::Failure),
            Self::Value(error) => error.situation(),
        }
    }

    /// The error that a client gets.
    pub(super) fn into_error(self, metric: &MetricName) -> AnswerError {
        let metric = metric.clone();
        match self {
            Self::Read(source) => AnswerError::Read { metric, source },
            Self::Value(source) => AnswerError::Value { metric, source },
        }
    }
}

/// A duration as in `1m 10s`, in whole milliseconds.
fn spoken(duration: Duration) -> String {
    let millis = Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    SignedDuration::try_from(millis)
        .map_or_else(|_| format!("{duration:?}"), |duration| format!("{duration:#}"))
}
