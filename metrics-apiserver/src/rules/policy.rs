//! What to answer when Prometheus has no usable number.

use crate::metric::{Quantity, Sample, Value};

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
pub enum ValueError {}

impl Policies {
    /// The values that these samples stand for.
    ///
    /// `now` is the timestamp of a fallback value.
    pub fn values(&self, _samples: &[Sample], _now: jiff::Timestamp) -> Result<Vec<Value>, ValueError> {
        Ok(Vec::new())
    }
}
