//! Policies: what a rule answers, above all where a query returns no usable number.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::metric::{Labels, Quantity, QuantityError, Sample, Value};

/// Defines [`Situation`] from one row per variant, so that no list of situations can be incomplete.
macro_rules! situations {
    ($($(#[$doc:meta])* $name:ident $key:literal,)*) => {
        /// A situation without a usable number, for which a rule can have a fallback.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Situation {
            $($(#[$doc])* $name,)*
        }

        impl Situation {
            /// How many there are.
            pub const COUNT: usize = [$($key),*].len();
            /// All situations, in the order of their discriminants.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$name),*];

            /// The key of its fallback in the configuration.
            pub const fn key(self) -> &'static str {
                match self {
                    $(Self::$name => $key,)*
                }
            }
        }
    };
}

situations! {
    /// The query returned no series.
    NoData "onNoData",
    /// The query returned NaN.
    Nan "onNaN",
    /// The query returned infinity, or a number that is too large for a quantity.
    Infinite "onInfinite",
    /// The backend failed, did not answer in time, or returned a partial answer that the rule does not accept.
    Failure "onFailure",
}

/// What to answer in a situation without a usable number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fallback {
    /// An error; the HPA keeps its size.
    #[default]
    Error,
    /// No items: an answer without values. For no data only; in any other situation it is an error.
    Empty,
    /// This value.
    Value(Quantity),
    /// The last good reading, for a time after it became older than the rule's `maxAge`.
    Hold {
        /// For how long.
        longest: Duration,
        /// The value after that; none is an error.
        then: Option<Quantity>,
    },
}

/// What to do with an answer that the backend itself calls partial: its numbers may be too small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Partial {
    /// Treat it as a failure of the backend.
    #[default]
    Error,
    /// Treat it as complete.
    Accept,
}

/// How several series become an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Combine {
    /// More than one series is an error: the HPA would add them up.
    #[default]
    Single,
    /// Each series is an item.
    Items,
    /// The last one that the backend returned.
    Last,
    /// Their sum.
    Sum,
    /// Their arithmetic mean.
    Avg,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

/// The policies of one rule. They are applied to each group of samples by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policies {
    /// Several series.
    pub result: Combine,
    /// The fallback of each situation, indexed by [`Situation`].
    pub fallbacks: [Fallback; Situation::COUNT],
    /// Partial answers.
    pub on_partial: Partial,
    /// Whether negative values are served.
    pub allow_negative: bool,
}

/// Why samples do not become values, and what the operator can do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// No series.
    #[error(
        "prometheus has no data for this query; check that the targets are scraped and that namespace and selector \
         match their labels, or set onNoData"
    )]
    NoData,
    /// Several series, and the rule does not say how to combine them.
    #[error(
        "the query returned {count} series and the HPA would add them up; aggregate them with sum() or max() in the \
         query, or set result"
    )]
    SeveralSeries {
        /// How many.
        count: usize,
    },
    /// NaN, usually from 0/0.
    #[error("the query returned NaN, usually from 0/0; guard the divisor with \"> 0\", or set onNaN")]
    NotANumber,
    /// Infinite, usually from a division by zero.
    #[error(
        "the query returned {0}, usually from a division by zero; guard the divisor with \"> 0\", or set onInfinite"
    )]
    Infinite(&'static str),
    /// A quantity cannot hold it.
    #[error("the result is too large for a quantity; check its unit, or set onInfinite")]
    TooLarge,
    /// Below zero.
    #[error(
        "the value is {0}, and an HPA may treat a negative value as infinite; use clamp_min(…, 0) in the query, or set \
         allowNegative"
    )]
    Negative(Quantity),
    /// The backend calls its answer partial.
    #[error(
        "prometheus returned a partial answer, so the value may be too small; see the warning in the server log, or \
         set onPartial to accept it"
    )]
    Partial {
        /// The backend's warning. For the log, never for the client, since it may name hosts.
        warning: Arc<str>,
    },
}

impl ValueError {
    /// The situation it is; none if no fallback applies.
    pub const fn situation(&self) -> Option<Situation> {
        match self {
            Self::NoData => Some(Situation::NoData),
            Self::NotANumber => Some(Situation::Nan),
            Self::Infinite(_) | Self::TooLarge => Some(Situation::Infinite),
            Self::Partial { .. } => Some(Situation::Failure),
            Self::SeveralSeries { .. } | Self::Negative(_) => None,
        }
    }
}

impl Policies {
    /// The defaults of prometheus-adapter's rules for custom metrics. Of several series of one object the last one
    /// counts. Unlike there, no number is made of NaN, infinity, or what is too large.
    pub fn adapter() -> Self {
        Self { result: Combine::Last, allow_negative: true, ..Self::default() }
    }

    /// The defaults of prometheus-adapter's rules for external metrics: each series is an item, and no series are no
    /// items.
    pub fn adapter_external() -> Self {
        let mut policies = Self { result: Combine::Items, ..Self::adapter() };
        policies.fallbacks[Situation::NoData as usize] = Fallback::Empty;
        policies
    }

    /// The fallback of a situation.
    pub const fn on(&self, situation: Situation) -> Fallback {
        self.fallbacks[situation as usize]
    }

