//! How a read ended, in one word: the label `outcome` of the metrics.

use super::AnswerError;
use super::read::{Served, Source};
use crate::cache::{QueryError, ReadError};
use crate::rules::ValueError;

/// How a read ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A fresh value.
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
    /// Several series where one is wanted.
    SeveralSeries,
    /// Below zero.
    Negative,
    /// The backend called its answer partial.
    Partial,
    /// The backend was not reached, or said that it cannot work.
    Unavailable,
    /// The backend was not asked because it failed too often.
    BreakerOpen,
    /// The read's deadline or the backend's timeout passed.
    Timeout,
    /// The backend refused the query.
    Refused,
    /// The backend's answer could not be read, or was too large.
    Unreadable,
    /// Too many queries were in flight.
    Busy,
    /// The rule does not allow what the selector asks for.
    BadRequest,
    /// No rule serves the metric.
    Unknown,
}

impl Outcome {
    /// Every one, at the place of its number.
    pub(super) const ALL: [Self; 17] = [
        Self::Ok,
        Self::Held,
        Self::Fallback,
        Self::NoData,
        Self::Nan,
        Self::Infinite,
        Self::SeveralSeries,
        Self::Negative,
        Self::Partial,
        Self::Unavailable,
        Self::BreakerOpen,
        Self::Timeout,
        Self::Refused,
        Self::Unreadable,
        Self::Busy,
        Self::BadRequest,
        Self::Unknown,
    ];

    /// How the read ended that gave this.
    pub(super) fn of(read: &Result<Served, AnswerError>) -> Self {
        match read {
            Ok(served) => match served.source {
                Source::Measured(_) => Self::Ok,
                Source::Held(..) => Self::Held,
                Source::Replaced(_) => Self::Fallback,
            },
            Err(error) => Self::of_error(error),
        }
    }

    fn of_error(error: &AnswerError) -> Self {
        match error {
            AnswerError::Unknown { .. } => Self::Unknown,
            AnswerError::Plan { .. } => Self::BadRequest,
            AnswerError::HoldOver { error, .. } => Self::of_error(error),
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

    /// The label's value.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Held => "held",
            Self::Fallback => "fallback",
            Self::NoData => "no_data",
            Self::Nan => "nan",
            Self::Infinite => "infinite",
            Self::SeveralSeries => "several_series",
            Self::Negative => "negative",
            Self::Partial => "partial",
            Self::Unavailable => "unavailable",
            Self::BreakerOpen => "breaker_open",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Unreadable => "unreadable",
            Self::Busy => "busy",
            Self::BadRequest => "bad_request",
            Self::Unknown => "unknown",
        }
    }
}
