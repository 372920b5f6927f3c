//! Adapter rules without a configuration, and the resources of a small cluster.

use std::sync::Arc;
use std::time::Duration;

use crate::metric::{GroupResource, ResourceInfo, Resources, Scope};
use crate::rules::adapter::{AdapterRule, Naming, Override, ResourceLabels, Template};
use crate::rules::{BackendName, Policies};

/// A rule for the backend `default` that takes all series of a selector, with the labels `namespace` and `pod`.
pub(crate) fn adapter_rule(series_query: &str) -> Arc<AdapterRule> {
    Arc::new(adapter_rule_with(series_query, "", "", &[("namespace", "namespace"), ("pod", "pod")]))
}

/// The same with `name.matches`, `name.as` and overrides.
pub(crate) fn adapter_rule_with(
    series_query: &str,
    matches: &str,
    name: &str,
    overrides: &[(&str, &str)],
) -> AdapterRule {
    let overrides = overrides.iter().map(|(label, resource)| Override {
        label: (*label).into(),
        resource: (*resource).into(),
        group: Arc::default(),
    });
    AdapterRule {
        series_query: series_query.into(),
        naming: Naming::parse(Vec::new(), matches, name).unwrap(),
        resources: ResourceLabels::parse(overrides.collect(), "").unwrap(),
        namespaced: true,
        query: Template::parse("sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)").unwrap(),
        backend: BackendName("default".into()),
        policies: Policies::adapter(),
        max_age: Duration::from_secs(10),
        owner: Arc::default(),
    }
}

/// A resource.
pub(crate) fn resource(name: &str, singular: &str, group: &str, scope: Scope) -> Arc<ResourceInfo> {
    Arc::new(ResourceInfo {
        resource: GroupResource { resource: name.into(), group: group.into() },
        singular: singular.into(),
        kind: singular.into(),
        version: "v1".into(),
        scope,
    })
}

/// A cluster with namespaces, nodes, pods, services and deployments.
pub(crate) fn cluster() -> Resources {
    Resources::new(vec![
        resource("namespaces", "namespace", "", Scope::Cluster),
        resource("nodes", "node", "", Scope::Cluster),
        resource("pods", "pod", "", Scope::Namespaced),
        resource("services", "service", "", Scope::Namespaced),
        resource("deployments", "deployment", "apps", Scope::Namespaced),
    ])
}
