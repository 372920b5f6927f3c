//! A Deployment of real inference-svc pods, the HPA that scales it, and load.

use crate::fixture::{Fixture, IMAGE};
use anyhow::{Context as _, Result};
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition},
};
use kube::{Api, api::ListParams};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use testbed::{eventually, load::Load};
use tokio::task::JoinSet;

/// Controllers, scrapes and the HPA take seconds; a machine that compiles meanwhile gets more.
pub(crate) const SOON: Duration = Duration::from_secs(90);
/// Longer than any test.
const LOAD_LIMIT: Duration = Duration::from_secs(600);

/// A Deployment and its HPA, both named `web`, in a namespace of their own.
pub(crate) struct Workload {
    fixture: Arc<Fixture>,
    client: kube::Client,
    namespace: &'static str,
}

impl Workload {
    /// Makes the namespace, the Deployment with so many replicas, and the HPA from 1 to `max` by an external metric.
    pub(crate) async fn start(
        fixture: &Arc<Fixture>,
        namespace: &'static str,
        replicas: i32,
        max: i32,
        (metric, target): (&str, Value),
    ) -> Self {
        let objects = [
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
            deployment(namespace, replicas),
            autoscaler(namespace, max, metric, &target),
        ];
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        let kubectl = fixture.cluster.kubectl();
        kubectl.run_with_input(&["apply", "-f", "-"], &list).await.unwrap().success().unwrap();
        let client = fixture.cluster.client().await.unwrap();
        let this = Self { fixture: Arc::clone(fixture), client, namespace };
        this.reaches(replicas).await;
        this
    }

    /// Waits until the Deployment wants so many replicas and all are available.
    pub(crate) async fn reaches(&self, replicas: i32) {
        let what = format!("{replicas} available replicas");
        let reached = eventually(&what, SOON, || async {
            let deployment = self.deployment().await?;
            let (spec, status) = (deployment.spec.unwrap_or_default(), deployment.status.unwrap_or_default());
            let available = status.available_replicas.unwrap_or_default();
            if spec.replicas == Some(replicas) && available == replicas && status.replicas == Some(replicas) {
                return Ok(Some(()));
            }
            let conditions = self.hpa().await?.status.and_then(|it| it.conditions);
            anyhow::bail!("{:?} wanted, {available} available, HPA: {conditions:?}", spec.replicas)
        });
        reached.await.unwrap();
    }

    /// Waits until the HPA's condition `ScalingActive` is so; gives its message.
    pub(crate) async fn scaling_active(&self, status: &str) -> String {
        let what = format!("ScalingActive to be {status}");
        let is = eventually(&what, SOON, || async {
            let conditions = self.hpa().await?.status.and_then(|it| it.conditions).unwrap_or_default();
            let active = conditions.into_iter().find(|it| it.type_ == "ScalingActive");
            let active: HorizontalPodAutoscalerCondition = active.context("no condition yet")?;
            anyhow::ensure!(active.status == status, "{active:?}");
            Ok(Some(active.message.unwrap_or_default()))
        });
        is.await.unwrap()
    }

    /// How many replicas the Deployment wants.
    pub(crate) async fn replicas(&self) -> Option<i32> {
        self.deployment().await.unwrap().spec.unwrap().replicas
    }

    /// So many clients, each of which sends its next request when the last is answered, until the set is dropped.
    pub(crate) fn load(&self, clients: usize) -> JoinSet<()> {
        let pods = Api::namespaced(self.client.clone(), self.namespace);
        let load = Load::start(clients, LOAD_LIMIT).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(load.follow(pods, ListParams::default()));
        tasks
    }

    /// Deletes everything; it goes while other tests run.
    pub(crate) async fn end(self) {
        let delete = ["delete", "namespace", self.namespace, "--wait=false"];
        self.fixture.cluster.kubectl().run(&delete).await.unwrap().success().unwrap();
    }

    async fn deployment(&self) -> kube::Result<Deployment> {
        Api::namespaced(self.client.clone(), self.namespace).get("web").await
    }

    async fn hpa(&self) -> Result<HorizontalPodAutoscaler> {
        Ok(Api::namespaced(self.client.clone(), self.namespace).get("web").await?)
    }
}

fn deployment(namespace: &str, replicas: i32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}, "annotations": {
                    "prometheus.io/scrape": "true", "prometheus.io/port": "8081", "prometheus.io/path": "/metrics",
                }},
                "spec": {"containers": [{
                    "name": "web",
                    "image": IMAGE,
                    "args": ["--bind-address=$(POD_IP)", "--inference-time=100ms"],
                    "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                    "ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 8081}],
                    "readinessProbe": {"httpGet": {"path": "/readyz", "port": "metrics"}, "periodSeconds": 1},
                }]},
            },
        },
    })
}

fn autoscaler(namespace: &str, max: i32, metric: &str, target: &Value) -> Value {
    let metric = json!({"name": metric, "selector": {"matchLabels": {"app": "web"}}});
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 1,
            "maxReplicas": max,
            "metrics": [{"type": "External", "external": {"metric": metric, "target": target}}],
            "behavior": {
                "scaleUp": {"stabilizationWindowSeconds": 0},
                "scaleDown": {"stabilizationWindowSeconds": 0},
            },
        },
    })
}
