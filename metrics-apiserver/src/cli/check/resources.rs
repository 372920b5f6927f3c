//! The resources that sample requests are about: `check` asks no cluster.

use std::sync::Arc;

use crate::metric::{GroupResource, ResourceInfo, Resources, Scope};
use crate::rules::adapter::AdapterRule;

/// Resources that metrics usually describe: the plural, the singular, the group and the scope.
const COMMON: [(&str, &str, &str, Scope); 10] = [
    ("namespaces", "namespace", "", Scope::Cluster),
    ("nodes", "node", "", Scope::Cluster),
    ("persistentvolumes", "persistentvolume", "", Scope::Cluster),
    ("pods", "pod", "", Scope::Namespaced),
    ("services", "service", "", Scope::Namespaced),
    ("deployments", "deployment", "apps", Scope::Namespaced),
    ("statefulsets", "statefulset", "apps", Scope::Namespaced),
    ("daemonsets", "daemonset", "apps", Scope::Namespaced),
    ("jobs", "job", "batch", Scope::Namespaced),
    ("ingresses", "ingress", "networking.k8s.io", Scope::Namespaced),
];

/// The common resources.
pub(super) fn common_resources() -> Resources {
    let info = |(plural, singular, group, scope)| Arc::new(info(plural, singular, group, scope));
    Resources::new(COMMON.into_iter().map(info).collect())
}

/// Namespaces.
pub(super) fn namespaces() -> ResourceInfo {
    info("namespaces", "namespace", "", Scope::Cluster)
}

/// The resource of a rule's sample request: the first one that is no namespace, or else the namespace. The name of a
/// resource that is not common is taken as it is written.
pub(super) fn described(rule: &AdapterRule, resources: &Resources) -> ResourceInfo {
    let overrides = rule.resources.overrides();
    let found = overrides.iter().map(|known| {
        let common = resources.resolve(&known.resource, Some(&known.group));
        common.map_or_else(
            || {
                let name = known.resource.to_lowercase();
                info(&name, &name, &known.group, Scope::Namespaced)
            },
            |info| ResourceInfo::clone(info),
        )
    });
    let mut found = found.filter(|info| info.resource != namespaces().resource);
    found.next().unwrap_or_else(|| match overrides {
        [] => info("pods", "pod", "", Scope::Namespaced),
        _ => namespaces(),
    })
}

fn info(resource: &str, singular: &str, group: &str, scope: Scope) -> ResourceInfo {
    ResourceInfo {
        resource: GroupResource { resource: resource.into(), group: group.into() },
        singular: singular.into(),
        kind: singular.into(),
        version: "v1".into(),
        scope,
    }
}
