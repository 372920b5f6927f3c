//! Why a request gets no values.

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
    /// The objects that the request is about are not known.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// One of the above, and the last good reading is too old to be held.
    #[error("{error}; hold expired: no valid sample in the last {}", spoken(*longest))]
    HoldOver {
        /// What is wrong now.
        error: Box<Self>,
        /// The greatest age of a held reading.
        longest: Duration,
    },
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
