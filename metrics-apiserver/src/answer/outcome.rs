//! The outcome of a read: the label `outcome` of the metrics.

use super::error::AnswerError;
use super::explanation::{Explanation, GroupAnswer, Step};
use crate::cache::{QueryError, ReadError};
use crate::rules::ValueError;

/// The outcome of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Measured values.
    Ok,
    /// The last good value.
    Held,
    /// The rule's own value.
    Fallback,
    /// No series.
    NoData,
    /// NaN.
    Nan,
    /// Infinite, or too large for a quantity.
    Infinite,
    /// Several series, where the rule allows one.
    SeveralSeries,
    /// Below zero.
    Negative,
    /// The backend returned a partial answer.
    Partial,
    /// The backend was not reachable, or not able to answer.
    Unavailable,
    /// The backend's circuit breaker is open.
    BreakerOpen,
    /// The read's deadline or the backend's timeout passed.
    Timeout,
    /// The backend refused the query.
    Refused,
    /// The backend's answer was malformed, unsuitable or too large.
    Unreadable,
    /// Too many queries were in flight.
    Busy,
    /// The cluster's objects are not known.
    Objects,
    /// The rule does not allow the selector.
    BadRequest,
    /// No rule serves the metric.
    Unknown,
}

impl Outcome {
    /// All outcomes, in the order of their discriminants, with the label's value.
    pub(super) const ALL: [(Self, &'static str); 18] = [
        (Self::Ok, "ok"),
        (Self::Held, "held"),
        (Self::Fallback, "fallback"),
        (Self::NoData, "no_data"),
        (Self::Nan, "nan"),
        (Self::Infinite, "infinite"),
        (Self::SeveralSeries, "several_series"),
        (Self::Negative, "negative"),
        (Self::Partial, "partial"),
        (Self::Unavailable, "unavailable"),
        (Self::BreakerOpen, "breaker_open"),
        (Self::Timeout, "timeout"),
        (Self::Refused, "refused"),
        (Self::Unreadable, "unreadable"),
        (Self::Busy, "busy"),
        (Self::Objects, "objects"),
        (Self::BadRequest, "bad_request"),
        (Self::Unknown, "unknown"),
    ];

    /// The outcome of a read. If its groups differ, the worst counts: an error (the last one), else a fallback, else a
    /// held value. That some objects have no data counts only if no object has any: they may have just been created.
    pub(super) fn of(explanation: &Explanation) -> Self {
        match &explanation.groups {
            Ok(groups) => {
                let has_data = |(group, outcome): &(&GroupAnswer, Self)| {
                    group.object.is_none() || *outcome != Self::NoData
                };
                let outcomes = || groups.iter().map(|group| (group, Self::of_group(group)));
                let worst = outcomes().filter(has_data).max_by_key(|(_, outcome)| outcome.severity());
                worst.or_else(|| outcomes().next()).map_or(Self::Ok, |(_, outcome)| outcome)
            }
            Err(error) => Self::of_error(error),
        }
    }

    fn of_group(group: &GroupAnswer) -> Self {
        match &group.values {
            Err(error) => Self::of_error(error),
            Ok(values) if values.is_empty() => Self::NoData,
            Ok(_) if group.steps.iter().any(|step| matches!(step, Step::Replaced(_))) => Self::Fallback,
            Ok(_) if group.steps.iter().any(|step| matches!(step, Step::Held { .. })) => Self::Held,
            Ok(_) => Self::Ok,
        }
    }

    const fn severity(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Held => 1,
            Self::Fallback => 2,
            _ => 3,
        }
    }

    pub(super) fn of_error(error: &AnswerError) -> Self {
        match error {
            AnswerError::Unknown { .. }
            | AnswerError::Pending { .. }
            | AnswerError::NoResourceRules
            | AnswerError::UnknownResource { .. } => Self::Unknown,
            AnswerError::NotFound { source: Some(_), .. } | AnswerError::Plan { .. } => Self::BadRequest,
            AnswerError::NotFound { source: None, .. } | AnswerError::NoObject { .. } => Self::NoData,
            AnswerError::Objects(_) => Self::Objects,
            AnswerError::Custom { error } | AnswerError::HoldOver { error, .. } => Self::of_error(error),
            AnswerError::Read { source, .. } => match source {
                ReadError::Busy => Self::Busy,
                ReadError::DeadlinePassed
                | ReadError::TooOld(_)
                | ReadError::Query(QueryError::TimedOut(_)) => Self::Timeout,
                ReadError::Query(QueryError::Unavailable { .. }) => Self::Unavailable,
                ReadError::Query(QueryError::BreakerOpen { .. }) => Self::BreakerOpen,
                ReadError::Query(QueryError::Refused { .. }) => Self::Refused,
                ReadError::Query(
                    QueryError::Malformed { .. } | QueryError::Unfit { .. } | QueryError::TooMuch { .. },
                ) => Self::Unreadable,
            },
            AnswerError::Value { source, .. } => match source {
                ValueError::NoData => Self::NoData,
                ValueError::NotANumber => Self::Nan,
                ValueError::Infinite(_) | ValueError::TooLarge => Self::Infinite,
                ValueError::SeveralSeries { .. } => Self::SeveralSeries,
                ValueError::Negative(_) => Self::Negative,
                ValueError::Partial { .. } => Self::Partial,
            },
        }
    }
}
