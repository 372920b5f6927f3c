//! Rules without a configuration.

use crate::metric::MetricName;
use crate::rules::{BackendName, NamespaceMode, QueryTemplate, Rule, SelectorMode};

/// A rule for the backend `default`, with the default modes and policies.
pub(crate) fn rule(name: &str, query: &str) -> Rule {
    Rule::new(
        MetricName::parse(name).unwrap(),
        BackendName("default".into()),
        QueryTemplate::parse(query).unwrap(),
        NamespaceMode::default(),
        SelectorMode::default(),
    )
    .unwrap()
}
