//! Reads what a plan asks for, and applies the rule's policies to each group of samples.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::error::{AnswerError, Cause};
use super::explanation::{GroupAnswer, Step, UsedReading};
use crate::cache::{Cache, Query, Reading, Subscriber};
use crate::metric::{Labels, Sample, Value};
use crate::rules::{Fallback, Group, Partial, Pick, Plan, Policies, Rule, Settled, Situation, ValueError};

/// One read by one rule.
pub(super) struct Read<'a> {
    pub(super) cache: &'a Cache,
    pub(super) rule: &'a Rule,
    pub(super) subscriber: &'a Subscriber,
    pub(super) deadline: Instant,
}

impl Read<'_> {
    /// The answer of each group of each query's samples; the readings go into `readings`.
    ///
    /// A reading is good if all its groups were measured. What is held is the last good reading of the *query*: one
    /// that was prefetched and not read yet, or one that another rule found good. So this rule judges it anew, and
    /// does not hold it if it would not have served it fresh.
    pub(super) async fn answers(&self, plan: &Plan, readings: &mut Vec<UsedReading>) -> Vec<GroupAnswer> {
        let mut answers = Vec::with_capacity(plan.queries.len());
        for (index, query) in plan.queries.iter().enumerate() {
            let read = self.cache.reading(query, self.rule.max_age, self.subscriber, self.deadline).await;
            let (reading, age) = match read {
                Ok(reading) => {
                    let age = reading.asked.elapsed();
                    readings.push(UsedReading { query: index, reading: Arc::clone(&reading), age });
                    let refused = refused(self.rule, &reading).map(Cause::Value);
                    (refused.map_or(Ok(reading), Err), age)
                }
                Err(error) => (Err(Cause::Read(error)), Duration::ZERO),
            };
            let one = QueryRead { read: self, index, query, pick: &plan.pick, reading, age };
            let first = answers.len();
            answers.extend(one.groups());
            let is_measured =
                |answer: &GroupAnswer| matches!(answer.steps.first(), Some(Step::Measured { .. }));
            if self.rule.policies.hold()
                && let Ok(reading) = &one.reading
                && answers[first..].iter().all(is_measured)
            {
                self.cache.keep_last_good(query, reading);
            }
        }
        answers
    }
}

/// One query of a read: its reading, and what the policies make of it.
struct QueryRead<'a> {
    read: &'a Read<'a>,
    /// Its index in the plan.
    index: usize,
    query: &'a Query,
    pick: &'a Pick,
    /// The reading, or why there is none that the rule accepts.
    reading: Result<Arc<Reading>, Cause>,
    /// The age of the reading.
    age: Duration,
}

impl QueryRead<'_> {
    fn groups(&self) -> impl Iterator<Item = GroupAnswer> {
        let samples = self.reading.as_ref().map_or(&[][..], |reading| &reading.samples);
        self.pick.groups(samples).into_iter().map(|group| {
            let mut steps = Vec::with_capacity(1);
            let values = self.values(&group, &mut steps);
            GroupAnswer { query: self.index, object: group.object.cloned(), steps, values }
        })
    }

    fn values(&self, group: &Group<'_>, steps: &mut Vec<Step>) -> Result<Vec<Value>, AnswerError> {
        let policies = &self.read.rule.policies;
        let measured = match &self.reading {
            Ok(_) => policies.measured(&group.samples).map_err(Cause::Value),
            Err(cause) => Err(cause.clone()),
        };
        let cause = match measured {
            Ok(values) => {
                steps.push(Step::Measured { age: self.age });
                steps.extend(self.combined(&group.samples));
                return Ok(values);
            }
            Err(cause) => cause,
        };
        match self.settled(policies, group, steps) {
            Ok(values) => Ok(values),
            Err(unsettled) => match unsettled.situation().map(|situation| policies.on(situation)) {
                Some(Fallback::Hold { longest, .. }) => {
                    self.held(group, cause, self.read.rule.max_age + longest, steps)
                }
                Some(Fallback::Error | Fallback::Value(_)) | None => {
                    Err(unsettled.into_error(&self.read.rule.name))
                }
            },
        }
    }

    /// The values by these policies, the rule's own among them.
    fn settled(
        &self,
        policies: &Policies,
        group: &Group<'_>,
        steps: &mut Vec<Step>,
    ) -> Result<Vec<Value>, Cause> {
        let now = Timestamp::now();
        let cause = match &self.reading {
            Ok(_) => {
                let Settled { values, replaced } =
                    policies.settle(&group.samples, now).map_err(Cause::Value)?;
                steps.extend(self.combined(&group.samples));
                steps.extend(
                    replaced.into_iter().filter_map(|error| replacement(policies, Cause::Value(error))),
                );
                return Ok(values);
            }
            Err(cause) => cause.clone(),
        };
        let Fallback::Value(quantity) = policies.on(Situation::Failure) else { return Err(cause) };
        steps.extend(replacement(policies, cause));
        Ok(vec![Value { quantity, labels: Labels::new(), timestamp: now }])
    }

    /// The values of the last good reading of the last `longest`; without one, what the policies say then.
    fn held(
        &self,
        group: &Group<'_>,
        cause: Cause,
        longest: Duration,
        steps: &mut Vec<Step>,
    ) -> Result<Vec<Value>, AnswerError> {
        for reading in self.read.cache.stale_candidates(self.query, longest) {
            let samples = self.pick.group(group.object, &reading.samples);
            if refused(self.read.rule, &reading).is_none()
                && let Ok(values) = self.read.rule.policies.measured(&samples)
            {
                let combined = self.combined(&samples);
                drop(samples);
                let age = reading.asked.elapsed();
                steps.push(Step::Held { reading, age, longest, cause });
                steps.extend(combined);
                return Ok(values);
            }
        }
        steps.push(Step::HoldExpired { longest });
        self.settled(&self.read.rule.policies.after_hold(), group, steps).map_err(|cause| {
            AnswerError::HoldOver { error: Box::new(cause.into_error(&self.read.rule.name)), longest }
        })
    }

    fn combined(&self, samples: &[Sample]) -> Option<Step> {
        let result = self.read.rule.policies.result;
        (samples.len() > 1).then_some(Step::Combined { series: samples.len(), result })
    }
}

/// Why the rule does not accept a reading as a whole.
fn refused(rule: &Rule, reading: &Reading) -> Option<ValueError> {
    match rule.policies.on_partial {
        Partial::Error => reading.partial.clone().map(|warning| ValueError::Partial { warning }),
        Partial::Accept => None,
    }
}

/// The step that says which value these policies have for the cause.
fn replacement(policies: &Policies, cause: Cause) -> Option<Step> {
    let situation = cause.situation()?;
    match policies.on(situation) {
        Fallback::Value(value) => Some(Step::Replaced { situation, value, cause }),
        Fallback::Error | Fallback::Hold { .. } => None,
    }
}
