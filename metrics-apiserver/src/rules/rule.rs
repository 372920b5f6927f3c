//! A rule: how one metric is computed.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{BackendName, Policies, Question, QuestionError};
use crate::metric::{MetricName, Namespace, Selector};

/// How the request's namespace is bound into the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamespaceMode {
    /// As a matcher on this label.
    Label(String),
    /// Not at all: the metric is cluster-wide.
    None,
}

/// What becomes of the request's label selector.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SelectorMode {
    /// Every requirement becomes a matcher.
    #[default]
    Inject,
    /// It is not looked at.
    Ignore,
    /// Only these labels may be asked for; another is the client's error.
    Allow(BTreeSet<String>),
}

/// How one metric is computed.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The metric's name.
    pub name: MetricName,
    /// Whom to ask.
    pub backend: BackendName,
    /// How the namespace is bound.
    pub namespace: NamespaceMode,
    /// What becomes of the selector.
    pub selector: SelectorMode,
    /// What to answer when there is no usable number.
    pub policies: Policies,
    /// How old a reading may be that answers a read.
    pub max_age: Duration,
    // query: the parsed template
}

impl Rule {
    /// The query that answers a read of this metric in `namespace` with `selector`.
    pub fn question(&self, _namespace: &Namespace, _selector: &Selector) -> Result<Question, QuestionError> {
        Ok(Question { backend: self.backend.clone(), promql: "".into() })
    }
}
