//! Floating-point numbers as Go's `strconv.FormatFloat` writes them.

use super::flags::{Flags, MAX_OUTPUT};

/// The number with its sign; `None` if the verb does not suit it.
pub(super) fn digits(number: f64, verb: char, flags: &Flags) -> Option<String> {
    let sign = if number.is_sign_negative() && !number.is_nan() { '-' } else { '+' };
    let number = number.abs();
    let precision = flags.precision.map(|precision| precision.min(MAX_OUTPUT));
    if !matches!(verb, 'v' | 'g' | 'G' | 'e' | 'E' | 'f' | 'F') {
        return None;
    }
    if !number.is_finite() {
        return Some(format!("{sign}{}", if number.is_nan() { "NaN" } else { "Inf" }));
    }
    let written = match verb {
        'f' | 'F' => format!("{number:.*}", precision.unwrap_or(6)),
        'e' | 'E' => with_exponent(&format!("{number:.*e}", precision.unwrap_or(6))),
        _ => general(number, precision, flags.sharp),
    };
    let written = if matches!(verb, 'E' | 'G') { written.to_uppercase() } else { written };
    let point = flags.sharp && !written.contains('.') && matches!(verb, 'f' | 'F' | 'e' | 'E');
    let mut written = format!("{sign}{written}");
    if point {
        let end = written.find(['e', 'E']).unwrap_or(written.len());
        written.insert(end, '.');
    }
    Some(written)
}

/// Rust's exponent with Go's sign and at least two digits.
fn with_exponent(number: &str) -> String {
    let (mantissa, exponent) = number.split_once('e').unwrap_or((number, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{mantissa}e{sign}{exponent:0>2}")
}

/// `%g`: with an exponent where the number is very large or small.
fn general(number: f64, precision: Option<usize>, keeps_zeros: bool) -> String {
    let scientific = match precision {
        Some(precision) => format!("{number:.*e}", precision.max(1) - 1),
        None => format!("{number:e}"),
    };
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let mut digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    // Without a precision Go pads to six digits; with one it drops the zeros at the end, unless # is given.
    if keeps_zeros {
        let wanted = precision.unwrap_or(6).max(1);
        digits.push_str(&"0".repeat(wanted.saturating_sub(digits.len())));
    } else {
        let significant = digits.trim_end_matches('0').len().max(1);
        digits.truncate(significant);
    }
    let count = i64::try_from(digits.len()).unwrap_or(i64::MAX);
    let threshold = match precision {
        None => 6,
        Some(precision) => {
            let precision = i64::try_from(precision.max(1)).unwrap_or(i64::MAX);
            if precision > count && count > exponent { count } else { precision }
        }
    };
    if exponent < -4 || exponent >= threshold {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() && !keeps_zeros { "" } else { "." };
        return with_exponent(&format!("{first}{point}{rest}e{exponent}"));
    }
    let whole = usize::try_from(exponent + 1).unwrap_or(0);
    if exponent < 0 {
        let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0));
        return format!("0.{zeros}{digits}");
    }
    if digits.len() <= whole {
        let zeros = "0".repeat(whole - digits.len());
        return format!("{digits}{zeros}{}", if keeps_zeros { "." } else { "" });
    }
    let (before, after) = digits.split_at(whole);
    format!("{before}.{after}")
}
