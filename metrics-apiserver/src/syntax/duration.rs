//! Durations in Go's syntax, as flags, the configuration file and the `timeout` parameter of a request write them.

use std::time::Duration;

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseDurationError {
    /// Not in Go's syntax.
    #[error("not a duration; write a number with a unit, such as 500ms, 10s or 1m30s")]
    Syntax,
    /// A number without a unit.
    #[error("a duration needs a unit, for example 10s")]
    NoUnit,
    /// Days, weeks and years are Prometheus' units, not Go's.
    #[error("valid units are h, m, s, ms, us and ns; write 24h for a day")]
    Unit,
    /// Below zero.
    #[error("the duration must not be negative")]
    Negative,
    /// Longer than a Go duration can be (292 years).
    #[error("the duration is too long")]
    TooLong,
}

/// Prints a duration as Go's `time.Duration` does: `1h0m0s`, `5m0s`, `1.5s`, `500ms`, `0s`.
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let decimal = |nanos: u128, unit: u128| {
        let fraction = format!("{:0width$}", nanos % unit, width = unit.ilog10() as usize);
        let fraction = fraction.trim_end_matches('0');
        let dot = if unit == 1 || fraction.is_empty() { "" } else { "." };
        format!("{}{dot}{}", nanos / unit, if unit == 1 { "" } else { fraction })
    };
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => decimal(nanos, 1_000) + "µs",
        1_000_000..1_000_000_000 => decimal(nanos, 1_000_000) + "ms",
        _ => {
            let minutes = nanos / 60_000_000_000;
            let seconds = decimal(nanos % 60_000_000_000, 1_000_000_000) + "s";
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

/// Parses a duration as Go's `time.ParseDuration` does: `0`, `10s`, `1m30s`, `1.5h`, `500ms`; never negative.
pub fn parse_duration(text: &str) -> Result<Duration, ParseDurationError> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.starts_with('-') {
        return Err(ParseDurationError::Negative);
    }
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(ParseDurationError::Syntax);
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let (part, after) = take_part(rest)?;
        nanos = nanos.saturating_add(part);
        rest = after;
    }
    // Go counts nanoseconds in an i64.
    let nanos = i64::try_from(nanos).map_err(|_| ParseDurationError::TooLong)?;
    Ok(Duration::from_nanos(nanos.unsigned_abs()))
}

/// One number with its unit, in nanoseconds, and what follows it.
fn take_part(text: &str) -> Result<(u128, &str), ParseDurationError> {
    let (whole, rest) = take_digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), take_digits);
    if whole.is_empty() && fraction.is_empty() {
        return Err(ParseDurationError::Syntax);
    }
    let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    let unit: u128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "" => return Err(ParseDurationError::NoUnit),
        "d" | "w" | "y" => return Err(ParseDurationError::Unit),
        _ => return Err(ParseDurationError::Syntax),
    };
    let whole: u64 =
        if whole.is_empty() { 0 } else { whole.parse().map_err(|_| ParseDurationError::TooLong)? };
    // A digit beyond the fifteenth is far below a nanosecond, whatever the unit.
    let fraction: String = fraction.chars().take(15).collect();
    let scale = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
    let fraction: u128 = fraction.parse().unwrap_or(0);
    Ok((u128::from(whole) * unit + fraction * unit / scale, rest))
}

fn take_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_read() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("10s", 10_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("500ms", 500),
            (".5s", 500),
            ("+1s", 1000),
            ("1h0m0.25s", 3_600_250),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse_duration("1us1ns"), Ok(Duration::from_nanos(1001)));
        assert_eq!(parse_duration("1.0000000000000000000000001s"), Ok(Duration::from_secs(1)));
    }

    #[test]
    fn what_go_rejects_is_rejected_with_advice() {
        use ParseDurationError as E;
        for (text, error) in [
            ("", E::Syntax),
            ("s", E::Syntax),
            ("10 s", E::Syntax),
            ("1x", E::Syntax),
            (".s", E::Syntax),
            ("10", E::NoUnit),
            ("1m30", E::NoUnit),
            ("1d", E::Unit),
            ("-1s", E::Negative),
            ("9999999999h", E::TooLong),
            ("99999999999999999999999s", E::TooLong),
        ] {
            assert_eq!(parse_duration(text), Err(error), "{text}");
        }
    }

    #[test]
    fn durations_are_printed_as_go_prints_them() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (1_000_000, "1ms"),
            (20_500_000_000, "20.5s"),
            (60_000_000_000, "1m0s"),
            (300_000_000_000, "5m0s"),
            (5_400_000_000_000, "1h30m0s"),
            (86_400_000_000_001, "24h0m0.000000001s"),
        ] {
            assert_eq!(format_duration(Duration::from_nanos(nanos)), text);
        }
    }
}
