//! Workloads of real inference-svc pods under a steady load, and the HPAs that must leave them as they are.
//!
//! Closed loops keep all metrics where they are, whatever the pods do: so many requests are in flight as there are
//! clients, and each takes as long as the queue before its pod is. The values are far enough from where an HPA would
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
/// Of rules whose HPAs are to see everything at once.
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
    /// How long a pod takes for a request.
    inference: &'static str,
    /// The values of the metric with which the size is right: the sum, if there are several.
    pub(super) right: RangeOf,
    source: Source,
    target: (&'static str, &'static str, &'static str),
    /// Whether its rule's `maxAge` is [`SHORT_MAX_AGE`].
    pub(super) sees_at_once: bool,
}

/// What the HPA reads.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// An external metric, by a rule of our own.
    External,
    /// A custom metric of each pod, by a rule of prometheus-adapter.
    Pods,
    /// A custom metric of the Service that is called as the workload, by a rule of prometheus-adapter.
    Service,
}

/// From, to.
pub(super) type RangeOf = (f64, f64);

/// An average of 4 requests for each pod wants 3 pods for more than 8 and, with the HPA's tolerance of a tenth, up to
/// 13.2. A mean of 2.25 s wants 3 of 3 from 1.5 s to 2.475 s.
pub(super) const WORKLOADS: [Workload; 4] = [
    in_flight("queue", "requests_in_flight", Source::External),
    Workload {
        name: "latency",
        metric: "seconds_per_request",
        clients: 12,
        inference: "500ms",
        right: (1.501, 2.475),
        source: Source::External,
        target: ("Value", "value", "2250m"),
        sees_at_once: false,
    },
    in_flight("pods", "requests_of_pod", Source::Pods),
    in_flight("service", "requests_of_service", Source::Service),
];

/// Long requests: those between which a client waits for the processor are few.
const fn in_flight(name: &'static str, metric: &'static str, source: Source) -> Workload {
    Workload {
        name,
        metric,
        clients: 11,
        inference: "2s",
        right: (8.001, 13.2),
        source,
        target: ("AverageValue", "averageValue", "4"),
        sees_at_once: true,
    }
}

/// The rules: `maxAge` is short, so that the HPAs see everything at once, except for one with `max_age`.
pub(super) fn configuration(prometheus: &str, max_age: Duration) -> String {
    let millis = |time: Duration| format!("{}ms", time.as_millis());
    let custom = |name: &str, label: &str, resource: &str| {
        json!({
            "seriesQuery": "python_requests_in_flight{namespace!=\"\",pod!=\"\",app!=\"\"}",
            "resources": {"overrides": {"namespace": {"resource": "namespace"}, label: {"resource": resource}}},
            "name": {"as": name},
            "metricsQuery": "sum(last_over_time(<<.Series>>{<<.LabelMatchers>>}[1m])) by (<<.GroupBy>>)",
            "maxAge": millis(SHORT_MAX_AGE),
            // Served by default, as by prometheus-adapter.
            "allowNegative": false,
        })
    };
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
        "rules": [
            custom("requests_of_pod", "pod", "pod"),
            custom("requests_of_service", "app", "service"),
        ],
    });
    format!("{rules:#}\n")
}

impl Workload {
    /// The values with which the size is right.
    pub(super) fn right(&self) -> RangeInclusive<f64> {
        self.right.0..=self.right.1
    }

    /// The path of what the HPA reads.
    pub(super) fn path(&self) -> String {
        let Self { name, metric, .. } = self;
        let external = format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}");
        let custom = format!("/apis/custom.metrics.k8s.io/v1beta2/namespaces/{NAMESPACE}");
        match self.source {
            Source::External => format!("{external}/{metric}?labelSelector=app%3D{name}"),
            Source::Pods => format!("{custom}/pods/*/{metric}?labelSelector=app%3D{name}"),
            Source::Service => format!("{custom}/services/{name}/{metric}"),
        }
    }

    /// What the HPA's condition must say of a round's cause; none if the number stays right.
    pub(super) fn says(&self, cause: &'static str) -> Option<&'static str> {
        match (self.source, cause) {
            // A list without the pods that have no value, and here all have none.
            (Source::Pods, "no data") => Some("no metrics returned"),
            (Source::Service, "no data") => Some("could not find the metric"),
            // Of several series of one object the last one counts, as in prometheus-adapter.
            (Source::Pods | Source::Service, "2 series") => None,
            _ => Some(cause),
        }
    }

    fn service(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": self.name, "namespace": NAMESPACE},
            "spec": {"selector": {"app": self.name}, "ports": [{"port": 80, "targetPort": "http"}]},
        })
    }

    fn deployment(&self) -> Value {
        let inference = format!("--inference-time={}", self.inference);
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
                        "args": ["--bind-address=$(POD_IP)", &inference, "--jitter=0"],
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
        let target = json!({"type": kind, key: value});
        let metric = json!({"name": self.metric});
        let metric = match self.source {
            Source::External => {
                let metric = json!({"name": self.metric, "selector": {"matchLabels": {"app": self.name}}});
                json!({"type": "External", "external": {"metric": metric, "target": target}})
            }
            Source::Pods => json!({"type": "Pods", "pods": {"metric": metric, "target": target}}),
            Source::Service => {
                let described = json!({"apiVersion": "v1", "kind": "Service", "name": self.name});
                let object = json!({"metric": metric, "describedObject": described, "target": target});
                json!({"type": "Object", "object": object})
            }
        };
        json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": self.name, "namespace": NAMESPACE},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": self.name},
                "minReplicas": MIN,
                "maxReplicas": MAX,
                "metrics": [metric],
                "behavior": {
                    "scaleUp": {"stabilizationWindowSeconds": 0},
                    "scaleDown": {"stabilizationWindowSeconds": 0},
                },
            },
        })
    }
}

/// Makes the Deployments and Services, with their namespace.
pub(super) async fn deploy(cluster: &Cluster) -> Result<()> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    let objects = WORKLOADS.iter().flat_map(|workload| [workload.deployment(), workload.service()]);
    apply(cluster, [namespace].into_iter().chain(objects).collect()).await
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

/// The clients of all workloads, which follow their pods until the set is dropped.
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
