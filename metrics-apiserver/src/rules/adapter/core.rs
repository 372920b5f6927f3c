//! Resources that every cluster has.

use std::sync::LazyLock;

use crate::metric::{GroupResource, ResourceInfo};

/// Namespaces.
pub(super) static NAMESPACES: LazyLock<ResourceInfo> = LazyLock::new(ResourceInfo::namespaces);
/// Nodes.
pub(super) static NODES: LazyLock<ResourceInfo> = LazyLock::new(ResourceInfo::nodes);
/// Pods.
pub(super) static PODS: LazyLock<ResourceInfo> = LazyLock::new(ResourceInfo::pods);

/// Whether objects of this resource count as living outside of namespaces for a series that names them.
pub(super) fn is_root_scoped(resource: &GroupResource) -> bool {
    resource.group.is_empty() && matches!(&*resource.resource, "namespaces" | "nodes" | "persistentvolumes")
}
