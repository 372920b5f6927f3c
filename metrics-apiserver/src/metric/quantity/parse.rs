//! The text form of a quantity, as an operator writes it: `0`, `1.5`, `500m`, `10k`, `1Ki`, `1e3`.

use std::str::FromStr;

use super::{MAX_UNITS, Quantity};

/// Longest text, in bytes: more digits than any quantity in range needs.
const MAX_TEXT: usize = 64;
/// Decimal digits that `MAX_UNITS` thousandths have.
const MAX_DIGITS: usize = 19;

/// Why a text is not a valid quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseQuantityError {
    /// Not of the grammar.
    #[error(
        "{0:?} is not a valid quantity; write a number such as 0, 1.5 or 1e3, or one with a suffix such as 500m, 10k \
         or 1Ki"
    )]
    Syntax(String),
    /// More than `MAX_TEXT` bytes.
    #[error("the quantity has {0} bytes; at most {MAX_TEXT} are allowed")]
    TooLong(usize),
    /// More than the HPA can compute with.
    #[error("{0:?} is out of range; a quantity is between -{MAX_UNITS} and {MAX_UNITS}")]
    OutOfRange(String),
}

/// Go's grammar for quantities, except that a number without any digit is refused. Digits beyond the thousandths are
/// rounded up, away from zero, as Go's `MilliValue` does for positive numbers (below zero it is off by one).
impl FromStr for Quantity {
    type Err = ParseQuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_TEXT {
            return Err(ParseQuantityError::TooLong(text.len()));
        }
        let number = Number::split(text).ok_or_else(|| ParseQuantityError::Syntax(text.to_owned()))?;
        let out_of_range = || ParseQuantityError::OutOfRange(text.to_owned());
        let magnitude = number.thousandths().ok_or_else(out_of_range)?;
        let milli = if number.negative { -magnitude } else { magnitude };
        Ok(Self::from_milli(milli))
    }
}

/// The parts of a quantity: `±digits × 10^exponent × factor`.
struct Number {
    negative: bool,
    /// Each 0 to 9, the first one the most significant.
    digits: Vec<u8>,
    exponent: i64,
    factor: u64,
}

impl Number {
    fn split(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        let (exponent, factor) = interpret(suffix)?;
        let digits = whole.bytes().chain(fraction.bytes()).map(|b| b - b'0').collect();
        let places = i64::try_from(fraction.len()).ok()?;
        let exponent = exponent.saturating_sub(places);
        Some(Self { negative: text.starts_with('-'), digits, exponent, factor })
    }

    /// The magnitude in thousandths, rounded up; `None` if it is out of range.
    fn thousandths(&self) -> Option<i64> {
        let product = multiply(&self.digits, self.factor);
        if product.is_empty() {
            return Some(0);
        }
        let length = i64::try_from(product.len()).ok()?;
        // How many digits of the result stand before the point.
        let whole = length.saturating_add(self.exponent).saturating_add(3);
        let whole = usize::try_from(whole.max(0)).ok()?;
        if whole > MAX_DIGITS {
            return None;
        }
        let (head, tail) = product.split_at(whole.min(product.len()));
        let padding = std::iter::repeat_n(&0, whole - head.len());
        let floor = head.iter().chain(padding).fold(0_u128, |sum, digit| sum * 10 + u128::from(*digit));
        let ceiling = floor + u128::from(tail.iter().any(|digit| *digit != 0));
        i64::try_from(ceiling).ok().filter(|milli| *milli <= MAX_UNITS * 1000)
    }
}

/// The power of ten and the factor that a suffix stands for.
fn interpret(suffix: &str) -> Option<(i64, u64)> {
    let decimal = |exponent| Some((exponent, 1));
    let binary = |power: u32| Some((0, 1 << power));
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => decimal(suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    }
}

/// The decimal digits of a product, without leading zeros.
fn multiply(digits: &[u8], factor: u64) -> Vec<u8> {
    let mut product = Vec::with_capacity(digits.len() + 20);
    let mut carry = 0_u128;
    let mut rest = digits.iter().rev();
    loop {
        match rest.next() {
            Some(digit) => carry += u128::from(*digit) * u128::from(factor),
            None if carry == 0 => break,
            None => {}
        }
        product.push(u8::try_from(carry % 10).unwrap_or_default());
        carry /= 10;
    }
    while product.last() == Some(&0) {
        product.pop();
    }
    product.reverse();
    product
}
