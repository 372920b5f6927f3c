//! Kubernetes objects that a metric can describe.

use std::fmt;
use std::sync::Arc;

use super::name::Namespace;

/// A resource and its API group, such as `pods` or `deployments` of `apps`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupResource {
    /// The plural name.
    pub resource: Arc<str>,
    /// The API group; empty for the core group.
    pub group: Arc<str>,
}

/// As paths name it: `pods`, `deployments.apps`.
impl fmt::Display for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, group } = self;
        if group.is_empty() { write!(f, "{resource}") } else { write!(f, "{resource}.{group}") }
    }
}

/// What the cluster says of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResourceInfo {
    /// Its name and group.
    pub resource: GroupResource,
    /// The singular name, in lower case.
    pub singular: Arc<str>,
    /// The kind of its objects, such as `Pod`.
    pub kind: Arc<str>,
    /// The version of the group that the cluster prefers.
    pub version: Arc<str>,
    /// Whether its objects live in namespaces.
    pub scope: Scope,
}

/// Resources that every cluster has.
impl ResourceInfo {
    /// Namespaces.
    pub fn namespaces() -> Self {
        Self::core("namespaces", "namespace", "Namespace", Scope::Cluster)
    }

    /// Nodes.
    pub fn nodes() -> Self {
        Self::core("nodes", "node", "Node", Scope::Cluster)
    }

    /// Pods.
    pub fn pods() -> Self {
        Self::core("pods", "pod", "Pod", Scope::Namespaced)
    }

    fn core(resource: &str, singular: &str, kind: &str, scope: Scope) -> Self {
        let resource = GroupResource { resource: resource.into(), group: Arc::default() };
        Self { resource, singular: singular.into(), kind: kind.into(), version: "v1".into(), scope }
    }
}

/// Whether objects of a resource live in namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Each in a namespace.
    Namespaced,
    /// In the cluster, outside of namespaces.
    Cluster,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectRef {
    /// Its resource.
    pub resource: GroupResource,
    /// Its namespace; none for a cluster-scoped object.
    pub namespace: Option<Namespace>,
    /// Its name.
    pub name: Arc<str>,
}
