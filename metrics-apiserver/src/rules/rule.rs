//! A rule: how one metric is computed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::matcher::{Comparison, Matcher, is_label_name, only};
use super::plan::{BackendName, Pick, Plan, PlanError, Query};
use super::policy::Policies;
use super::promql::QueryTemplate;
use crate::metric::{MetricId, MetricName, Namespace, Operator, Requirement, Selector};

/// How old a reading may be by default: two thirds of the HPA's interval of 15 s.
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(10);
/// Longest query that is sent, in bytes: the matchers are repeated in every vector selector.
const MAX_PROMQL: usize = 256 * 1024;

/// How the request's namespace is bound into the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamespaceMode {
    /// By a matcher on this label.
    Label(String),
    /// Not at all: the metric is the same for all namespaces.
    None,
}

/// By a matcher on the label `namespace`.
impl Default for NamespaceMode {
    fn default() -> Self {
        Self::Label("namespace".to_owned())
    }
}

/// What becomes of the request's label selector. Parameters of the query take their values from it in every mode.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SelectorMode {
    /// Every requirement becomes a matcher.
    #[default]
    Inject,
    /// The selector is ignored.
    Ignore,
    /// Only these labels may be selected; any other is the client's error.
    Allow(BTreeSet<String>),
}

/// Why a rule cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The namespace label, or one of the allowed labels.
    #[error("{0:?} is not a valid label name (letters, digits, _; must not start with a digit)")]
    Label(String),
    /// The query reads series without a selector, so that the namespace cannot be added.
    #[error("`info` reads target_info of every namespace unless its second argument is a selector")]
    HiddenSelector {
        /// The position of the call, as a byte offset into the query.
        position: usize,
    },
}

/// How one metric is computed.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The metric's name.
    pub name: MetricName,
    /// Where its queries are sent.
    pub backend: BackendName,
    /// How the namespace is bound.
    pub namespace: NamespaceMode,
    /// What becomes of the selector.
    pub selector: SelectorMode,
    /// What to answer when a query returns no usable number.
    pub policies: Policies,
    /// The greatest age of a reading that answers a read.
    pub max_age: Duration,
    /// Alive while a rule with these queries is served: the cache prefetches for nobody else.
    pub owner: Arc<()>,
    query: QueryTemplate,
}

impl Rule {
    /// A rule with the default policies and `maxAge`. A query without a vector selector, such as `vector(1)`, is
    /// allowed: it reads no series of any namespace.
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

    /// What it serves.
    pub fn id(&self) -> MetricId {
        MetricId::external(&self.name)
    }

    /// Takes the place of `before`, and keeps its owner if both make the same queries.
    pub fn replace(&mut self, before: &Self) {
        let makes_the_same = self.backend == before.backend
            && self.namespace == before.namespace
            && self.selector == before.selector
            && self.query == before.query;
        if makes_the_same {
            self.owner = Arc::clone(&before.owner);
        }
    }

    /// How a read of this metric in `namespace` with `selector` is answered.
    pub fn plan(&self, namespace: &Namespace, selector: &Selector) -> Result<Plan, PlanError> {
        Ok(Plan { queries: vec![self.query(namespace, selector)?], pick: Pick::All })
    }

    fn query(&self, namespace: &Namespace, selector: &Selector) -> Result<Query, PlanError> {
        let mut values = BTreeMap::new();
        for name in self.query.parameters() {
            values.insert(name.clone(), parameter_value(name, selector)?.to_owned());
        }
        let mut matchers = Vec::new();
        if let NamespaceMode::Label(label) = &self.namespace {
            matchers.push(Matcher::new(label, Comparison::Equal, namespace.as_str().into())?);
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

/// The only value that the selector allows for a label. An empty value selects series without the label, so it is
/// refused.
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
