//! Reads what a plan asks for, and applies the rule's policies to each group of samples.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::time::Instant;

use super::error::{AnswerError, Cause};
use super::explanation::{GroupAnswer, Step, UsedReading};
use crate::cache::{Cache, Query, QueryError, Reading, Subscriber};
use crate::metric::{Labels, Value};
use crate::rules::{Fallback, Group, Partial, Pick, Plan, Policies, Rule, Situation, ValueError};

/// The label that has the name of a series.
const NAME_LABEL: &str = "__name__";

const SCALAR_OF_OBJECTS: &str =
    "the query returns a scalar; for a metric of objects it must return a vector with the object's label";

/// One read by one rule.
pub(super) struct Read<'a> {
    pub(super) cache: &'a Cache,
    pub(super) rule: &'a Rule,
    pub(super) subscriber: &'a Subscriber,
    pub(super) deadline: Instant,
}

impl Read<'_> {
    /// The answer of each group of each query's samples; the readings go into `readings`. The queries run at once, so
    /// that a plan of several takes no longer than its slowest one.
    ///
    /// A reading is good if its groups were measured. What is held is the last good reading of the *query*: one
    /// that was prefetched and not read yet, or one that another rule found good. So this rule judges it anew, and
    /// does not hold it if it would not have served it fresh.
    pub(super) async fn answers(&self, plan: &Plan, readings: &mut Vec<UsedReading>) -> Vec<GroupAnswer> {
        let read = |query| self.cache.reading(query, self.rule.max_age, self.subscriber, self.deadline);
        let results = join_all(plan.queries.iter().map(read)).await;
        let mut answers = Vec::with_capacity(plan.queries.len());
        for (index, (query, result)) in plan.queries.iter().zip(results).enumerate() {
            let reading = match result {
                Ok(reading) => {
                    let age = reading.asked.elapsed();
                    readings.push(UsedReading { query: index, reading: Arc::clone(&reading), age });
                    refused(self.rule, &plan.pick, &reading).map_or(Ok(reading), Err)
                }
                Err(error) => Err(Cause::Read(error)),
            };
            let one = QueryRead { read: self, query, pick: &plan.pick, reading };
            let first = answers.len();
            answers.extend(one.groups());
            if self.rule.policies.hold()
                && let Ok(reading) = &one.reading
                && is_good(&answers[first..])
            {
                self.cache.keep_last_good(query, reading);
            }
        }
        answers
    }
}

/// Whether all groups were measured. Objects without data, which may have just been created, do not spoil the others.
fn is_good(answers: &[GroupAnswer]) -> bool {
    let is_measured = |answer: &GroupAnswer| answer.steps.is_empty() && answer.values.is_ok();
    let is_empty = |answer: &GroupAnswer| {
        let has_no_data = answer.values.as_ref().is_err_and(AnswerError::is_no_data);
        answer.object.is_some() && answer.steps.is_empty() && has_no_data
    };
    answers.iter().any(is_measured) && answers.iter().all(|answer| is_measured(answer) || is_empty(answer))
}

/// One query of a read: its reading, and what the policies make of it.
struct QueryRead<'a> {
    read: &'a Read<'a>,
    query: &'a Query,
    pick: &'a Pick,
    /// The reading, or why there is none that the rule accepts.
    reading: Result<Arc<Reading>, Cause>,
}

impl QueryRead<'_> {
    fn groups(&self) -> impl Iterator<Item = GroupAnswer> {
        let samples = self.reading.as_ref().map_or(&[][..], |reading| &reading.samples);
        self.pick.groups(samples).map(|group| {
            let mut steps = Vec::new();
            let values = self.values(&group, &mut steps).map(|values| self.described(values));
            GroupAnswer { object: group.object.cloned(), steps, values }
        })
    }

    /// The values with the labels that a client gets. A native rule leaves out the name of a series, and does not tell
    /// a scalar from a series without labels.
    fn described(&self, mut values: Vec<Value>) -> Vec<Value> {
        if self.read.rule.is_native() {
            for value in &mut values {
                let labels = std::mem::take(&mut value.labels);
                if !labels.is_empty() {
                    value.labels = labels.without(NAME_LABEL);
                }
            }
        }
        values
    }

    fn values(&self, group: &Group<'_>, steps: &mut Vec<Step>) -> Result<Vec<Value>, AnswerError> {
        let Rule { name, policies, max_age, .. } = self.read.rule;
        let measured = match &self.reading {
            Ok(_) => policies.measured(&group.samples).map_err(Cause::Value),
            Err(cause) => Err(cause.clone()),
        };
        let cause = match measured {
            Ok(values) => return Ok(values),
            Err(cause) => cause,
        };
        self.settled(policies, group, steps).or_else(|unsettled| {
            match unsettled.situation().map(|situation| policies.on(situation)) {
                Some(Fallback::Hold { longest, .. }) => self.held(group, cause, *max_age + longest, steps),
                Some(Fallback::Error | Fallback::Empty | Fallback::Value(_)) | None => {
                    Err(unsettled.into_error(name))
                }
            }
        })
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
                let mut replaced = Vec::new();
                let values = policies.settle(&group.samples, now, &mut replaced).map_err(Cause::Value)?;
                steps.extend(replaced.into_iter().map(|error| Step::Replaced(Cause::Value(error))));
                return Ok(values);
            }
            Err(cause) => cause.clone(),
        };
        let Fallback::Value(quantity) = policies.on(Situation::Failure) else { return Err(cause) };
        steps.push(Step::Replaced(cause));
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
        let Rule { name, policies, .. } = self.read.rule;
        for reading in self.read.cache.stale_candidates(self.query, longest) {
            let measured = policies.measured(&self.pick.group(group.object, &reading.samples));
            if let (Ok(values), None) = (measured, refused(self.read.rule, self.pick, &reading)) {
                let age = reading.asked.elapsed();
                steps.push(Step::Held { reading, age, cause });
                return Ok(values);
            }
        }
        steps.push(Step::HoldExpired);
        let settled = self.settled(&policies.after_hold(), group, steps);
        settled.map_err(|cause| AnswerError::HoldOver { error: Box::new(cause.into_error(name)), longest })
    }
}

/// Why the rule does not accept a reading as a whole.
fn refused(rule: &Rule, pick: &Pick, reading: &Reading) -> Option<Cause> {
    let is_scalar = || reading.samples.iter().any(|sample| sample.labels.are_of_scalar());
    if matches!(pick, Pick::ByLabel { .. }) && is_scalar() {
        return Some(Cause::Read(QueryError::Unfit { what: SCALAR_OF_OBJECTS }.into()));
    }
    match rule.policies.on_partial {
        Partial::Error => {
            reading.partial.clone().map(|warning| Cause::Value(ValueError::Partial { warning }))
        }
        Partial::Accept => None,
    }
}
