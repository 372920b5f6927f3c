//! What to answer when Prometheus has no usable number.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::metric::{Labels, Quantity, QuantityError, Sample, Value};

/// What to answer in place of a number that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fallback {
    /// A clear error; the HPA keeps its size.
    #[default]
    Error,
    /// This value.
    Value(Quantity),
    /// The last good reading, for so long after it became older than the rule's maximal age.
    Hold {
        /// How long after.
        longest: Duration,
        /// The value from then on; none is an error.
        then: Option<Quantity>,
    },
}

/// What becomes of an answer that the backend itself calls partial: its numbers may be too small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Partial {
    /// As if the backend had failed.
    #[default]
    Error,
    /// As if it were whole.
    Accept,
}

/// How several series become an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Combine {
    /// Exactly one series, or an error: the HPA would add them up.
    #[default]
    Single,
    /// Every series as an item of its own.
    Items,
    /// Their sum.
    Sum,
    /// Their arithmetic mean.
    Avg,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

/// The policies of one rule (design §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policies {
    /// Several series.
    pub result: Combine,
    /// No series.
    pub on_no_data: Fallback,
    /// NaN.
    pub on_nan: Fallback,
    /// Infinite, or too large for a quantity.
    pub on_infinite: Fallback,
    /// Prometheus failed or was too slow, or its answer is partial and that is an error.
    pub on_failure: Fallback,
    /// An answer that is partial.
    pub on_partial: Partial,
    /// Whether a negative value is passed on.
    pub allow_negative: bool,
}

/// Why samples do not become values; says what the operator can do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// No series.
    #[error(
        "prometheus has no data for this query; check that the targets are scraped and that namespace and selector \
         match their labels, or set onNoData"
    )]
    NoData,
    /// Several series where one is wanted.
    #[error(
        "the query returned {count} series and the HPA would add them up; aggregate them in the query with sum() or \
         max(), or set result to say how they become one answer"
    )]
    SeveralSeries {
        /// How many.
        count: usize,
    },
    /// NaN, often 0/0.
    #[error("the query returned NaN, which is what 0/0 gives; guard the divisor with \"> 0\", or set onNaN")]
    NotANumber,
    /// Infinite, often a division by zero.
    #[error("the query returned {0}; guard the divisor with \"> 0\", or set onInfinite")]
    Infinite(&'static str),
    /// More than a quantity holds.
    #[error("the query's result is too large for a quantity; check its unit, or set onInfinite")]
    TooLarge,
    /// Below zero, which an HPA can take for infinity.
    #[error(
        "the value is {0}, and an HPA can take a negative value for an endless one; use clamp_min(…, 0) in the query, \
         or set allowNegative"
    )]
    Negative(Quantity),
    /// The backend says that its answer is not whole.
    #[error(
        "prometheus says that its answer is partial, so the value may be too small; repair what its warning in the \
         server's log names, or set onPartial to accept it"
    )]
    Partial {
        /// In which words; for the log, never for the client, for they may name hosts.
        warning: Arc<str>,
    },
}

impl Fallback {
    /// What is left of it once its hold is over.
    fn after_hold(self) -> Self {
        match self {
            Self::Hold { then, .. } => then.map_or(Self::Error, Self::Value),
            Self::Error | Self::Value(_) => self,
        }
    }
}

impl Policies {
    /// Whether any of them holds the last good reading.
    pub fn hold(&self) -> bool {
        let all = [self.on_no_data, self.on_nan, self.on_infinite, self.on_failure];
        all.iter().any(|fallback| matches!(fallback, Fallback::Hold { .. }))
    }

    /// What they are once the hold is over.
    #[must_use]
    pub fn after_hold(&self) -> Self {
        self.with_fallbacks(Fallback::after_hold)
    }

    /// What stands in for values that this error says are not there.
    pub fn fallback(&self, error: &ValueError) -> Fallback {
        match error {
            ValueError::NoData => self.on_no_data,
            ValueError::NotANumber => self.on_nan,
            ValueError::Infinite(_) | ValueError::TooLarge => self.on_infinite,
            ValueError::Partial { .. } => self.on_failure,
            ValueError::SeveralSeries { .. } | ValueError::Negative(_) => Fallback::Error,
        }
    }

    /// The values that these samples stand for, with nothing put in place of any.
    pub fn measured(&self, samples: &[Sample]) -> Result<Vec<Value>, ValueError> {
        // No value is without a sample, so the time of the read does not matter.
        self.with_fallbacks(|_| Fallback::Error).values(samples, Timestamp::UNIX_EPOCH)
    }

