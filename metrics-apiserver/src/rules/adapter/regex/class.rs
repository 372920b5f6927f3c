//! Character classes: `[…]`, and the escapes that stand for a character or a class anywhere.

use std::fmt::Write;

use super::error::RegexError;

/// The names of POSIX classes, which both syntaxes have: `[[:alpha:]]`.
const POSIX: &[&str] = &[
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// What an escape means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Escape {
    Char(char),
    /// A class, as the crate writes it.
    Class(String),
}

/// A character as it is written inside and outside of classes.
pub(super) fn write_char(character: char, out: &mut String) {
    if character.is_ascii_alphanumeric() {
        out.push(character);
    } else {
        let _ = write!(out, "\\x{{{:X}}}", u32::from(character));
    }
}

/// The class or the character that begins with the backslash at `at`, and the position after it.
pub(super) fn escape(text: &str, at: usize) -> Result<(Escape, usize), RegexError> {
    let rest = text.get(at + 1..).unwrap_or_default();
    let Some(kind) = rest.chars().next() else {
        return Err(RegexError::at(at, "the regular expression ends with a single backslash"));
    };
    let next = at + 1 + kind.len_utf8();
    let class = |class: &str| Ok((Escape::Class(class.to_owned()), next));
    let character = |character: char| Ok((Escape::Char(character), next));
    match kind {
        'd' => class("[0-9]"),
        'D' => class("[^0-9]"),
        's' => class("[\\t\\n\\f\\r ]"),
        'S' => class("[^\\t\\n\\f\\r ]"),
        'w' => class("[0-9A-Za-z_]"),
        'W' => class("[^0-9A-Za-z_]"),
        'p' | 'P' => unicode(text, at, kind),
        'a' => character('\u{7}'),
        'f' => character('\u{c}'),
        'n' => character('\n'),
        'r' => character('\r'),
        't' => character('\t'),
        'v' => character('\u{b}'),
        '0'..='7' => octal(rest, at, kind),
        'x' => hexadecimal(text, at, next),
        c if c.is_ascii_punctuation() || (c.is_ascii() && !c.is_ascii_alphanumeric()) => character(c),
        _ => Err(unknown(text, at, next)),
    }
}

fn unknown(text: &str, at: usize, next: usize) -> RegexError {
    let escape = text.get(at..next).unwrap_or_default();
    RegexError::at(at, format!("Go's regular expressions have no escape {escape}"))
}

fn octal(rest: &str, at: usize, first: char) -> Result<(Escape, usize), RegexError> {
    let digits = rest.bytes().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    if digits == 1 && first != '0' {
        let message = format!("Go's regular expressions have no back references such as \\{first}");
        return Err(RegexError::at(at, message));
    }
    let number = rest.get(..digits).and_then(|digits| u32::from_str_radix(digits, 8).ok());
    let character = number.and_then(char::from_u32).unwrap_or_default();
    Ok((Escape::Char(character), at + 1 + digits))
}

fn hexadecimal(text: &str, at: usize, start: usize) -> Result<(Escape, usize), RegexError> {
    let rest = text.get(start..).unwrap_or_default();
    let (digits, end) = if let Some(braced) = rest.strip_prefix('{') {
        let length = braced.find('}').unwrap_or(0);
        (braced.get(..length), start + length + 2)
    } else {
        (rest.get(..2), start + 2)
    };
    let digits = digits.filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit()));
    let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    match number.and_then(char::from_u32) {
        Some(character) => Ok((Escape::Char(character), end)),
        None => {
            Err(RegexError::at(at, "expected the number of a character after \\x, as in \\x41 or \\x{1F600}"))
        }
    }
}

/// `\pL`, `\p{Greek}`, `\P{^Greek}`.
fn unicode(text: &str, at: usize, kind: char) -> Result<(Escape, usize), RegexError> {
    let start = at + 2;
    let rest = text.get(start..).unwrap_or_default();
    let (name, end) = if let Some(braced) = rest.strip_prefix('{') {
        let length = braced.find('}').ok_or_else(|| {
            RegexError::at(at, format!("the name after \\{kind}{{ does not end; close it with }}"))
        })?;
        (braced.get(..length).unwrap_or_default(), start + length + 2)
    } else {
        let length = rest.chars().next().map_or(0, char::len_utf8);
        (rest.get(..length).unwrap_or_default(), start + length)
    };
    let (name, is_negated) = name.strip_prefix('^').map_or((name, false), |name| (name, true));
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if !is_name {
        let message =
            format!("expected a Unicode class after \\{kind}, as in \\{kind}L or \\{kind}{{Greek}}");
        return Err(RegexError::at(at, message));
    }
    let letter = if (kind == 'P') == is_negated { 'p' } else { 'P' };
    Ok((Escape::Class(format!("\\{letter}{{{name}}}")), end))
}

/// The class that begins with the bracket at `at`, as the crate writes it, and the position after it.
pub(super) fn class(text: &str, at: usize) -> Result<(String, usize), RegexError> {
    let mut out = String::from("[");
    let mut next = at + 1;
    if text.get(next..).is_some_and(|rest| rest.starts_with('^')) {
        out.push('^');
        next += 1;
    }
    let first = next;
    loop {
        let rest = text.get(next..).unwrap_or_default();
        if rest.is_empty() {
            return Err(RegexError::at(at, "the class is not closed; add ']'"));
        }
        if rest.starts_with(']') && next > first {
            out.push(']');
            return Ok((out, next + 1));
        }
        if let Some((name, length)) = posix(rest) {
            let plain = name.strip_prefix('^').unwrap_or(name);
            if !POSIX.contains(&plain) {
                let message = format!("there is no class [:{plain}:]; one that there is: [:alnum:]");
                return Err(RegexError::at(next, message));
            }
            let _ = write!(out, "[:{name}:]");
            next += length;
            continue;
        }
        let start = next;
        let (low, after) = one(text, start)?;
        next = after;
        let low = match low {
            Escape::Class(class) => {
                out.push_str(&class);
                continue;
            }
            Escape::Char(low) => low,
        };
        write_char(low, &mut out);
        let rest = text.get(next..).unwrap_or_default();
        if rest.starts_with('-') && rest.len() > 1 && !rest.starts_with("-]") {
            let (high, after) = one(text, next + 1)?;
            match high {
                Escape::Char(high) if high >= low => {
                    out.push('-');
                    write_char(high, &mut out);
                }
                _ => {
                    let range = text.get(start..after).unwrap_or_default();
                    return Err(RegexError::at(start, format!("{range} is not a range of characters")));
                }
            }
            next = after;
        }
    }
}

/// A POSIX class at the beginning of the text: its name, and its length.
fn posix(rest: &str) -> Option<(&str, usize)> {
    let name = rest.strip_prefix("[:")?;
    let length = name.find(":]")?;
    Some((name.get(..length)?, length + 4))
}

fn one(text: &str, at: usize) -> Result<(Escape, usize), RegexError> {
    match text.get(at..).and_then(|rest| rest.chars().next()) {
        Some('\\') => escape(text, at),
        Some(character) => Ok((Escape::Char(character), at + character.len_utf8())),
        None => Err(RegexError::at(at, "the class is not closed; add ']'")),
    }
}
