//! A node that runs the pods bound to it as local processes, and the scheduler that binds them.
//!
//! One image is one local program; a pod's containers share a loopback address of the pod's own. Real are: arguments
//! and environment from the pod's spec, readiness probes, restarts with a back-off, SIGTERM and the grace period,
//! status. There are no namespaces and no volumes, liveness probes are not run, and probes other than `httpGet` are
//! refused. So a Deployment scales real processes, which Prometheus finds and which answer HTTP.

mod address;
mod container;
mod expand;
mod plan;
mod pod;
mod probe;
mod registration;
mod runner;
mod scheduler;
mod status;

use address::Addresses;
use anyhow::{Result, anyhow};
use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{sync::watch, task::JoinSet};

/// Image name → the one program in it.
pub type Images = BTreeMap<String, PathBuf>;

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
    addresses: Addresses,
}

impl Node {
    /// Registers the Node object, then schedules and runs pods until it is shut down.
    pub async fn start(client: kube::Client, options: Options) -> Result<Self> {
        let Options { name, images, logs } = options;
        let shared = Arc::new(Shared { client, name, images, logs, addresses: Addresses::reserve()? });
        registration::register(&shared).await?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(registration::keep_alive(Arc::clone(&shared), stopped.clone()));
        tasks.spawn(scheduler::run(Arc::clone(&shared), stopped.clone()));
        tasks.spawn(runner::run(Arc::clone(&shared), stopped));
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

/// Resolves when the node is to stop, or is no more.
async fn stop_asked(stop: &mut watch::Receiver<bool>) {
    // An error means that the node was dropped, which is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}
