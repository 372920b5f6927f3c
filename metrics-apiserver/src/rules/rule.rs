//! A rule: how one metric is computed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::matcher::{Comparison, Matcher, is_label_name, only};
use super::{BackendName, PlanError, Policies, Query, QueryTemplate};
use crate::metric::{MetricName, Namespace, Operator, Requirement, Selector};

/// How old a reading may be if the rule says nothing: two thirds of the HPA's beat of 15 s.
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(10);
/// Longest query that is sent, in bytes: a selector is repeated in every vector selector.
const MAX_PROMQL: usize = 256 * 1024;

/// How the request's namespace is bound into the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamespaceMode {
    /// As a matcher on this label.
    Label(String),
    /// Not at all: the metric is cluster-wide.
    None,
}

/// As a matcher on the label `namespace`.
impl Default for NamespaceMode {
    fn default() -> Self {
        Self::Label("namespace".to_owned())
    }
}

/// What becomes of the request's label selector. The labels of the query's parameters are taken in every mode.
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

/// Why a rule cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The namespace label, or one of the allowed labels.
    #[error("{0:?} is no Prometheus label name; use letters, digits and '_', and no digit in front")]
    Label(String),
    /// The query reads series by a selector that is not written in it, so that no namespace can be put there.
    #[error("`info` reads target_info of every namespace unless its second argument is a selector")]
    HiddenSelector {
        /// Where the call stands, as a byte offset into the query.
        position: usize,
    },
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
    /// Alive while a rule that asks these queries is served: memory fetches ahead for nobody else.
    pub owner: Arc<()>,
    query: QueryTemplate,
}

impl Rule {
    /// A rule with the default policies and maximal age. A query without a vector selector, such as `vector(1)`, is
    /// allowed: it reads nothing that a namespace could be asked of.
    pub fn new(
        name: MetricName,
        backend: BackendName,
        query: QueryTemplate,
        namespace: NamespaceMode,
        selector: SelectorMode,
    ) -> Result<Self, RuleError> {
        let label = match &namespace {
            NamespaceMode::Label(label) => Some(label),
            NamespaceMode::None => None,
        };
        let allowed = match &selector {
            SelectorMode::Allow(labels) => Some(labels),
            SelectorMode::Inject | SelectorMode::Ignore => None,
        };
        if let Some(bad) = label.into_iter().chain(allowed.into_iter().flatten()).find(|l| !is_label_name(l))
        {
            return Err(RuleError::Label(bad.clone()));
        }
        if let (Some(_), Some(position)) = (label, query.hidden_selector()) {
            return Err(RuleError::HiddenSelector { position });
        }
        let policies = Policies::default();
        let (max_age, owner) = (DEFAULT_MAX_AGE, Arc::default());
        Ok(Self { name, backend, namespace, selector, policies, max_age, owner, query })
    }

    /// Takes the place of `before`: the same owner, if it asks the same queries.
    pub fn replace(&mut self, before: &Self) {
        let asks_the_same = self.backend == before.backend
            && self.namespace == before.namespace
            && self.selector == before.selector
            && self.query == before.query;
        if asks_the_same {
            self.owner = Arc::clone(&before.owner);
        }
    }

    /// The query that answers a read of this metric in `namespace` with `selector`.
    pub fn query(&self, namespace: &Namespace, selector: &Selector) -> Result<Query, PlanError> {
        let mut values = BTreeMap::new();
        for name in self.query.parameters() {
            values.insert(name.clone(), parameter_value(name, selector)?.to_owned());
        }
        let mut matchers = Vec::new();
        if let NamespaceMode::Label(label) = &self.namespace {
            matchers.push(Matcher::new(label, Comparison::Equal, namespace.as_str().to_owned())?);
        }
        for requirement in selector.requirements() {
            if !values.contains_key(&requirement.key) && self.injects(requirement)? {
                matchers.push(Matcher::for_requirement(requirement)?);
            }
        }
        let promql = self.query.render(&matchers, &values)?;
        if promql.len() > MAX_PROMQL {
            return Err(PlanError::TooLong { limit: MAX_PROMQL });
        }
        Ok(Query { backend: self.backend.clone(), promql: promql.into() })
    }

    fn injects(&self, requirement: &Requirement) -> Result<bool, PlanError> {
        match &self.selector {
            SelectorMode::Inject => Ok(true),
            SelectorMode::Ignore => Ok(false),
            SelectorMode::Allow(labels) if labels.contains(&requirement.key) => Ok(true),
            SelectorMode::Allow(labels) => {
                let mut allowed: Vec<_> = labels.union(self.query.parameters()).map(String::as_str).collect();
                if allowed.is_empty() {
                    allowed.push("none");
                }
                Err(PlanError::NotAllowed { key: requirement.key.clone(), allowed: allowed.join(", ") })
            }
        }
    }
}

/// The one value that the selector gives a label; an empty one would select what lacks the label.
fn parameter_value<'a>(name: &str, selector: &'a Selector) -> Result<&'a str, PlanError> {
    let mut requirements = selector.requirements().iter().filter(|requirement| requirement.key == name);
    let value = match (requirements.next().map(|requirement| &requirement.operator), requirements.next()) {
        (Some(Operator::Equals(value)), None) => Some(value.as_str()),
        (Some(Operator::In(values)), None) => only(values),
        _ => None,
    };
    value.filter(|value| !value.is_empty()).ok_or_else(|| PlanError::Parameter { name: name.to_owned() })
}

#[cfg(test)]
mod tests;
