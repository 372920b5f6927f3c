//! A native rule: a PromQL query into which the namespace and the selector of a request are injected.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::matcher::{Comparison, Matcher, is_label_name, only};
use super::plan::PlanError;
use super::promql::{NAMESPACE, QueryTemplate};
use crate::metric::{Namespace, Operator, Requirement, Selector};

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
    #[error("{0:?} is not a valid label name (it must not be empty, start with `__` or contain blanks)")]
    Label(String),
    /// The query reads series without a selector, so that the namespace cannot be added.
    #[error("`info` reads target_info of every namespace unless its second argument is a selector")]
    HiddenSelector {
        /// The position of the call, as a byte offset into the query.
        position: usize,
    },
}

/// The query of a native rule, and how a request is bound into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeQuery {
    namespace: NamespaceMode,
    selector: SelectorMode,
    query: QueryTemplate,
}

impl NativeQuery {
    /// A query without a vector selector, such as `vector(1)`, is allowed: it reads no series of any namespace.
    pub fn new(
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
        Ok(Self { namespace, selector, query })
    }

    /// How the namespace is bound.
    pub fn namespace(&self) -> &NamespaceMode {
        &self.namespace
    }

    /// What becomes of the selector.
    pub fn selector(&self) -> &SelectorMode {
        &self.selector
    }

    /// What to know about functions that only some backends have.
    pub fn notes(&self) -> &BTreeSet<Cow<'static, str>> {
        self.query.notes()
    }

    /// The PromQL text of a read in `namespace` with `selector`.
    pub(super) fn promql(&self, namespace: &Namespace, selector: &Selector) -> Result<String, PlanError> {
        let mut values = BTreeMap::new();
        for name in self.query.parameters() {
            values.insert(name.as_str(), parameter_value(name, selector)?);
        }
        values.insert(NAMESPACE, namespace.as_str());
        let binding = match &self.namespace {
            NamespaceMode::Label(_) if namespace.is_wildcard() => return Err(PlanError::AllNamespaces),
            NamespaceMode::Label(label) => {
                Some(Matcher::new(label, Comparison::Equal, namespace.as_str().into()))
            }
            NamespaceMode::None => None,
        };
        let mut matchers = Vec::new();
        for requirement in selector.requirements() {
            if !self.query.parameters().contains(&requirement.key) && self.injects(requirement)? {
                matchers.push(Matcher::for_requirement(requirement)?);
            }
        }
        self.query.render(binding.as_ref(), &matchers, &values)
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
