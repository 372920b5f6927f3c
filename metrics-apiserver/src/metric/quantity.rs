//! Kubernetes quantities at milli precision.

mod parse;

use std::fmt;

pub use parse::ParseQuantityError;

/// Largest magnitude that a number or a text may have, in units: the HPA computes in `i64` thousandths, and a unit
/// more would wrap around there (contract §4.6).
const MAX_UNITS: i64 = i64::MAX / 1000;
/// Suffixes of the decimal form from 10^-3 on, each a thousand times the one before; `i64` needs no larger one.
const SUFFIXES: [&str; 7] = ["m", "", "k", "M", "G", "T", "P"];

/// A finite number with milli precision that prints as a canonical decimal Kubernetes quantity (`1500m`, `12`, `3k`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Quantity {
    milli: i64,
}

/// Why a number is no quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a number.
    #[error("the value is NaN")]
    NotANumber,
    /// Plus or minus infinity.
    #[error("the value is infinite")]
    Infinite,
    /// The HPA computes in `i64` thousandths; more than 9223372036854775 units would wrap around (contract §4.6).
    #[error("the value is too large for a quantity")]
    OutOfRange,
}

impl Quantity {
    /// A number of thousandths; every `i64` is one.
    pub const fn from_milli(milli: i64) -> Self {
        Self { milli }
    }

    /// The quantity of a float: cut after the thousandths towards zero, as prometheus-adapter does it.
    pub fn from_f64(value: f64) -> Result<Self, QuantityError> {
        // The first float above MAX_UNITS; the last one below it is MAX_UNITS - 1.
        #[expect(clippy::cast_precision_loss, reason = "2^53 is passed; the sum is exact as a float")]
        let limit = (MAX_UNITS + 1) as f64;
        if value.is_nan() {
            Err(QuantityError::NotANumber)
        } else if value.is_infinite() {
            Err(QuantityError::Infinite)
        } else if value.abs() >= limit {
            Err(QuantityError::OutOfRange)
        } else {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the range is checked, the rest is cut on purpose"
            )]
            Ok(Self { milli: (value * 1000.0) as i64 })
        }
    }

    /// The number of thousandths.
    pub const fn milli(self) -> i64 {
        self.milli
    }

    /// Whether it is below zero.
    pub const fn is_negative(self) -> bool {
        self.milli < 0
    }

    /// The sum, if `i64` thousandths can hold it: the HPA adds up all items of an answer.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.milli.checked_add(other.milli).map(Self::from_milli)
    }
}

/// Go's `resource.Quantity` in its format `DecimalSI`: an integer with the largest suffix that leaves one.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.milli == 0 {
            return f.write_str("0");
        }
        let mut mantissa = self.milli;
        let mut suffixes = SUFFIXES.iter();
        let mut suffix = suffixes.next();
        while mantissa % 1000 == 0 {
            mantissa /= 1000;
            suffix = suffixes.next();
        }
        write!(f, "{mantissa}{}", suffix.unwrap_or(&""))
    }
}

#[cfg(test)]
mod tests;
