//! The cluster's resources and objects, as far as metrics describe them.
//!
//! Resources come from discovery, which is repeated in the background. Objects are watched from the first read that
//! wants them, by their metadata alone. Until a watch is in sync, and where it is forbidden, a read lists them.

mod backoff;
mod cluster;
mod discovery;
mod error;
mod key;
mod list;
mod live;
mod metrics;
mod object;
mod options;
mod request;
mod resources;
mod split;
mod store;
mod watched;
mod watcher;
mod wire;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use kube::Client;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::metric::{ResourceInfo, Resources};
use cluster::Cluster;
use resources::Table;

pub use error::ObjectsError;
pub use object::{Object, Selection};
pub use options::Options;
pub use resources::KnownResources;

/// What the cluster has.
pub struct Objects {
    source: Source,
}

enum Source {
    Fixed { table: Table, objects: HashMap<Arc<ResourceInfo>, Vec<Arc<Object>>> },
    Cluster(Box<Cluster>),
}

impl Objects {
    /// The cluster of this client; registers the metrics of the room. Nothing is known until [`run`](Self::run) runs.
    pub fn of_cluster(client: Client, options: Options, registry: &mut Registry) -> Self {
        Self { source: Source::Cluster(Box::new(Cluster::new(client, options, registry))) }
    }

    /// A cluster with these objects, which never change. All of its pods run.
    pub fn fixed(resources: Resources, objects: HashMap<Arc<ResourceInfo>, Vec<Arc<Object>>>) -> Self {
        let known = KnownResources { generation: 1, resources: Arc::new(resources) };
        Self { source: Source::Fixed { table: Table::new(known), objects } }
    }

    /// Follows the cluster until dropped. Returns at once if it never changes.
    pub async fn run(self: Arc<Self>) {
        if let Source::Cluster(cluster) = &self.source {
            cluster.run().await;
        }
    }

    /// The resources that the cluster has as far as is known now; empty while they are not known yet.
    pub fn resources(&self) -> Arc<Resources> {
        Arc::clone(&self.table().known.borrow().resources)
    }

    /// Whether the resources are known. Before the first discovery they are not.
    pub fn are_resources_known(&self) -> bool {
        self.table().known.borrow().generation > 0
    }

    /// The resources and their changes.
    pub fn changes(&self) -> watch::Receiver<KnownResources> {
        self.table().known.subscribe()
    }

    /// The cluster has these resources from now on.
    #[cfg(test)]
    pub(crate) fn set_resources(&self, resources: Resources) {
        self.table().known.send_modify(|known| {
            known.generation += 1;
            known.resources = Arc::new(resources);
        });
    }

    /// Notes that a name could not be resolved: discovery is repeated soon, in case the resource is new.
    pub fn unresolved(&self) {
        self.table().unresolved.notify_one();
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
        let objects = match &self.source {
            Source::Cluster(cluster) => return cluster.select(selection, deadline).await,
            Source::Fixed { objects, .. } => objects,
        };
        let is_selected =
            |object: &&Arc<Object>| selection.namespace.is_none() || object.namespace == selection.namespace;
        let objects = objects.get(&selection.resource).into_iter().flatten();
        Ok(objects.filter(is_selected).filter(|o| selection.selector.matches(&o.labels)).cloned().collect())
    }

    fn table(&self) -> &Table {
        match &self.source {
            Source::Fixed { table, .. } => table,
            Source::Cluster(cluster) => &cluster.table,
        }
    }
}

impl Default for Objects {
    fn default() -> Self {
        Self::fixed(Resources::default(), HashMap::new())
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("known", &*self.table().known.borrow()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
