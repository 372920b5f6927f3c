//! Kubernetes quantities at milli precision.

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

/// Why a text is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseQuantityError {}