    /// Whether any fallback holds the last good reading.
    pub fn hold(&self) -> bool {
        self.fallbacks.iter().any(|fallback| matches!(fallback, Fallback::Hold { .. }))
    }

    /// The policies after every hold expired.
    #[must_use]
    pub fn after_hold(&self) -> Self {
        let fallbacks = self.fallbacks.map(|fallback| match fallback {
            Fallback::Hold { then, .. } => then.map_or(Fallback::Error, Fallback::Value),
            Fallback::Error | Fallback::Empty | Fallback::Value(_) => fallback,
        });
        Self { fallbacks, ..*self }
    }

    /// The values of these samples, without the rule's own values.
    pub fn measured(&self, samples: &[Sample]) -> Result<Vec<Value>, ValueError> {
        let fallbacks = self.fallbacks.map(|fallback| match fallback {
            Fallback::Empty => Fallback::Empty,
            Fallback::Error | Fallback::Value(_) | Fallback::Hold { .. } => Fallback::Error,
        });
        let strict = Self { fallbacks, ..*self };
        // Every value comes from a sample, so the time of the read is not used.
        strict.settle(samples, Timestamp::UNIX_EPOCH, &mut Vec::new())
    }

    /// The values of these samples, with the rule's own values where its fallbacks have some.
    ///
    /// A sample that is not a usable number is replaced, or fails the group; `replaced` gets one cause for each
    /// situation. `now` is the timestamp of a value without a sample. A hold is an error here: the samples to hold are
    /// not known.
    pub fn settle(
        &self,
        samples: &[Sample],
        now: Timestamp,
        replaced: &mut Vec<ValueError>,
    ) -> Result<Vec<Value>, ValueError> {
        let Some(first) = samples.first() else {
            if self.on(Situation::NoData) == Fallback::Empty {
                return Ok(Vec::new());
            }
            let quantity = self.replace(ValueError::NoData, replaced)?;
            return Ok(vec![Value { quantity, labels: Labels::new(), timestamp: now }]);
        };
        let combined = match self.result {
            Combine::Single if samples.len() > 1 => {
                return Err(ValueError::SeveralSeries { count: samples.len() });
            }
            Combine::Single | Combine::Items => return self.items(samples, now, replaced),
            Combine::Last => return self.items(&samples[samples.len() - 1..], now, replaced),
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
        // The sum is infinite, not what the query returned.
        let overflowed = combined.is_infinite() && samples.iter().all(|sample| sample.value.is_finite());
        let quantity = if overflowed {
            self.replace(ValueError::TooLarge, replaced)
        } else {
            self.quantity(combined, replaced)
        }?;
        Ok(vec![Value { quantity, labels: Labels::new(), timestamp: first.timestamp }])
    }

    fn items(
        &self,
        samples: &[Sample],
        now: Timestamp,
        replaced: &mut Vec<ValueError>,
    ) -> Result<Vec<Value>, ValueError> {
        let values = samples.iter().map(|sample| {
            let quantity = self.quantity(sample.value, replaced)?;
            Ok(Value { quantity, labels: sample.labels.clone(), timestamp: sample.timestamp })
        });
        let mut values: Vec<Value> = values.collect::<Result<_, ValueError>>()?;
        // An HPA with a target of type AverageValue adds the items up in this order, and takes a partial sum below
        // zero for an overflow, which scales to its maximum. In descending order only the total can be below zero.
        if values.iter().any(|value| value.quantity.is_negative()) {
            values.sort_by_key(|value| Reverse(value.quantity.milli()));
        }
        // The HPA adds up in i64 thousandths: no partial sum may overflow.
        let total = values.iter().try_fold(0_i64, |sum, value| sum.checked_add(value.quantity.milli()));
        if total.is_some() {
            return Ok(values);
        }
        let quantity = self.replace(ValueError::TooLarge, replaced)?;
        Ok(vec![Value { quantity, labels: Labels::new(), timestamp: now }])
    }

    fn quantity(&self, value: f64, replaced: &mut Vec<ValueError>) -> Result<Quantity, ValueError> {
        match Quantity::from_f64(value) {
            Ok(quantity) => self.unless_negative(quantity),
            Err(QuantityError::NotANumber) => self.replace(ValueError::NotANumber, replaced),
            Err(QuantityError::Infinite) => {
                let sign = if value < 0.0 { "-Inf" } else { "+Inf" };
                self.replace(ValueError::Infinite(sign), replaced)
            }
            Err(QuantityError::OutOfRange) => self.replace(ValueError::TooLarge, replaced),
        }
    }

    /// The rule's own value for the situation, or the error.
    fn replace(&self, error: ValueError, replaced: &mut Vec<ValueError>) -> Result<Quantity, ValueError> {
        match error.situation().map(|situation| self.on(situation)) {
            Some(Fallback::Value(quantity)) => {
                let quantity = self.unless_negative(quantity)?;
                if replaced.iter().all(|known| known.situation() != error.situation()) {
                    replaced.push(error);
                }
                Ok(quantity)
            }
            Some(Fallback::Error | Fallback::Empty | Fallback::Hold { .. }) | None => Err(error),
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

/// `f64::min` and `f64::max` drop a NaN; here it makes the result NaN, as in a sum.
fn propagate(a: f64, b: f64, choose: fn(f64, f64) -> f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { choose(a, b) }
}

#[cfg(test)]
mod tests;
