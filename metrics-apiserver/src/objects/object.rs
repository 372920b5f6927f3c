//! Objects, and which of them are wanted.

use std::sync::Arc;

use crate::metric::{Labels, Namespace, ResourceInfo, Scope, Selector};

/// The metadata of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its namespace; none for a cluster-scoped object.
    pub namespace: Option<Namespace>,
    /// Its name.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: Labels,
}

/// Which objects of a resource are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Selection {
    /// The resource.
    pub resource: Arc<ResourceInfo>,
    /// The namespace; none for cluster-scoped objects, and for the objects of all namespaces.
    pub namespace: Option<Namespace>,
    /// Which labels they have.
    pub selector: Selector,
    /// Whether only pods in the phase `Running` are wanted; only pods have a phase.
    pub running: bool,
}

impl Selection {
    /// The objects of this resource, of one namespace or of all.
    pub fn new(resource: Arc<ResourceInfo>, namespace: Option<Namespace>, selector: Selector) -> Self {
        Self { resource, namespace, selector, running: false }
    }

    /// The pods that run, of one namespace or of all.
    pub fn running_pods(namespace: Option<Namespace>, selector: Selector) -> Self {
        Self { running: true, ..Self::new(Arc::new(ResourceInfo::pods()), namespace, selector) }
    }

    /// The nodes.
    pub fn nodes(selector: Selector) -> Self {
        Self::new(Arc::new(ResourceInfo::nodes()), None, selector)
    }

    /// The namespace that objects must be in, if any.
    pub(super) fn in_namespace(&self) -> Option<&Namespace> {
        self.namespace.as_ref().filter(|_| self.resource.scope == Scope::Namespaced)
    }
}
