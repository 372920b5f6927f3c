//! How an answer came about: rule, plan, readings, and what the policies did.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::error::{AnswerError, Cause, spoken};
use crate::cache::Reading;
use crate::metric::{MetricName, ObjectRef, Quantity, Value};
use crate::rules::{Combine, Plan, Rule, Situation};

/// The values that one request gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The metric's name as the operator wrote it.
    pub metric: MetricName,
    /// One or more.
    pub values: Vec<Value>,
}

/// One request's answer, and how it came about. The same code makes the answer and the explanation.
#[derive(Debug)]
pub struct Explanation {
    /// The metric's name as the operator wrote it; as the client wrote it if no rule serves it.
    pub metric: MetricName,
    /// The rule that serves the metric, if any does.
    pub rule: Option<Arc<Rule>>,
    /// The queries that the rule made, unless it refused the request.
    pub plan: Option<Plan>,
    /// What the cache returned.
    pub readings: Vec<UsedReading>,
    /// The answer of each group of samples, or why no query was made.
    pub groups: Result<Vec<GroupAnswer>, AnswerError>,
}

/// A reading that an answer is made of.
#[derive(Debug)]
pub struct UsedReading {
    /// Its query, as an index into the plan.
    pub query: usize,
    /// The samples.
    pub reading: Arc<Reading>,
    /// Its age when the policies were applied.
    pub age: Duration,
}

/// The answer of one group of samples.
#[derive(Debug)]
pub struct GroupAnswer {
    /// The query that returned them, as an index into the plan.
    pub query: usize,
    /// The object that the samples describe; none if the request is not about objects.
    pub object: Option<ObjectRef>,
    /// What happened, in order.
    pub steps: Vec<Step>,
    /// The values, or why there are none.
    pub values: Result<Vec<Value>, AnswerError>,
}

/// One thing that happened on the way from a reading to values.
#[derive(Debug)]
pub enum Step {
    /// The samples were measured: the reading is not older than the rule's `maxAge`.
    Measured {
        /// The age of the reading.
        age: Duration,
    },
    /// Several series became one value, or items.
    Combined {
        /// How many.
        series: usize,
        /// How.
        result: Combine,
    },
    /// The samples of the last good reading were used instead.
    Held {
        /// That reading.
        reading: Arc<Reading>,
        /// Its age.
        age: Duration,
        /// The greatest age at which it is held.
        longest: Duration,
        /// Why nothing was measured.
        cause: Cause,
    },
    /// No good reading is young enough to be held.
    HoldExpired {
        /// The greatest age at which one is held.
        longest: Duration,
    },
    /// The rule's own value was used instead.
    Replaced {
        /// The situation whose fallback it is.
        situation: Situation,
        /// That value.
        value: Quantity,
        /// Why nothing was measured.
        cause: Cause,
    },
}

impl Explanation {
    /// Of a metric that no rule serves.
    pub(super) fn unknown(metric: MetricName) -> Self {
        let groups = Err(AnswerError::Unknown { metric: metric.clone() });
        Self { metric, rule: None, plan: None, readings: Vec::new(), groups }
    }

    /// The values of all groups, or the first error.
    pub fn into_answer(self) -> Result<Answer, AnswerError> {
        let mut all = Vec::new();
        for group in self.groups? {
            let values = group.values?;
            if all.is_empty() {
                all = values;
            } else {
                all.extend(values);
            }
        }
        Ok(Answer { metric: self.metric, values: all })
    }
}

impl Step {
    /// The age of the samples that were used.
    pub(super) fn age(&self) -> Option<Duration> {
        match self {
            Self::Measured { age } | Self::Held { age, .. } => Some(*age),
            Self::Combined { .. } | Self::HoldExpired { .. } | Self::Replaced { .. } => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Measured { age } => write!(f, "measured {} ago", spoken(*age)),
            Self::Combined { series, result: Combine::Items | Combine::Single } => {
                write!(f, "{series} series, each an item")
            }
            Self::Combined { series, result } => write!(f, "{series} series combined by {}", result.as_str()),
            Self::Held { age, longest, cause, .. } => {
                let (age, longest) = (spoken(*age), spoken(*longest));
                write!(f, "held the reading of {age} ago (for up to {longest}): {cause}")
            }
            Self::HoldExpired { longest } => {
                write!(f, "hold expired: no valid sample in the last {}", spoken(*longest))
            }
            Self::Replaced { situation, value, cause } => {
                write!(f, "replaced by {value} ({}): {cause}", situation.key())
            }
        }
    }
}
