//! A node that runs the pods bound to it as local processes, and the scheduler that binds them.
//!
//! One image is one local program; a pod's containers share a loopback address of the pod's own. Real are: arguments
//! and environment from the pod's spec, volumes, users and groups, probes, init containers, restarts with a back-off,
//! SIGTERM and the grace period, status. The containers of a pod with volumes have a mount namespace with little but
//! the volumes and the program (`sandbox`); those of a pod without volumes run as any process.
//!
//! There is no network namespace: all pods share the loopback interface, so that a program listens on its pod's address
//! only if it is told to ([`Image::listen`]). Services are loopback addresses, too, where the node forwards connections
//! to ready pods (`proxy`). Names of Services are in each pod's `/etc/hosts`.

mod address;
mod container;
mod env;
mod expand;
mod image;
mod objects;
mod plan;
mod pod;
mod pod_files;
mod probe;
mod proxy;
mod registration;
mod runner;
mod sandbox;
mod scheduler;
mod services;
mod slices;
mod status;
mod volume;

pub use image::{Image, Images};

use crate::Cluster;
use address::Addresses;
use anyhow::{Context, Result, anyhow};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use objects::{Changes, Kind};
use sandbox::Namespaces;
use services::Names;
use std::{
    io::Write as _,
    net::{Ipv4Addr, SocketAddrV4},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{
    sync::{OnceCell, watch},
    task::JoinSet,
};

/// Makes namespaces; of util-linux.
const UNSHARE: &str = "/usr/bin/unshare";

/// How a node is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name of the Node object.
    pub name: String,
    /// What the node can run; pods with any other image stay unscheduled.
    pub images: Images,
    /// An existing folder; each container gets a log file of its own there.
    pub logs: PathBuf,
}

/// A node at work. Dropped, it kills its processes; [`Node::shutdown`] ends them with their grace.
pub struct Node {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<Result<()>>,
}

/// What all parts of a node know.
struct Shared {
    client: kube::Client,
    name: String,
    images: Images,
    logs: PathBuf,
    /// For the pods' volumes and roots.
    state: PathBuf,
    addresses: Addresses,
    apiserver: SocketAddrV4,
    /// Found when the first pod needs them.
    namespaces: OnceCell<Result<Namespaces, String>>,
    changes: Changes,
    /// The Services' names; each change of them reaches the pods.
    names: watch::Sender<Names>,
    /// Counts up when all tokens are to be replaced.
    rotation: watch::Sender<u64>,
}

impl Node {
    /// Registers the Node object, then schedules and runs pods until it is shut down.
    pub async fn start(cluster: &Cluster, options: Options) -> Result<Self> {
        let Options { name, images, logs } = options;
        let shared = Arc::new(Shared {
            client: cluster.client().await?,
            state: cluster.dir().subdir(&format!("node-{name}"))?,
            addresses: Addresses::reserve()?,
            apiserver: cluster.address(),
            namespaces: OnceCell::new(),
            changes: Changes::default(),
            names: watch::Sender::default(),
            rotation: watch::Sender::default(),
            name,
            images,
            logs,
        });
        registration::register(&shared).await?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let node = || Arc::clone(&shared);
        tasks.spawn(registration::keep_alive(node(), stopped.clone()));
        tasks.spawn(scheduler::run(node(), stopped.clone()));
        tasks.spawn(objects::watch::<ConfigMap>(node(), Kind::ConfigMap, stopped.clone()));
        tasks.spawn(objects::watch::<Secret>(node(), Kind::Secret, stopped.clone()));
        tasks.spawn(services::run(node(), stopped.clone()));
        tasks.spawn(runner::run(node(), stopped));
        Ok(Self { shared, stop, tasks })
    }

    /// The address of the node itself; its pods' addresses differ in the last byte.
    pub fn address(&self) -> Ipv4Addr {
        self.shared.addresses.node()
    }

    /// The folder with the containers' logs: `<namespace>_<pod>_<container>.log`.
    pub fn logs(&self) -> &Path {
        &self.shared.logs
    }

    /// Replaces the ServiceAccount tokens of all pods now, as happens long before they expire.
    pub fn rotate_tokens(&self) {
        self.shared.rotation.send_modify(|count| *count += 1);
    }

    /// Ends every process within its grace period, then removes the Node object. Gives the first error of any part.
    pub async fn shutdown(mut self) -> Result<()> {
        self.stop.send_replace(true);
        let mut result = Ok(());
        while let Some(task) = self.tasks.join_next().await {
            let task =
                task.unwrap_or_else(|error| Err(anyhow!(error).context("a part of the node panicked")));
            result = result.and(task);
        }
        result.and(registration::unregister(&self.shared).await)
    }
}

impl Shared {
    /// How namespaces are made, or why they cannot be.
    async fn namespaces(&self) -> Result<Namespaces> {
        let find = async || {
            let found = tokio::task::spawn_blocking(|| Namespaces::find(Path::new(UNSHARE))).await;
            let found = found.context("looking for namespaces").and_then(|found| found);
            found.map_err(|error| {
                let error = format!("{error:#}");
                // Not through tracing alone, since a test that waits for the pod has no subscriber.
                let _ =
                    writeln!(std::io::stderr(), "the testbed's node cannot run pods with volumes: {error}");
                error
            })
        };
        self.namespaces.get_or_init(find).await.clone().map_err(anyhow::Error::msg)
    }
}

/// Resolves when the node is to stop, or is no more.
async fn stop_asked(stop: &mut watch::Receiver<bool>) {
    // An error means that the node was dropped, which is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}
