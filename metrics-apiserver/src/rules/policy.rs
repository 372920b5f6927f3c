//! What to answer when Prometheus has no usable number.

use jiff::Timestamp;

use crate::metric::{Labels, Quantity, QuantityError, Sample, Value};

/// The label that holds a series' metric name; an answer names its metric itself.
const NAME_LABEL: &str = "__name__";

/// What to answer in place of a number that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fallback {
    /// A clear error; the HPA keeps its size.
    #[default]
    Error,
    /// This value.
    Value(Quantity),
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
    /// Prometheus failed or was too slow.
    pub on_failure: Fallback,
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
}

impl Policies {
    /// The values that these samples stand for.
    ///
    /// A sample that is no number fails the whole answer, or is replaced where it stands. `now` is the timestamp of a
    /// value that no sample stands behind.
    pub fn values(&self, samples: &[Sample], now: Timestamp) -> Result<Vec<Value>, ValueError> {
        let Some(first) = samples.first() else {
            let quantity = self.instead(self.on_no_data, ValueError::NoData)?;
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
        let quantity = self.quantity(combined)?;
        Ok(vec![Value { quantity, labels: Labels::new(), timestamp: first.timestamp }])
    }

    fn items(&self, samples: &[Sample], now: Timestamp) -> Result<Vec<Value>, ValueError> {
        let values = samples.iter().map(|sample| {
            let mut labels = sample.labels.clone();
            labels.remove(NAME_LABEL);
            Ok(Value { quantity: self.quantity(sample.value)?, labels, timestamp: sample.timestamp })
        });
        let values: Vec<Value> = values.collect::<Result<_, ValueError>>()?;
        // The HPA adds the items up, so their sum must be a quantity as well.
        let total = values.iter().try_fold(Quantity::default(), |sum, value| sum.checked_add(value.quantity));
        if total.is_some() {
            return Ok(values);
        }
        let quantity = self.instead(self.on_infinite, ValueError::TooLarge)?;
        Ok(vec![Value { quantity, labels: Labels::new(), timestamp: now }])
    }

    fn quantity(&self, value: f64) -> Result<Quantity, ValueError> {
        match Quantity::from_f64(value) {
            Ok(quantity) => self.unless_negative(quantity),
            Err(QuantityError::NotANumber) => self.instead(self.on_nan, ValueError::NotANumber),
            Err(QuantityError::Infinite) => {
                let sign = if value < 0.0 { "-Inf" } else { "+Inf" };
                self.instead(self.on_infinite, ValueError::Infinite(sign))
            }
            Err(QuantityError::OutOfRange) => self.instead(self.on_infinite, ValueError::TooLarge),
        }
    }

    fn instead(&self, fallback: Fallback, error: ValueError) -> Result<Quantity, ValueError> {
        match fallback {
            Fallback::Error => Err(error),
            Fallback::Value(quantity) => self.unless_negative(quantity),
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
