//! Rules without a configuration.

use crate::metric::MetricName;
use crate::rules::{BackendName, NamespaceMode, NativeQuery, QueryTemplate, Rule, SelectorMode};

/// A rule for the backend `default`, with the default modes and policies.
pub(crate) fn rule(name: &str, query: &str) -> Rule {
    rule_with(name, query, SelectorMode::default())
}

/// The same with this selector mode.
pub(crate) fn rule_with(name: &str, query: &str, selector: SelectorMode) -> Rule {
    let query = QueryTemplate::parse(query).unwrap();
    let query = NativeQuery::new(query, NamespaceMode::default(), selector).unwrap();
    Rule::native(MetricName::parse(name).unwrap(), BackendName("default".into()), query)
}
