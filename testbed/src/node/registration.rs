//! The Node object, and the Lease whose renewal says that the node lives.

use super::{Shared, address::PODS_MAX, stop_asked};
use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Node};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// Who owns the fields of what is applied here.
const FIELD_MANAGER: &str = "testbed-node";
/// Where kubelets' leases are; the API server makes it.
const LEASE_NAMESPACE: &str = "kube-node-lease";
/// kubelet's numbers: the node counts as lost after 40 s or more without a renewal.
const LEASE_SECONDS: i32 = 40;
const RENEWAL: Duration = Duration::from_secs(10);
/// How long the removal of the Node object may take: the API server may be gone already.
const UNREGISTER: Duration = Duration::from_secs(5);

/// Makes the Node object and says that it is ready; doing it twice is no error.
pub(super) async fn register(node: &Shared) -> Result<()> {
    let nodes: Api<Node> = Api::all(node.client.clone());
    let object = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": node.name, "labels": {"kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux"}},
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    nodes.patch(&node.name, &params, &Patch::Apply(&object)).await.context("making the Node object")?;
    let status = Patch::Merge(status(node));
    nodes
        .patch_status(&node.name, &PatchParams::default(), &status)
        .await
        .context("setting the Node's status")?;
    // The node-lifecycle controller, where it runs, taints a new Node until it has seen it ready.
    let schedulable = Patch::Merge(json!({"spec": {"taints": null}}));
    nodes
        .patch(&node.name, &PatchParams::default(), &schedulable)
        .await
        .context("removing the Node's taints")?;
    renew(node).await
}

/// Renews the lease until the node is to stop.
pub(super) async fn keep_alive(node: Arc<Shared>, mut stop: watch::Receiver<bool>) -> Result<()> {
    while tokio::time::timeout(RENEWAL, stop_asked(&mut stop)).await.is_err() {
        if let Err(error) = renew(&node).await {
            // The next renewal comes long before the lease runs out.
            tracing::warn!(error = format!("{error:#}"), "the node's lease was not renewed");
        }
    }
    Ok(())
}

/// Removes the Node object; the garbage collectors take what belonged to it.
pub(super) async fn unregister(node: &Shared) -> Result<()> {
    let nodes: Api<Node> = Api::all(node.client.clone());
    let params = DeleteParams::default();
    let delete = nodes.delete(&node.name, &params);
    tokio::time::timeout(UNREGISTER, delete).await.context("removing the Node object")??;
    Ok(())
}

fn status(node: &Shared) -> serde_json::Value {
    let now = Timestamp::now();
    let resources =
        json!({"cpu": "64", "memory": "256Gi", "ephemeral-storage": "256Gi", "pods": PODS_MAX.to_string()});
    json!({"status": {
        "capacity": resources,
        "allocatable": resources,
        "addresses": [
            {"type": "InternalIP", "address": node.addresses.node()},
            {"type": "Hostname", "address": node.name},
        ],
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "NodeReady", "message": "runs pods as local processes",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        }],
    }})
}

async fn renew(node: &Shared) -> Result<()> {
    let leases: Api<Lease> = Api::namespaced(node.client.clone(), LEASE_NAMESPACE);
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": node.name, "namespace": LEASE_NAMESPACE},
        "spec": {
            "holderIdentity": node.name,
            "leaseDurationSeconds": LEASE_SECONDS,
            // MicroTime has exactly six digits.
            "renewTime": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        },
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    leases.patch(&node.name, &params, &Patch::Apply(&lease)).await.context("renewing the node's lease")?;
    Ok(())
}
