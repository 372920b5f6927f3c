//! Label matchers: made from the requirements of a selector, written as PromQL.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write;

use super::plan::PlanError;
use crate::metric::{Operator, Requirement};

/// The bytes of a string literal besides its text.
pub(super) const QUOTES: usize = 2;

/// One matcher of a vector selector.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Matcher<'a> {
    pub(super) label: Cow<'a, str>,
    pub(super) operator: Comparison,
    /// The plain value; for the two regex operators the regular expression.
    pub(super) value: Cow<'a, str>,
}

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

impl Comparison {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

impl<'a> Matcher<'a> {
    /// A matcher on a label.
    pub(super) fn new(label: &'a str, operator: Comparison, value: Cow<'a, str>) -> Self {
        Self { label: label.into(), operator, value }
    }

    /// The matcher that selects the same series as a requirement.
    pub(super) fn for_requirement(requirement: &'a Requirement) -> Result<Self, PlanError> {
        let key = requirement.key.as_str();
        let (operator, value) = match &requirement.operator {
            Operator::Equals(value) => (Comparison::Equal, value.into()),
            Operator::NotEquals(value) => (Comparison::NotEqual, value.into()),
            Operator::In(values) => match only(values) {
                Some(value) => (Comparison::Equal, value.into()),
                None => (Comparison::Regex, alternatives(values).into()),
            },
            Operator::NotIn(values) => (Comparison::NotRegex, alternatives(values).into()),
            Operator::Exists => (Comparison::NotEqual, "".into()),
            Operator::DoesNotExist => (Comparison::Equal, "".into()),
            Operator::GreaterThan(_) | Operator::LessThan(_) => {
                return Err(PlanError::Comparison { key: key.to_owned() });
            }
        };
        Ok(Self::new(key, operator, value))
    }

    /// The length of the matcher in PromQL, with a comma, if nothing in its value is escaped.
    pub(super) fn bytes(&self) -> usize {
        self.label.len() + QUOTES + 2 + self.value.len() + QUOTES + 1
    }

    /// Writes the matcher as PromQL.
    pub(super) fn write(&self, out: &mut String) {
        if is_plain_name(&self.label) {
            out.push_str(&self.label);
        } else {
            // Prometheus 3 reads a quoted name.
            write_quoted(&self.label, out);
        }
        out.push_str(self.operator.as_str());
        write_quoted(&self.value, out);
    }
}

/// Whether PromQL can write this label name without quotes.
fn is_plain_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether a rule can restrict requests to a label of this name. Prometheus 3 takes any text; those with `__` are its
/// own, such as the name of the metric, and one with a blank is a mistake.
pub fn is_label_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with("__")
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == char::REPLACEMENT_CHARACTER)
}

/// The value of a set that has exactly one.
pub(super) fn only(values: &BTreeSet<String>) -> Option<&str> {
    match values.len() {
        1 => values.first().map(String::as_str),
        _ => None,
    }
}

/// A regular expression that matches exactly these values; Prometheus anchors it.
fn alternatives(values: &BTreeSet<String>) -> String {
    let mut regex = String::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            regex.push('|');
        }
        write_literal_regex(value, &mut regex);
    }
    regex
}

/// Writes a regular expression that matches exactly this text, as Go's `regexp.QuoteMeta`.
pub(super) fn write_literal_regex(text: &str, out: &mut String) {
    for character in text.chars() {
        if matches!(
            character,
            '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$'
        ) {
            out.push('\\');
        }
        out.push(character);
    }
}

/// Writes a string literal.
pub(super) fn write_quoted(value: &str, out: &mut String) {
    out.push('"');
    write_escaped(value, out);
    out.push('"');
}

/// Writes a part of a string literal. Quotes, backslashes and control characters are escaped.
pub(super) fn write_escaped(value: &str, out: &mut String) {
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            // Prometheus reads this character as a decoding error.
            '\u{fffd}' => out.push_str("\\ufffd"),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}
