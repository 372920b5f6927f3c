//! How an answer came about: rule, plan, readings, and what the policies did.

use std::sync::Arc;
use std::time::Duration;

use super::error::{AnswerError, Cause};
use crate::cache::Reading;
use crate::metric::{MetricName, ObjectRef, Value};
use crate::rules::{Plan, Rule};

/// The values that one request gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The metric's name as the operator wrote it.
    pub metric: MetricName,
    /// The values; none only if the rule allows that.
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
    /// The object that the samples describe; none if the request is not about objects.
    pub object: Option<ObjectRef>,
    /// What the policies did, in order; nothing if the values were measured.
    pub steps: Vec<Step>,
    /// The values, or why there are none.
    pub values: Result<Vec<Value>, AnswerError>,
}

/// One thing that the policies did because no values were measured.
#[derive(Debug)]
pub enum Step {
    /// The samples of the last good reading were used instead.
    Held {
        /// That reading.
        reading: Arc<Reading>,
        /// Its age.
        age: Duration,
        /// Why nothing was measured.
        cause: Cause,
    },
    /// No good reading was young enough to be held.
    HoldExpired,
    /// The rule's own value was used instead, for this cause.
    Replaced(Cause),
}

impl Explanation {
    /// No rule serves the metric.
    pub(super) fn unknown(metric: &MetricName, error: AnswerError) -> Self {
        let (metric, readings) = (metric.clone(), Vec::new());
        Self { metric, rule: None, plan: None, readings, groups: Err(error) }
    }

    /// The values of all groups, or the first error.
    pub fn into_answer(self) -> Result<Answer, AnswerError> {
        let mut groups = self.groups?.into_iter().map(|group| group.values);
        let mut values = groups.next().unwrap_or_else(|| Ok(Vec::new()))?;
        for more in groups {
            values.extend(more?);
        }
        Ok(Answer { metric: self.metric, values })
    }
}
