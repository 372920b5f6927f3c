//! Label selectors of Kubernetes.

pub(super) mod parse;

use std::collections::BTreeSet;
use std::fmt;

use super::labels::Labels;

/// A conjunction of requirements, sorted by key; empty selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

/// One requirement on one label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// The label's key, a Kubernetes qualified name.
    pub key: String,
    /// The condition on the label's value.
    pub operator: Operator,
}

/// The condition of a requirement.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `k=v` (also written `k==v`).
    Equals(String),
    /// `k!=v`.
    NotEquals(String),
    /// `k in (a,b)`; never empty.
    In(BTreeSet<String>),
    /// `k notin (a,b)`; never empty.
    NotIn(BTreeSet<String>),
    /// `k`.
    Exists,
    /// `!k`.
    DoesNotExist,
    /// `k>1`.
    GreaterThan(i64),
    /// `k<1`.
    LessThan(i64),
}

impl Selector {
    /// The requirements, sorted by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether an object with these labels is selected. As in apimachinery, `!=` and `notin` also select objects
    /// without the label, and a value that is not an integer is neither above nor below a bound.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|requirement| requirement.operator.matches(labels.get(&requirement.key)))
    }
}

impl Operator {
    fn matches(&self, value: Option<&str>) -> bool {
        let number = || value?.parse::<i64>().ok();
        match self {
            Self::Equals(wanted) => value == Some(wanted),
            Self::NotEquals(other) => value != Some(other),
            Self::In(wanted) => value.is_some_and(|value| wanted.contains(value)),
            Self::NotIn(others) => value.is_none_or(|value| !others.contains(value)),
            Self::Exists => value.is_some(),
            Self::DoesNotExist => value.is_none(),
            Self::GreaterThan(bound) => number().is_some_and(|number| number > *bound),
            Self::LessThan(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

/// As client-go prints a selector: requirements sorted by key, `k=v`, `k in (a,b)` with sorted values.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator}{requirement}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.operator {
            Operator::Equals(value) => write!(f, "{key}={value}"),
            Operator::NotEquals(value) => write!(f, "{key}!={value}"),
            Operator::In(values) => write!(f, "{key} in ({})", joined(values)),
            Operator::NotIn(values) => write!(f, "{key} notin ({})", joined(values)),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan(bound) => write!(f, "{key}>{bound}"),
            Operator::LessThan(bound) => write!(f, "{key}<{bound}"),
        }
    }
}

fn joined(values: &BTreeSet<String>) -> String {
    values.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
