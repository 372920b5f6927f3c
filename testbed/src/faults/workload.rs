//! Two workloads of real inference-svc pods under a steady load, and the HPAs that must leave them as they are.
//!
//! Closed loops keep both metrics where they are, whatever the pods do: so many requests are in flight as there are
//! clients, and each takes as long as the queue before its pod is. Both values are far enough from where an HPA would
//! do something (a third, a tenth) that a busy machine does not move them there; windows and lookbacks bridge lost
//! scrapes.

use crate::{Cluster, load::Load};
use anyhow::Result;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, api::ListParams};
use serde_json::{Value, json};
use std::{ops::RangeInclusive, time::Duration};
use tokio::task::JoinSet;

pub(super) const NAMESPACE: &str = "faults";
/// The workload whose HPA sees everything at once, since its rule's `maxAge` is this short.
pub(super) const QUEUE: &str = "queue";
pub(super) const SHORT_MAX_AGE: Duration = Duration::from_millis(500);
/// The size that fits the load, and the bounds, which leave room for wrong moves both ways.
pub(super) const REPLICAS: i32 = 3;
const MIN: i32 = 1;
const MAX: i32 = 6;
/// The one image of the node.
pub(super) const IMAGE: &str = "inference-svc:faults";
/// Longer than any run.
const LOAD_LIMIT: Duration = Duration::from_secs(3600);

/// A Deployment, its HPA, both of this name, and its load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workload {
    pub(super) name: &'static str,
    pub(super) metric: &'static str,
    clients: usize,
    /// The values of the metric with which the size is right.
    pub(super) right: RangeOf,
    target: (&'static str, &'static str, &'static str),
}

/// From, to.
pub(super) type RangeOf = (f64, f64);

/// An average of 4 requests for each pod wants 3 pods for more than 8 and, with the HPA's tolerance of a tenth, up to
/// 13.2. A mean of 2.25 s wants 3 of 3 from 1.5 s to 2.475 s.
pub(super) const WORKLOADS: [Workload; 2] = [
    Workload {
        name: QUEUE,
        metric: "requests_in_flight",
        clients: 11,
        right: (8.001, 13.2),
        target: ("AverageValue", "averageValue", "4"),
    },
    Workload {
        name: "latency",
        metric: "seconds_per_request",
        clients: 12,
        right: (1.501, 2.475),
        target: ("Value", "value", "2250m"),
    },
];

/// The rules: the queue's `maxAge` is short, so that its HPA sees everything at once; the other's is `max_age`.
pub(super) fn configuration(prometheus: &str, max_age: Duration) -> String {
    let millis = |time: Duration| format!("{}ms", time.as_millis());
    let rules = json!({
        "backends": {"default": {"url": prometheus}},
        "metrics": [
            {
                "name": "requests_in_flight",
                "maxAge": millis(SHORT_MAX_AGE),
                "query": "sum(last_over_time(python_requests_in_flight[1m]))",
            },
            {
                "name": "seconds_per_request",
                "maxAge": millis(max_age),
                "query": "sum(rate(python_request_duration_seconds_sum[10s]))\
                    / (sum(rate(python_request_duration_seconds_count[10s])) > 0)",
            },
        ],
    });
    format!("{rules:#}\n")
}

impl Workload {
    /// The values with which the size is right.
    pub(super) fn right(&self) -> RangeInclusive<f64> {
        self.right.0..=self.right.1
    }

    fn deployment(&self) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": self.name, "namespace": NAMESPACE},
            "spec": {
                "replicas": REPLICAS,
                "selector": {"matchLabels": {"app": self.name}},
                "template": {
                    "metadata": {"labels": {"app": self.name}, "annotations": {
                        "prometheus.io/scrape": "true", "prometheus.io/port": "8081", "prometheus.io/path": "/metrics",
                    }},
                    "spec": {"terminationGracePeriodSeconds": 5, "containers": [{
                        "name": "web",
                        "image": IMAGE,
                        "args": ["--bind-address=$(POD_IP)", "--inference-time=500ms", "--jitter=0"],
                        "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                        "ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 8081}],
                        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "metrics"}, "periodSeconds": 1},
                    }]},
                },
            },
        })
    }

    /// Without windows: one wrong reading moves it at once.
    fn autoscaler(&self) -> Value {
        let (kind, key, value) = self.target;
        let metric = json!({"name": self.metric, "selector": {"matchLabels": {"app": self.name}}});
        json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": self.name, "namespace": NAMESPACE},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": self.name},
                "minReplicas": MIN,
                "maxReplicas": MAX,
                "metrics": [{"type": "External", "external": {"metric": metric, "target": {"type": kind, key: value}}}],
                "behavior": {
                    "scaleUp": {"stabilizationWindowSeconds": 0},
                    "scaleDown": {"stabilizationWindowSeconds": 0},
                },
            },
        })
    }
}

/// Makes the Deployments, with their namespace.
pub(super) async fn deploy(cluster: &Cluster) -> Result<()> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    let objects = [namespace].into_iter().chain(WORKLOADS.iter().map(Workload::deployment));
    apply(cluster, objects.collect()).await
}

/// Makes the HPAs.
pub(super) async fn autoscale(cluster: &Cluster) -> Result<()> {
    apply(cluster, WORKLOADS.iter().map(Workload::autoscaler).collect()).await
}

/// Whether all pods of all Deployments take requests.
pub(super) async fn is_up(client: &kube::Client) -> Result<Option<()>> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let deployments = deployments.list(&ListParams::default()).await?;
    let available = |it: &Deployment| it.status.as_ref().and_then(|it| it.available_replicas);
    let up = deployments.iter().filter(|it| available(it) == Some(REPLICAS)).count();
    Ok((up == WORKLOADS.len()).then_some(()))
}

/// The clients of both workloads, which follow their pods until the set is dropped.
pub(super) fn load(client: &kube::Client) -> Result<JoinSet<()>> {
    let mut tasks = JoinSet::new();
    for workload in WORKLOADS {
        let pods = Api::namespaced(client.clone(), NAMESPACE);
        let ours = ListParams::default().labels(&format!("app={}", workload.name));
        tasks.spawn(Load::start(workload.clients, LOAD_LIMIT)?.follow(pods, ours));
    }
    Ok(tasks)
}

async fn apply(cluster: &Cluster, objects: Vec<Value>) -> Result<()> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    cluster.kubectl().run_with_input(&["apply", "-f", "-"], &list).await?.success()?;
    Ok(())
}
