//! One read by one rule: memory's reading, what the policies make of it, and what stands in for values that are not there.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::AnswerError;
use crate::cache::{Cache, Query, ReadError, Reading, Subscriber};
use crate::metric::{Labels, Value};
use crate::rules::{Fallback, Partial, Policies, Rule, ValueError};

/// Values, and how they came about.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) values: Vec<Value>,
    pub(super) source: Source,
}

/// How values came about.
#[derive(Debug)]
pub(super) enum Source {
    /// From a reading as fresh as the rule wants it, of this age.
    Measured(Duration),
    /// From the last good reading, of this age, because of an error.
    Held(Duration, AnswerError),
    /// From the rule itself, because of an error.
    Replaced(AnswerError),
}

/// Puts the query and makes values of the answer by the rule's policies.
///
/// A reading that gave values with nothing put in their place is good. What is held is the last good reading of the
/// *query*: one that was fetched ahead and that no read has used yet, or one that another rule may have called good. So it
/// is judged anew by this rule, and is not served if this rule would not have served it fresh.
pub(super) async fn read(
    cache: &Cache,
    rule: &Rule,
    query: &Query,
    subscriber: &Subscriber,
    deadline: Instant,
) -> Result<Served, AnswerError> {
    let (cause, reading) = match cache.reading(query, rule.max_age, subscriber, deadline).await {
        Ok(reading) => match measured(rule, &reading) {
            Ok(values) => {
                if rule.policies.hold() {
                    cache.keep_last_good(query, &reading);
                }
                return Ok(Served { values, source: Source::Measured(reading.asked.elapsed()) });
            }
            Err(error @ ValueError::Partial { .. }) => (Cause::Value(error), None),
            Err(error) => (Cause::Value(error), Some(reading)),
        },
        Err(error) => (Cause::Read(error), None),
    };
    let failure = ReadFailure { cause, reading };
    match failure.values(&rule.policies) {
        Ok(values) => Ok(failure.replaced_by(values, rule)),
        Err(cause) => match cause.fallback(&rule.policies) {
            Fallback::Hold { longest, .. } => {
                let longest = rule.max_age + longest;
                let held = cache
                    .stale_candidates(query, longest)
                    .find_map(|reading| failure.held_by(&reading, rule));
                held.map_or_else(|| failure.after_hold(rule, longest), Ok)
            }
            Fallback::Error | Fallback::Value(_) => Err(cause.error(rule)),
        },
    }
}

/// The values of a reading by the rule's policies, with nothing put in their place.
fn measured(rule: &Rule, reading: &Reading) -> Result<Vec<Value>, ValueError> {
    match &reading.partial {
        Some(warning) if rule.policies.on_partial == Partial::Error => {
            Err(ValueError::Partial { warning: Arc::clone(warning) })
        }
        _ => rule.policies.measured(&reading.samples),
    }
}

/// Why there are no values.
#[derive(Debug, Clone)]
enum Cause {
    Read(ReadError),
    Value(ValueError),
}

impl Cause {
    fn fallback(&self, policies: &Policies) -> Fallback {
        match self {
            Self::Read(_) => policies.on_failure,
            Self::Value(error) => policies.fallback(error),
        }
    }

    fn error(self, rule: &Rule) -> AnswerError {
        let metric = rule.name.clone();
        match self {
            Self::Read(source) => AnswerError::Read { metric, source },
            Self::Value(source) => AnswerError::Value { metric, source },
        }
    }
}

/// Why there are no values, and the samples behind it, if there are any that count.
struct ReadFailure {
    cause: Cause,
    reading: Option<Arc<Reading>>,
}

impl ReadFailure {
    /// What these policies put in place.
    fn values(&self, policies: &Policies) -> Result<Vec<Value>, Cause> {
        let now = Timestamp::now();
        match (&self.reading, policies.on_failure) {
            (Some(reading), _) => policies.values(&reading.samples, now).map_err(Cause::Value),
            (None, Fallback::Value(quantity)) => {
                Ok(vec![Value { quantity, labels: Labels::new(), timestamp: now }])
            }
            (None, Fallback::Error | Fallback::Hold { .. }) => Err(self.cause.clone()),
        }
    }

    fn replaced_by(&self, values: Vec<Value>, rule: &Rule) -> Served {
        Served { values, source: Source::Replaced(self.cause.clone().error(rule)) }
    }

    fn held_by(&self, good: &Reading, rule: &Rule) -> Option<Served> {
        let values = measured(rule, good).ok()?;
        let source = Source::Held(good.asked.elapsed(), self.cause.clone().error(rule));
        Some(Served { values, source })
    }

    /// What is left when nothing of the last `longest` can be held.
    fn after_hold(&self, rule: &Rule, longest: Duration) -> Result<Served, AnswerError> {
        match self.values(&rule.policies.after_hold()) {
            Ok(values) => Ok(self.replaced_by(values, rule)),
            Err(cause) => Err(AnswerError::HoldOver { error: Box::new(cause.error(rule)), longest }),
        }
    }
}
