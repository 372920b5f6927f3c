//! Kubernetes quantities.

pub(super) mod parse;

use std::fmt;

/// Largest magnitude of a text, in units: the HPA computes in `i64` thousandths, which overflow above it.
const MAX_UNITS: i64 = i64::MAX / 1000;
/// Suffixes of the decimal form from 10^-9 on, each a thousand times the one before; `i64` needs no larger one.
const DECIMAL: [&str; 9] = ["n", "u", "m", "", "k", "M", "G", "T", "P"];
/// Suffixes of the binary form, each 1024 times the one before; `i64` thousandths need no larger one.
const BINARY: [&str; 6] = ["", "Ki", "Mi", "Gi", "Ti", "Pi"];
/// 2^63, the first float beyond `i64`.
const BEYOND_I64: f64 = 9_223_372_036_854_775_808.0;

/// The precision of a quantity and the form in which it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// Thousandths, with decimal suffixes: `1500m`, `12`, `3k`. External and custom metrics.
    #[default]
    Milli,
    /// Billionths, with decimal suffixes: `1500n`, `250m`. CPU in `metrics.k8s.io`.
    Nano,
    /// Thousandths, with binary suffixes where the number is whole and at least 1024: `64Mi`. Memory in
    /// `metrics.k8s.io`.
    Binary,
}

impl Format {
    /// How many of its smallest steps make one unit.
    const fn per_unit(self) -> i64 {
        match self {
            Self::Milli | Self::Binary => 1_000,
            Self::Nano => 1_000_000_000,
        }
    }
}

/// A finite number that prints as a canonical Kubernetes quantity, as apimachinery's `resource.Quantity` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Quantity {
    /// In the smallest steps of the format.
    value: i64,
    format: Format,
}

/// Why a number is not a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuantityError {
    /// Not a number.
    NotANumber,
    /// Plus or minus infinity.
    Infinite,
    /// `i64` cannot hold it; the HPA's own arithmetic would overflow, too.
    OutOfRange,
}

impl Quantity {
    /// So many of the format's smallest steps: thousandths, or billionths for [`Format::Nano`].
    pub const fn new(value: i64, format: Format) -> Self {
        Self { value, format }
    }

    /// A number of thousandths.
    pub const fn from_milli(milli: i64) -> Self {
        Self::new(milli, Format::Milli)
    }

    /// [`Self::of`] with [`Format::Milli`].
    pub fn from_f64(value: f64) -> Result<Self, QuantityError> {
        Self::of(value, Format::Milli)
    }

    /// The quantity of a float, truncated toward zero at the format's precision, as prometheus-adapter does.
    pub fn of(value: f64, format: Format) -> Result<Self, QuantityError> {
        #[expect(clippy::cast_precision_loss, reason = "powers of ten up to 10^9 are exact")]
        let steps = value * format.per_unit() as f64;
        if value.is_nan() {
            Err(QuantityError::NotANumber)
        } else if value.is_infinite() {
            Err(QuantityError::Infinite)
        } else if steps.abs() >= BEYOND_I64 {
            Err(QuantityError::OutOfRange)
        } else {
            #[expect(clippy::cast_possible_truncation, reason = "in range; truncation is intended")]
            Ok(Self::new(steps as i64, format))
        }
    }

    /// The number of thousandths, as the HPA reads it: finer digits are rounded away from zero.
    pub const fn milli(self) -> i64 {
        let step = self.format.per_unit() / 1_000;
        let (whole, rest) = (self.value / step, self.value % step);
        whole + rest.signum()
    }

    /// The sum in the format of `self`; the largest quantity if it is beyond.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self::new(self.value.saturating_add(other.value), self.format)
    }

    /// Whether it is below zero.
    pub const fn is_negative(self) -> bool {
        self.value < 0
    }

    /// The units, if they can be printed with a binary suffix: apimachinery prints others in decimal form.
    fn binary_units(self) -> Option<i64> {
        let per_unit = self.format.per_unit();
        let units = self.value / per_unit;
        let is_binary =
            self.format == Format::Binary && self.value % per_unit == 0 && units.unsigned_abs() >= 1024;
        is_binary.then_some(units)
    }
}

/// An integer with the largest suffix that leaves one.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value == 0 {
            return f.write_str("0");
        }
        let (mut mantissa, base, mut suffixes) = match (self.binary_units(), self.format) {
            (Some(units), _) => (units, 1024, BINARY.iter()),
            (None, Format::Nano) => (self.value, 1000, DECIMAL.iter()),
            (None, Format::Milli | Format::Binary) => (self.value, 1000, DECIMAL[2..].iter()),
        };
        let mut suffix = suffixes.next();
        while mantissa % base == 0 {
            mantissa /= base;
            suffix = suffixes.next();
        }
        write!(f, "{mantissa}{}", suffix.unwrap_or(&""))
    }
}

#[cfg(test)]
mod tests;
