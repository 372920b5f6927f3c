//! The cluster's resources and objects, as far as metrics describe them.

mod error;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::metric::{GroupResource, Labels, Namespace, ResourceInfo, Resources, Scope, Selector};

pub use error::ObjectsError;

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The resource.
    pub resource: Arc<ResourceInfo>,
    /// The namespace; none for cluster-scoped objects, and for the objects of all namespaces.
    pub namespace: Option<Namespace>,
    /// Which labels they have.
    pub selector: Selector,
}

impl Selection {
    /// Running pods, of one namespace or of all.
    pub fn running_pods(namespace: Option<Namespace>, selector: Selector) -> Self {
        Self { resource: core("pods", "pod", "Pod", Scope::Namespaced), namespace, selector }
    }

    /// Nodes.
    pub fn nodes(selector: Selector) -> Self {
        Self { resource: core("nodes", "node", "Node", Scope::Cluster), namespace: None, selector }
    }
}

/// A resource that every cluster has.
fn core(resource: &str, singular: &str, kind: &str, scope: Scope) -> Arc<ResourceInfo> {
    let resource = GroupResource { resource: resource.into(), group: Arc::default() };
    let (singular, kind, version) = (singular.into(), kind.into(), "v1".into());
    Arc::new(ResourceInfo { resource, singular, kind, version, scope })
}

/// What the cluster has.
#[derive(Debug, Default)]
pub struct Objects {
    resources: Arc<Resources>,
    objects: HashMap<Arc<ResourceInfo>, Vec<Arc<Object>>>,
}

impl Objects {
    /// A cluster with these objects, which never change.
    pub fn fixed(resources: Resources, objects: HashMap<Arc<ResourceInfo>, Vec<Arc<Object>>>) -> Self {
        Self { resources: Arc::new(resources), objects }
    }

    /// The resources that the cluster knows now.
    pub fn resources(&self) -> Arc<Resources> {
        Arc::clone(&self.resources)
    }

    /// The selected objects, sorted by namespace and name, by `deadline`.
    pub async fn select(
        &self,
        selection: &Selection,
        deadline: Instant,
    ) -> Result<Vec<Arc<Object>>, ObjectsError> {
        if deadline <= Instant::now() {
            return Err(ObjectsError::Deadline { resource: selection.resource.resource.clone() });
        }
        let is_selected =
            |object: &&Arc<Object>| selection.namespace.is_none() || object.namespace == selection.namespace;
        let objects = self.objects.get(&selection.resource).into_iter().flatten();
        Ok(objects.filter(is_selected).filter(|o| selection.selector.matches(&o.labels)).cloned().collect())
    }
}