    /// The values that these samples stand for, with the rule's own values where it has some.
    ///
    /// A sample that is no number fails the whole answer, or is replaced where it stands. `now` is the timestamp of a
    /// value that no sample stands behind. A hold is not looked into: it gives the error.
    pub fn values(&self, samples: &[Sample], now: Timestamp) -> Result<Vec<Value>, ValueError> {
        let Some(first) = samples.first() else {
            let quantity = self.instead(ValueError::NoData)?;
            return Ok(vec![Value { quantity, labels: Labels::new(), timestamp: now }]);
        };
        let combined = match self.result {
            Combine::Single if samples.len() > 1 => {
                return Err(ValueError::SeveralSeries { count: samples.len() });
            }
            Combine::Single | Combine::Items => return self.items(samples, now),
            Combine::Sum => sum(samples),
            #[expect(clippy::cast_precision_loss, reason = "an answer has far fewer than 2^53 samples")]
            Combine::Avg => sum(samples) / samples.len() as f64,
            Combine::Min => {
                samples.iter().map(|s| s.value).fold(f64::INFINITY, |a, b| propagate(a, b, f64::min))
            }
            Combine::Max => {
                samples.iter().map(|s| s.value).fold(f64::NEG_INFINITY, |a, b| propagate(a, b, f64::max))
            }
        };
        // Infinite by adding up, not by what the query returned.
        let overflowed = combined.is_infinite() && samples.iter().all(|sample| sample.value.is_finite());
        let quantity = if overflowed { self.instead(ValueError::TooLarge) } else { self.quantity(combined) }?;
        Ok(vec![Value { quantity, labels: Labels::new(), timestamp: first.timestamp }])
    }

    fn items(&self, samples: &[Sample], now: Timestamp) -> Result<Vec<Value>, ValueError> {
        let values = samples.iter().map(|sample| {
            let labels = sample.labels.clone();
            Ok(Value { quantity: self.quantity(sample.value)?, labels, timestamp: sample.timestamp })
        });
        let mut values: Vec<Value> = values.collect::<Result<_, ValueError>>()?;
        // An HPA with a target of type AverageValue adds the items up in this order, and takes a partial sum below
        // zero for an overflow, which scales to its maximum. From the largest on, only the total can be below zero.
        if values.iter().any(|value| value.quantity.is_negative()) {
            values.sort_by_key(|value| Reverse(value.quantity));
        }
        // The sum, and each partial one, must be a quantity as well.
        let total = values.iter().try_fold(Quantity::default(), |sum, value| sum.checked_add(value.quantity));
        if total.is_some() {
            return Ok(values);
        }
        let quantity = self.instead(ValueError::TooLarge)?;
        Ok(vec![Value { quantity, labels: Labels::new(), timestamp: now }])
    }

    fn quantity(&self, value: f64) -> Result<Quantity, ValueError> {
        match Quantity::from_f64(value) {
            Ok(quantity) => self.unless_negative(quantity),
            Err(QuantityError::NotANumber) => self.instead(ValueError::NotANumber),
            Err(QuantityError::Infinite) => {
                let sign = if value < 0.0 { "-Inf" } else { "+Inf" };
                self.instead(ValueError::Infinite(sign))
            }
            Err(QuantityError::OutOfRange) => self.instead(ValueError::TooLarge),
        }
    }

    fn instead(&self, error: ValueError) -> Result<Quantity, ValueError> {
        match self.fallback(&error) {
            Fallback::Error | Fallback::Hold { .. } => Err(error),
            Fallback::Value(quantity) => self.unless_negative(quantity),
        }
    }

    fn with_fallbacks(&self, change: impl Fn(Fallback) -> Fallback) -> Self {
        Self {
            on_no_data: change(self.on_no_data),
            on_nan: change(self.on_nan),
            on_infinite: change(self.on_infinite),
            on_failure: change(self.on_failure),
            ..*self
        }
    }

    fn unless_negative(&self, quantity: Quantity) -> Result<Quantity, ValueError> {
        if quantity.is_negative() && !self.allow_negative {
            Err(ValueError::Negative(quantity))
        } else {
            Ok(quantity)
        }
    }
}

fn sum(samples: &[Sample]) -> f64 {
    samples.iter().map(|sample| sample.value).sum()
}

/// `f64::min` and `f64::max` drop a NaN; here one spoils the result, as it does a sum.
fn propagate(a: f64, b: f64, choose: fn(f64, f64) -> f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { choose(a, b) }
}

#[cfg(test)]
mod tests;
