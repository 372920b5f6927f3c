//! Kubernetes' label selector grammar.

use std::collections::BTreeSet;

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
    /// What is asked of the label's value.
    pub operator: Operator,
}

/// What a requirement asks of a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `k=v` (also written `k==v`).
    Equals(String),
    /// `k!=v`.
    NotEquals(String),
    /// `k in (a,b)`.
    In(BTreeSet<String>),
    /// `k notin (a,b)`.
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

/// Why a text is no selector: what was wrong and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseSelectorError {}
