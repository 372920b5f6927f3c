//! The objects of the cluster. Nobody runs the pods: their status says that somebody does.

use super::{Scale, world};
use crate::Cluster;
use anyhow::{Context, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::fmt::Debug;

/// Requests to kube-apiserver at once.
const AT_ONCE: usize = 16;

pub(super) async fn create(cluster: &Cluster, scale: &Scale) -> Result<()> {
    let client = &cluster.client().await?;
    for namespace in 0..scale.namespaces {
        let name = world::namespace(namespace);
        post::<Namespace>(&Api::all(client.clone()), &json!({"metadata": {"name": name}})).await?;
    }
    for app in 0..world::apps(scale) {
        let services: Api<Service> = Api::namespaced(client.clone(), &world::namespace_of(app));
        // Without a selector: nobody has to keep its endpoints.
        let service = json!({"metadata": {"name": world::app(app)}, "spec": {"ports": [{"port": 80}]}});
        post(&services, &service).await?;
    }
    let pods = stream::iter(world::pods(scale)).map(|pod| run(client, pod));
    pods.buffer_unordered(AT_ONCE).try_collect().await
}

/// A pod that is said to run, on no node: the controllers remove pods of nodes that do not exist.
async fn run(client: &Client, pod: world::Pod) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &world::namespace_of(pod.app));
    let (name, app) = (pod.name(), world::app(pod.app));
    let object = json!({
        "metadata": {"name": name, "labels": {"app": app, "pod-template-hash": "7d9c5b8f6d"}},
        "spec": {"containers": [{"name": "app", "image": format!("registry.example.com/{app}:1.2.3")}]},
    });
    post(&pods, &object).await?;
    let running = Patch::Merge(json!({"status": {"phase": "Running"}}));
    pods.patch_status(&name, &PatchParams::default(), &running).await?;
    Ok(())
}

async fn post<K>(api: &Api<K>, object: &Value) -> Result<()>
where
    K: Resource + Clone + Debug + DeserializeOwned + Serialize,
{
    let object: K = serde_json::from_value(object.clone())?;
    let name = object.meta().name.clone().unwrap_or_default();
    api.create(&PostParams::default(), &object).await.with_context(|| format!("creating {name}"))?;
    Ok(())
}
