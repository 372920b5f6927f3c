//! Names of metrics and namespaces.

use std::fmt;
use std::sync::Arc;

/// Longest metric name, in bytes. Longer than any name in use, short enough to repeat in an error message.
const MAX_METRIC_NAME: usize = 512;
/// Longest DNS-1123 label, in bytes (RFC 1123).
const MAX_DNS_LABEL: usize = 63;
/// What clients of prometheus-adapter write for a metric that belongs to no namespace.
const NO_NAMESPACE: &str = "*";

/// The name of a metric as it was written; case counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricName(Arc<str>);

/// A metric name without regard to case.
///
/// client-go lower-cases the resource segment of a path. External metric names travel in that segment, so external
/// names that differ only by case are the same name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FoldedName(Arc<str>);

/// The namespace a request is authorized for, which every query is bound to: a DNS-1123 label, or `*` as a client wrote
/// it. No namespace has that name, so a query that is bound to it finds nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(Arc<str>);

/// Why a text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseNameError {
    /// Empty.
    #[error("the metric name is empty")]
    Empty,
    /// More than `MAX_METRIC_NAME` bytes.
    #[error("the metric name has {0} bytes; at most {MAX_METRIC_NAME} are allowed")]
    TooLong(usize),
    /// A character that a path segment cannot carry.
    #[error("{name:?} is not a valid metric name: it must not contain {character:?}")]
    Character {
        /// The text.
        name: String,
        /// The character that is not allowed.
        character: char,
    },
    /// `.` or `..`, which clients and proxies remove from a path.
    #[error("{0:?} is not a valid metric name: it must not be \".\" or \"..\"")]
    Dots(String),
    /// Neither a DNS-1123 label nor `*`.
    #[error(
        "{0:?} is not a valid namespace (1 to {MAX_DNS_LABEL} lower-case letters, digits or '-'; \
         must start and end with a letter or digit)"
    )]
    Namespace(String),
}

impl MetricName {
    /// Takes a decoded path segment or a name from the configuration, by the rules of the HPA's validation.
    pub fn parse(text: &str) -> Result<Self, ParseNameError> {
        match text {
            "" => return Err(ParseNameError::Empty),
            "." | ".." => return Err(ParseNameError::Dots(text.to_owned())),
            _ if text.len() > MAX_METRIC_NAME => return Err(ParseNameError::TooLong(text.len())),
            _ => {}
        }
        if let Some(character) = text.chars().find(|c| matches!(c, '/' | '%')) {
            return Err(ParseNameError::Character { name: text.to_owned(), character });
        }
        Ok(Self(text.into()))
    }

    /// A name of our own, which is known to be valid.
    pub(crate) fn from_static(name: &'static str) -> Self {
        debug_assert!(Self::parse(name).is_ok(), "{name:?}");
        Self(name.into())
    }

    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without regard to case.
    pub fn folded(&self) -> FoldedName {
        let is_folded = self.0.chars().all(|character| fold(character) == character);
        FoldedName(if is_folded {
            Arc::clone(&self.0)
        } else {
            self.0.chars().map(fold).collect::<String>().into()
        })
    }
}

impl FoldedName {
    /// The name in lower case, as client-go sends it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MetricName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Go's `unicode.ToLower`, one character for one; Rust expands U+0130 to two.
fn fold(character: char) -> char {
    if character == '\u{130}' { 'i' } else { character.to_lowercase().next().unwrap_or(character) }
}

impl Namespace {
    /// Takes a decoded path segment.
    pub fn parse(text: &str) -> Result<Self, ParseNameError> {
        let valid = text.len() <= MAX_DNS_LABEL && is_dns_label(text);
        if valid || text == NO_NAMESPACE {
            Ok(Self(text.into()))
        } else {
            Err(ParseNameError::Namespace(text.to_owned()))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `*`, which no namespace is called.
    pub fn is_wildcard(&self) -> bool {
        self.as_str() == NO_NAMESPACE
    }
}

/// Lower-case letters, digits and `-`, with a letter or digit at both ends; of any length.
pub(super) fn is_dns_label(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(edge) && text.ends_with(edge) && text.chars().all(|c| edge(c) || c == '-')
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;

    fn name(text: &str) -> MetricName {
        MetricName::parse(text).unwrap()
    }

    fn folded(text: &str) -> FoldedName {
        name(text).folded()
    }

    #[test]
    fn folded_names_that_differ_only_by_case_are_equal() {
        assert_eq!(folded("Queue_Depth"), folded("queue_depth"));
        assert_eq!(HashSet::from([folded("A"), folded("a")]).len(), 1);
        assert_eq!(BTreeSet::from([folded("A"), folded("a"), folded("b")]).len(), 2);
        assert_eq!(name("Queue_Depth").to_string(), "Queue_Depth");
        assert_ne!(folded("a"), folded("b"));
    }

    #[test]
    fn metric_names_that_differ_only_by_case_are_not_equal() {
        assert_ne!(name("Queue_Depth"), name("queue_depth"));
        assert_eq!(HashSet::from([name("A"), name("a")]).len(), 2);
    }

    #[test]
    fn case_is_folded_character_by_character_as_go_does() {
        assert_eq!(folded("\u{130}"), folded("i"));
        assert_eq!(folded("ΟΔΟΣ"), folded("οδοσ"));
        assert_eq!(folded("ÄÖÜ"), folded("äöü"));
    }

    #[test]
    fn metric_names_follow_the_validation_of_an_hpa() {
        for good in ["a:b", "*", "a b", "#?", "...", "é", "a.b"] {
            assert!(MetricName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "100%", "a".repeat(MAX_METRIC_NAME + 1).as_str()] {
            assert!(MetricName::parse(bad).is_err(), "{bad}");
        }
        let error = MetricName::parse("a/b").unwrap_err().to_string();
        assert!(error.contains("\"a/b\"") && error.contains("'/'"), "{error}");
    }

    #[test]
    fn a_namespace_is_a_dns_label_or_an_asterisk() {
        for good in ["a", "0", "kube-system", "*", "a".repeat(63).as_str()] {
            assert_eq!(Namespace::parse(good).unwrap().as_str(), good);
        }
        for bad in
            ["", "**", "a*", "-a", "a-", "A", "a.b", "a_b", "a\"b", "é", "a\n", "a".repeat(64).as_str()]
        {
            assert!(Namespace::parse(bad).is_err(), "{bad}");
        }
    }
}
