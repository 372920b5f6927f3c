//! What both servers look at: one control plane with objects, and one Prometheus.

use crate::series;
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use testbed::{Cluster, Kubectl, Options, Prometheus, prometheus};

/// Custom resource definitions, which come before their objects.
const DEFINITIONS: &str = include_str!("world/definitions.yaml");
/// Everything else.
const OBJECTS: &str = include_str!("world/objects.yaml");
const SERIES: &str = include_str!("world/series.txt");
/// A pod with this label is not running.
const PENDING: &str = "pending";

/// The world. It ends with this value.
pub(crate) struct World {
    pub(crate) prometheus: Prometheus,
    pub(crate) cluster: Cluster,
}

impl World {
    pub(crate) async fn start() -> Result<Self> {
        let samples = series::openmetrics(SERIES, jiff::Timestamp::now().as_second());
        let prometheus = prometheus::Options {
            name: "adapter-prometheus".into(),
            openmetrics: Some(samples),
            ..prometheus::Options::default()
        };
        let options = Options { name: "adapter".into(), ..Options::default() };
        let (cluster, prometheus) = tokio::try_join!(Cluster::start(options), Prometheus::start(prometheus))?;
        let kubectl = cluster.kubectl();
        apply(&kubectl, DEFINITIONS).await?;
        let established = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"];
        kubectl.run(&established).await?.success()?;
        apply(&kubectl, OBJECTS).await?;
        run_pods(&cluster).await.context("marking the pods as running")?;
        Ok(Self { prometheus, cluster })
    }
}

async fn apply(kubectl: &Kubectl, objects: &str) -> Result<()> {
    kubectl.run_with_input(&["apply", "--server-side", "-f", "-"], objects).await?.success()?;
    Ok(())
}

/// Nobody runs the pods: their status says that somebody does.
async fn run_pods(cluster: &Cluster) -> Result<()> {
    let client = cluster.client().await?;
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Testbed",
        "message": "", "lastHeartbeatTime": null, "lastTransitionTime": null}]}});
    let nodes: Api<Node> = Api::all(client.clone());
    for node in nodes.list(&ListParams::default()).await? {
        let name = node.metadata.name.context("a node has a name")?;
        nodes.patch_status(&name, &PatchParams::default(), &Patch::Merge(&ready)).await?;
    }
    let pods: Api<Pod> = Api::all(client.clone());
    for pod in pods.list(&ListParams::default().labels(&format!("!{PENDING}"))).await? {
        let namespace = pod.metadata.namespace.context("a pod has a namespace")?;
        let name = pod.metadata.name.context("a pod has a name")?;
        let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        let running = Patch::Merge(json!({"status": {"phase": "Running"}}));
        pods.patch_status(&name, &PatchParams::default(), &running).await?;
    }
    Ok(())
}
