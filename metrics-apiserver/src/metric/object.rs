//! Kubernetes objects that a metric can describe.

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
