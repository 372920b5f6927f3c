//! Names of metrics and namespaces.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Longest metric name, in bytes. Longer than any name in use, short enough to repeat in an error message.
const MAX_METRIC_NAME: usize = 512;
/// Longest DNS-1123 label, in bytes (RFC 1123).
const MAX_DNS_LABEL: usize = 63;

/// The name of an external metric, as the operator wrote it; equal without regard to case.
///
/// client-go lower-cases the resource segment of a path and the metric's name travels there, so names that differ
/// only by case are one name (contract §4.1).
#[derive(Debug, Clone)]
pub struct MetricName {
    written: Arc<str>,
    folded: Arc<str>,
}

/// The namespace a request is authorized for, which every query is bound to: a DNS-1123 label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Namespace(Arc<str>);

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseNameError {
    /// No text at all.
    #[error("the metric name is empty")]
    Empty,
    /// More than `MAX_METRIC_NAME` bytes.
    #[error("the metric name has {0} bytes, at most {MAX_METRIC_NAME} are allowed")]
    TooLong(usize),
    /// A character that cannot travel in a path segment.
    #[error(
        "the metric name {name:?} contains {character:?}, which Kubernetes does not allow in a metric name"
    )]
    Character {
        /// The text.
        name: String,
        /// The character that is not allowed.
        character: char,
    },
    /// `.` or `..`, which a path would swallow.
    #[error("{0:?} is no metric name: a path segment cannot be \".\" or \"..\"")]
    Dots(String),
    /// Not a DNS-1123 label.
    #[error(
        "{0:?} is no namespace: it needs 1 to {MAX_DNS_LABEL} lower-case letters, digits and '-', \
         with a letter or digit at both ends"
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
        let folded: String = text.chars().map(fold).collect();
        Ok(Self { written: text.into(), folded: folded.into() })
    }

    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }
}

/// Go's `unicode.ToLower`: one character for one, where Rust knows one exception that becomes two.
fn fold(character: char) -> char {
    if character == '\u{130}' { 'i' } else { character.to_lowercase().next().unwrap_or(character) }
}

impl fmt::Display for MetricName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl PartialEq for MetricName {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}

impl Eq for MetricName {}

impl Hash for MetricName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded.hash(state);
    }
}

impl PartialOrd for MetricName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for MetricName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded.cmp(&other.folded)
    }
}

impl Namespace {
    /// Takes a decoded path segment.
    pub fn parse(text: &str) -> Result<Self, ParseNameError> {
        let bytes = text.as_bytes();
        let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        let edge = |b: Option<&u8>| b.is_some_and(|b| *b != b'-');
        let valid = bytes.len() <= MAX_DNS_LABEL
            && bytes.iter().all(inner)
            && edge(bytes.first())
            && edge(bytes.last());
        if valid { Ok(Self(text.into())) } else { Err(ParseNameError::Namespace(text.to_owned())) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
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

    #[test]
    fn names_that_differ_by_case_are_one_name() {
        assert_eq!(name("Queue_Depth"), name("queue_depth"));
        assert_eq!(HashSet::from([name("A"), name("a")]).len(), 1);
        assert_eq!(BTreeSet::from([name("A"), name("a"), name("b")]).len(), 2);
        assert_eq!(name("Queue_Depth").to_string(), "Queue_Depth");
        assert_ne!(name("a"), name("b"));
    }

    #[test]
    fn case_is_folded_character_by_character_as_go_does() {
        assert_eq!(name("\u{130}"), name("i"));
        assert_eq!(name("ΟΔΟΣ"), name("οδοσ"));
        assert_eq!(name("ÄÖÜ"), name("äöü"));
    }

    #[test]
    fn the_hpa_s_rules_hold_for_metric_names() {
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
    fn a_namespace_is_a_dns_label() {
        for good in ["a", "0", "kube-system", "a".repeat(63).as_str()] {
            assert_eq!(Namespace::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "a\"b", "é", "a\n", "a".repeat(64).as_str()] {
            assert!(Namespace::parse(bad).is_err(), "{bad}");
        }
    }
}
