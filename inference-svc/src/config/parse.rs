//! Parsers for flag values that std has no type for.

use std::time::Duration;

/// No flag needs more than a day, and the limit keeps sums of durations far from overflow.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a string is not a valid duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseDurationError {
    /// The number or the unit is missing, or the unit is unknown.
    #[error("not a valid duration; use a whole number and a unit, such as 250ms, 10s, 1m, 1h")]
    Form,
    /// Longer than a day.
    #[error("must be at most 24h")]
    TooLong,
}

/// Parses `250ms`, `10s`, `1m` or `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, ParseDurationError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(ParseDurationError::Form),
    };
    if number.is_empty() {
        return Err(ParseDurationError::Form);
    }
    // All digits, so the only possible error is overflow.
    let number: u64 = number.parse().map_err(|_| ParseDurationError::TooLong)?;
    let duration = number.checked_mul(factor_ms).map(Duration::from_millis);
    duration.filter(|it| *it <= DURATION_MAX).ok_or(ParseDurationError::TooLong)
}

/// A number from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fraction(f64);

/// The string is not a number from 0 to 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a number from 0 to 1, such as 0.1")]
pub struct ParseFractionError;

impl Fraction {
    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// Parses a number from 0 to 1.
pub(super) fn fraction(text: &str) -> Result<Fraction, ParseFractionError> {
    let number: f64 = text.parse().map_err(|_| ParseFractionError)?;
    if (0.0..=1.0).contains(&number) { Ok(Fraction(number)) } else { Err(ParseFractionError) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_whole_number_and_a_unit() {
        let ms = |text| duration(text).map(|it| it.as_millis());
        assert_eq!(ms("0s"), Ok(0));
        assert_eq!(ms("250ms"), Ok(250));
        assert_eq!(ms("10s"), Ok(10_000));
        assert_eq!(ms("1m"), Ok(60_000));
        assert_eq!(ms("24h"), Ok(86_400_000));
        for text in ["", "s", "10", "1.5s", "-1s", "1 s", "10S", "1d", "ten s"] {
            assert_eq!(ms(text), Err(ParseDurationError::Form), "{text:?}");
        }
        for text in ["25h", "18446744073709551615h", "99999999999999999999s"] {
            assert_eq!(ms(text), Err(ParseDurationError::TooLong), "{text:?}");
        }
    }

    #[test]
    fn a_fraction_is_finite_and_between_0_and_1() {
        assert_eq!(fraction("0.1").map(Fraction::get), Ok(0.1));
        assert_eq!(fraction("1").map(Fraction::get), Ok(1.0));
        for text in ["", "-0.1", "1.1", "NaN", "inf", "10%"] {
            assert_eq!(fraction(text), Err(ParseFractionError), "{text:?}");
        }
    }
}
