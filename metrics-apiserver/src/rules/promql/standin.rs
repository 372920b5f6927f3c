//! Literals that the PromQL parser must not judge, and stand-ins for them in its tree.
//!
//! The parser compiles every regular expression with Rust's engine, which refuses some that Prometheus accepts, such as
//! `[\w-.]+`. So it never sees one: before it reads a text, each regular expression is replaced by its bytes in
//! hexadecimal, and in what it prints they are put back. A stand-in says all about what it stands for, so two trees are
//! the same if what they stand for is.

use std::fmt::Write;

use super::lex::{Kind, tokens};
use crate::rules::matcher::write_quoted;

/// What every stand-in for a regular expression starts with.
const MARK: char = 'x';
/// What it ends with behind `!~`: the parser refuses a selector in which every matcher matches the empty string. Whether
/// a regular expression does is for Prometheus to say.
const NEVER_EMPTY: char = '|';

/// Reads a string literal, quotes included.
pub(super) type Unquote = fn(&str) -> Result<String, String>;

/// The stand-in for a regular expression.
pub(super) fn stand_in(regex: &str, is_negated: bool) -> String {
    let mut text = String::with_capacity(2 * regex.len() + 2);
    text.push(MARK);
    for byte in regex.bytes() {
        let _ = write!(text, "{byte:02x}");
    }
    if is_negated {
        text.push(NEVER_EMPTY);
    }
    text
}

/// What a stand-in stands for; a text that is none stands for itself.
pub(super) fn original(text: &str) -> String {
    let hex = text.strip_prefix(MARK).map(|hex| hex.strip_suffix(NEVER_EMPTY).unwrap_or(hex));
    let bytes = hex.and_then(|hex| {
        let digits: Option<Vec<u8>> =
            hex.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
        Some(digits?.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
    });
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| text.to_owned())
}

/// Replaces the regular expressions of a query by stand-ins. A literal that cannot be read stays, for the parser to
/// refuse.
pub(super) fn hide(text: &str, unquote: Unquote) -> String {
    replace(text, |regex, is_negated, out| match unquote(regex) {
        Ok(regex) => write_quoted(&stand_in(&regex, is_negated), out),
        Err(_) => out.push_str(regex),
    })
}

/// Puts the regular expressions back into a text that the parser printed.
pub(super) fn show(text: &str) -> String {
    replace(text, |literal, _, out| {
        write_quoted(&original(literal.trim_matches('"')), out);
    })
}

/// Copies the text and passes each string literal behind `=~` and `!~` through `write`.
fn replace(text: &str, mut write: impl FnMut(&str, bool, &mut String)) -> String {
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    let mut operator = None;
    for token in tokens(text) {
        let literal = text.get(token.range.clone()).unwrap_or_default();
        match (token.kind, operator) {
            (Kind::Blank, _) => continue,
            (Kind::String, Some(is_negated)) => {
                out.push_str(text.get(copied..token.range.start).unwrap_or_default());
                write(literal, is_negated, &mut out);
                copied = token.range.end;
                operator = None;
            }
            (Kind::Regex, _) => operator = Some(literal == "!~"),
            _ => operator = None,
        }
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_stands_for_exactly_one_text() {
        for regex in ["", ".*", "x", "[\\w-.]+", "é|\u{0}\"", "7a"] {
            for is_negated in [false, true] {
                assert_eq!(original(&stand_in(regex, is_negated)), regex);
            }
        }
        assert_eq!(original("plain"), "plain");
    }

    #[test]
    fn only_literals_behind_a_regex_operator_are_replaced() {
        let hidden = hide("a{x=~ \"b\",y=\"=~\",z!~'c'} =~ # =~ \"b\"\n + b{\"=~\"=\"c\"}", |text| {
            Ok(text.trim_matches(['"', '\'']).to_owned())
        });
        assert_eq!(
            hidden,
            "a{x=~ \"x62\",y=\"=~\",z!~\"x63|\"} =~ # =~ \"b\"\n + b{\"=~\"=\"c\"}"
        );
        assert_eq!(show("a{x=~\"x62\",y=\"x62\",z!~\"x63|\"}"), "a{x=~\"b\",y=\"x62\",z!~\"c\"}");
    }
}
