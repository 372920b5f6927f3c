//! Resources that every cluster has.

use std::sync::{Arc, LazyLock};

use crate::metric::{GroupResource, ResourceInfo, Scope};

/// Namespaces.
pub(super) static NAMESPACES: LazyLock<ResourceInfo> =
    LazyLock::new(|| core("namespaces", "namespace", "Namespace", Scope::Cluster));
/// Nodes.
pub(super) static NODES: LazyLock<ResourceInfo> =
    LazyLock::new(|| core("nodes", "node", "Node", Scope::Cluster));
/// Pods.
pub(super) static PODS: LazyLock<ResourceInfo> =
    LazyLock::new(|| core("pods", "pod", "Pod", Scope::Namespaced));

fn core(resource: &str, singular: &str, kind: &str, scope: Scope) -> ResourceInfo {
    ResourceInfo {
        resource: GroupResource { resource: resource.into(), group: Arc::default() },
        singular: singular.into(),
        kind: kind.into(),
        version: "v1".into(),
        scope,
    }
}

/// Whether objects of this resource count as living outside of namespaces for a series that names them.
pub(super) fn is_root_scoped(resource: &GroupResource) -> bool {
    resource.group.is_empty() && matches!(&*resource.resource, "namespaces" | "nodes" | "persistentvolumes")
}
