//! Binds every pod that has no node to this one, if all its images are known here.

use super::{Shared, plan, stop_asked};
use anyhow::{Result, anyhow};
use futures_util::{StreamExt, pin_mut};
use k8s_openapi::{
    api::core::v1::{Binding, ObjectReference, Pod},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, ResourceExt,
    api::PostParams,
    runtime::{WatchStreamExt, watcher},
};
use std::sync::Arc;
use tokio::sync::watch;

/// Runs until the node is to stop.
pub(super) async fn run(node: Arc<Shared>, mut stop: watch::Receiver<bool>) -> Result<()> {
    let pods: Api<Pod> = Api::all(node.client.clone());
    let events = watcher(pods, watcher::Config::default().fields("spec.nodeName="))
        .default_backoff()
        .applied_objects();
    pin_mut!(events);
    loop {
        tokio::select! {
            () = stop_asked(&mut stop) => return Ok(()),
            pod = events.next() => match pod {
                Some(Ok(pod)) => schedule(&node, &pod).await,
                // The watcher goes on by itself.
                Some(Err(error)) => tracing::debug!(%error, "the watch on unscheduled pods was interrupted"),
                None => return Err(anyhow!("the watch on unscheduled pods ended")),
            },
        }
    }
}

async fn schedule(node: &Shared, pod: &Pod) {
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    if pod.metadata.deletion_timestamp.is_some() {
        return;
    }
    if !plan::has_images(pod, &node.images) {
        tracing::debug!(
            pod.name = name,
            k8s.namespace = namespace,
            "no image for a pod here, it stays unscheduled"
        );
        return;
    }
    if let Err(error) = bind(node, pod, &namespace, &name).await {
        // Deleted or bound by another node meanwhile: the watch would tell.
        tracing::debug!(pod.name = name, k8s.namespace = namespace, %error, "a pod was not bound");
    }
}

async fn bind(node: &Shared, pod: &Pod, namespace: &str, name: &str) -> kube::Result<()> {
    let pods: Api<Pod> = Api::namespaced(node.client.clone(), namespace);
    let target = ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Node".into()),
        name: Some(node.name.clone()),
        ..ObjectReference::default()
    };
    let metadata = ObjectMeta { name: Some(name.to_owned()), uid: pod.uid(), ..ObjectMeta::default() };
    let binding = Binding { metadata, target };
    let _: serde_json::Value =
        pods.create_subresource("binding", name, &PostParams::default(), &binding).await?;
    Ok(())
}
