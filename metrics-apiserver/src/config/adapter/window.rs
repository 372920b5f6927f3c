//! Durations as Prometheus writes them.

use std::time::Duration;

/// The units of a duration, largest first, in milliseconds.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A duration such as `5m` or `1h30m`: whole numbers, each with a unit, from the largest unit to the smallest.
pub(super) fn parse_window(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let error = || format!("{text:?} is not a duration of Prometheus such as 5m or 1h30m");
    let (mut rest, mut units, mut total) = (text, UNITS.iter(), Some(0_u64));
    while !rest.is_empty() {
        let (digits, behind) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?);
        let number: u64 = digits.parse().map_err(|_| error())?;
        let (name, behind) =
            behind.split_at(behind.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(behind.len()));
        let (_, milliseconds) = units.find(|(unit, _)| *unit == name).ok_or_else(error)?;
        total =
            total.zip(number.checked_mul(*milliseconds)).and_then(|(total, part)| total.checked_add(part));
        rest = behind;
    }
    // Go's durations have 63 bits of nanoseconds.
    let limit = u64::try_from(i64::MAX / 1_000_000).unwrap_or(u64::MAX);
    match total.filter(|total| *total <= limit) {
        Some(_) if text.is_empty() => Err(error()),
        Some(total) => Ok(Duration::from_millis(total)),
        None => Err(format!("the duration {text:?} is too long")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_the_syntax_of_prometheus() {
        for (text, seconds) in
            [("0", 0), ("5m", 300), ("1h30m", 5_400), ("1d", 86_400), ("1w1d", 691_200), ("0s", 0)]
        {
            assert_eq!(parse_window(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse_window("1s5ms"), Ok(Duration::from_millis(1_005)));
        for text in
            ["", "5", "m", "1.5h", "30m1h", "5m5m", "-5m", "5 m", "300y", "5M", "99999999999999999999s"]
        {
            assert!(parse_window(text).is_err(), "{text}");
        }
    }
}
