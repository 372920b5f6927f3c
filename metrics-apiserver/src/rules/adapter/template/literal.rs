//! Go's literals: strings, characters and numbers.

use super::tree::Term;

/// The bytes of a string in double quotes or backquotes; `None` if Go does not allow it.
pub(super) fn unquote(literal: &str) -> Option<Vec<u8>> {
    if let Some(raw) = literal.strip_prefix('`') {
        return Some(raw.strip_suffix('`')?.bytes().filter(|byte| *byte != b'\r').collect());
    }
    let mut rest = literal.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let (piece, after) = unescape(rest, '"')?;
        match piece {
            Piece::Byte(byte) => bytes.push(byte),
            Piece::Char(character) => bytes.extend(character.encode_utf8(&mut [0; 4]).bytes()),
        }
        rest = after;
    }
    Some(bytes)
}

/// The number of a character in single quotes.
pub(super) fn character(literal: &str) -> Option<i64> {
    let (piece, rest) = unescape(literal.strip_prefix('\'')?, '\'')?;
    let number = match piece {
        Piece::Byte(byte) => byte.into(),
        Piece::Char(character) => u32::from(character),
    };
    (rest == "'").then(|| number.into())
}

enum Piece {
    Byte(u8),
    Char(char),
}

/// The first character, and what comes after it.
fn unescape(text: &str, quote: char) -> Option<(Piece, &str)> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if first == quote || first == '\n' {
        return None;
    }
    if first != '\\' {
        return Some((Piece::Char(first), chars.as_str()));
    }
    let kind = chars.next()?;
    let rest = chars.as_str();
    let digits = |count: usize| {
        let hex = rest.get(..count).filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        Some((u32::from_str_radix(hex, 16).ok()?, rest.get(count..)?))
    };
    let byte = |byte: u8| Some((Piece::Byte(byte), rest));
    match kind {
        'a' => byte(7),
        'b' => byte(8),
        'f' => byte(12),
        'n' => byte(b'\n'),
        'r' => byte(b'\r'),
        't' => byte(b'\t'),
        'v' => byte(11),
        '\\' => byte(b'\\'),
        '\'' | '"' if kind == quote => Some((Piece::Char(kind), rest)),
        'x' => digits(2).and_then(|(value, rest)| Some((Piece::Byte(u8::try_from(value).ok()?), rest))),
        'u' | 'U' => {
            let (value, rest) = digits(if kind == 'u' { 4 } else { 8 })?;
            Some((Piece::Char(char::from_u32(value)?), rest))
        }
        '0'..='7' => {
            let octal =
                text.get(1..4).filter(|octal| octal.bytes().all(|byte| matches!(byte, b'0'..=b'7')))?;
            let value = u32::from_str_radix(octal, 8).ok()?;
            Some((Piece::Byte(u8::try_from(value).ok()?), text.get(4..)?))
        }
        _ => None,
    }
}

/// The value of a number; `None` if Go does not allow it, or if it is too large.
pub(super) fn number(literal: &str) -> Option<Term> {
    let has_point = literal.contains(['.', 'e', 'E', 'p', 'P']);
    let is_hex = literal.starts_with("0x") || literal.starts_with("0X");
    if let Some(value) = integer(literal) {
        // Go takes a hexadecimal number with a sign and an e for a float.
        #[expect(clippy::cast_precision_loss, reason = "as in Go")]
        return Some(if has_point && !is_hex { Term::Float(value as f64) } else { Term::Int(value) });
    }
    let plain = without_underscores(literal)?;
    let value: f64 = plain.parse().ok()?;
    (has_point && value.is_finite()).then_some(Term::Float(value))
}

fn integer(literal: &str) -> Option<i64> {
    let digits = literal.strip_prefix(['+', '-']).unwrap_or(literal);
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        _ if lower.len() > 1 && lower.starts_with('0') => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    // One underscore may follow the prefix of the base.
    let digits = if radix == 10 { digits } else { digits.strip_prefix('_').unwrap_or(digits) };
    let digits = without_underscores(digits)?;
    let sign = if literal.starts_with('-') { "-" } else { "" };
    let is_number = digits.starts_with(|c: char| c.is_digit(radix));
    is_number.then(|| i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()).flatten()
}

/// The number without the underscores between its digits; `None` if one is not between digits.
fn without_underscores(number: &str) -> Option<String> {
    let bytes = number.as_bytes();
    let is_digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_hexdigit);
    let mut underscores = number.match_indices('_');
    let allowed = underscores.all(|(at, _)| is_digit(at.checked_sub(1)) && is_digit(Some(at + 1)));
    allowed.then(|| number.replace('_', ""))
}
