//! What a rule serves: a metric of one of the APIs.

use super::name::{FoldedName, MetricName};
use super::object::{GroupResource, Scope};

/// The identity of a metric. Case is folded for external names only: the names of custom metrics travel in a path
/// segment that client-go sends as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetricId {
    /// A metric of `external.metrics.k8s.io`.
    External(FoldedName),
    /// A metric of `custom.metrics.k8s.io`: it describes objects of one resource.
    Custom {
        /// The resource of the objects.
        resource: GroupResource,
        /// Whether the objects live in namespaces.
        scope: Scope,
        /// The metric's name.
        name: MetricName,
    },
}

impl MetricId {
    /// The external metric of this name.
    pub fn external(name: &MetricName) -> Self {
        Self::External(name.folded())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn name(text: &str) -> MetricName {
        MetricName::parse(text).unwrap()
    }

    fn external(metric: &str) -> MetricId {
        MetricId::external(&name(metric))
    }

    fn custom(resource: &str, group: &str, scope: Scope, metric: &str) -> MetricId {
        let resource = GroupResource { resource: resource.into(), group: group.into() };
        MetricId::Custom { resource, scope, name: name(metric) }
    }

    #[test]
    fn case_is_folded_for_external_metrics_only() {
        assert_eq!(external("Queue"), external("queue"));
        assert_ne!(
            custom("pods", "", Scope::Namespaced, "Queue"),
            custom("pods", "", Scope::Namespaced, "queue")
        );
    }

    #[test]
    fn metrics_of_other_resources_scopes_and_apis_are_other_metrics() {
        let ids = [
            external("m"),
            custom("pods", "", Scope::Namespaced, "m"),
            custom("pods", "", Scope::Cluster, "m"),
            custom("deployments", "apps", Scope::Namespaced, "m"),
            custom("deployments", "", Scope::Namespaced, "m"),
        ];
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    }
}
