//! HPAs of every type, each with a Deployment in a namespace of its own.

use super::{SOON, WEB, release, with_drop_in, workload};
use anyhow::{Context, Result};
use futures_util::future::join_all;
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition},
};
use kube::{Api, api::ListParams};
use serde_json::{Value, json};
use std::time::Duration;
use testbed::{eventually, load::Load};

/// The HPAs' upper bound: few pods, for each is a process.
const MAX: i32 = 2;
/// Twice as many requests at once as a pod is to have.
const CLIENTS: usize = 4;
/// Longer than the test.
const LOAD_LIMIT: Duration = Duration::from_secs(600);

/// What an HPA reads, by the namespace of its Deployment.
pub(super) fn metrics() -> [(&'static str, Value); 8] {
    let value = json!({"type": "Value", "value": "2"});
    let average = json!({"type": "AverageValue", "averageValue": "2"});
    let of_web = |metric: &str| json!({"name": metric, "selector": {"matchLabels": {"app": WEB}}});
    let object = |metric: &str, version: &str, kind: &str, name: &str, target: &Value| {
        let described = json!({"apiVersion": version, "kind": kind, "name": name});
        let metric = if kind == "Namespace" { of_web(metric) } else { json!({"name": metric}) };
        json!({"type": "Object", "object": {"metric": metric, "describedObject": described, "target": target}})
    };
    let in_flight = "python_requests_in_flight";
    let requests = of_web("requests_of_app");
    let utilization = json!({"type": "Utilization", "averageUtilization": 100});
    let container = json!({"name": "cpu", "container": WEB, "target": average});
    [
        ("hpa-pods", json!({"type": "Pods", "pods": {"metric": of_web(in_flight), "target": average}})),
        ("hpa-service", object("requests_of_service", "v1", "Service", WEB, &value)),
        ("hpa-namespace", object(in_flight, "v1", "Namespace", "hpa-namespace", &average)),
        ("hpa-deployment", object("requests_of_deployment", "apps/v1", "Deployment", WEB, &average)),
        ("hpa-model", object("requests_of_model", "mlops.example.com/v1alpha1", "Model", WEB, &value)),
        ("hpa-external", json!({"type": "External", "external": {"metric": requests, "target": average}})),
        ("hpa-resource", json!({"type": "Resource", "resource": {"name": "cpu", "target": utilization}})),
        ("hpa-container", json!({"type": "ContainerResource", "containerResource": container})),
    ]
}

#[test]
fn hpas_of_every_type_scale_up_under_load_and_down_again_without_it() {
    with_drop_in(|drop_in| async move {
        let _undamaged = drop_in.undamaged.read().await;
        let metrics = metrics();
        let objects = metrics.iter().flat_map(|(namespace, metric)| {
            let hpa = autoscaler(namespace, metric);
            // A rate is steady only if many requests end between two scrapes.
            let inference = if metric.to_string().contains("\"cpu\"") { "250ms" } else { "1s" };
            workload(namespace, inference).into_iter().chain([hpa])
        });
        release::apply(&drop_in.cluster, &objects.collect::<Vec<_>>()).await.unwrap();
        let client = drop_in.cluster.client().await.unwrap();
        join_all(metrics.map(|(namespace, _)| scales(client.clone(), namespace))).await;
    });
}

/// Waits until one HPA works, scales up and scales down; then everything of it goes.
async fn scales(client: kube::Client, namespace: &'static str) {
    let hpa = Hpa { client, namespace };
    hpa.works().await.unwrap();
    hpa.reaches(1).await.unwrap();
    let load = Load::start(CLIENTS, LOAD_LIMIT).unwrap();
    let pods = Api::namespaced(hpa.client.clone(), namespace);
    let load = tokio::spawn(load.follow(pods, ListParams::default()));
    let up = hpa.reaches(MAX).await;
    load.abort();
    up.unwrap();
    hpa.reaches(1).await.unwrap();
    hpa.works().await.unwrap();
}

/// An HPA and its Deployment.
pub(super) struct Hpa {
    pub(super) client: kube::Client,
    pub(super) namespace: &'static str,
}

impl Hpa {
    /// Waits until the HPA has computed a size; gives the condition that says so.
    pub(super) async fn works(&self) -> Result<HorizontalPodAutoscalerCondition> {
        let what = format!("{} to work", self.namespace);
        let works = async || {
            let conditions = self.get().await?.status.and_then(|it| it.conditions).unwrap_or_default();
            let active = conditions.into_iter().find(|it| it.type_ == "ScalingActive");
            let active: HorizontalPodAutoscalerCondition = active.context("no condition yet")?;
            // With all replicas ready.
            anyhow::ensure!(active.reason.as_deref() == Some("ValidMetricFound"), "{active:?}");
            Ok(Some(active))
        };
        eventually(&what, SOON, works).await
    }

    /// Waits until the Deployment wants so many replicas and all are available.
    async fn reaches(&self, replicas: i32) -> Result<()> {
        let what = format!("{replicas} replicas in {}", self.namespace);
        let reached = async || {
            let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), self.namespace);
            let deployment = deployments.get(WEB).await?;
            let wanted = deployment.spec.and_then(|it| it.replicas);
            let status = deployment.status.unwrap_or_default();
            if (wanted, status.available_replicas) == (Some(replicas), Some(replicas)) {
                return Ok(Some(()));
            }
            anyhow::bail!("{wanted:?} wanted, {status:?}; the HPA: {:?}", self.get().await?.status)
        };
        eventually(&what, SOON, reached).await
    }

    async fn get(&self) -> kube::Result<HorizontalPodAutoscaler> {
        Api::namespaced(self.client.clone(), self.namespace).get(WEB).await
    }
}

/// What the HPA of type Pods reads.
pub(super) fn pods_metric() -> Value {
    let [(_, metric), ..] = metrics();
    metric
}

/// Without windows: it follows the load at once.
pub(super) fn autoscaler(namespace: &str, metric: &Value) -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": WEB, "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": WEB},
            "minReplicas": 1,
            "maxReplicas": MAX,
            "metrics": [metric],
            "behavior": {
                "scaleUp": {"stabilizationWindowSeconds": 0},
                "scaleDown": {"stabilizationWindowSeconds": 0},
            },
        },
    })
}
