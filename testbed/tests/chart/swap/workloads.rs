//! What is scaled: a `StatefulSet` for each type of metric, whose pods have names that metrics can have, too.

use super::{
    SOON, Swap,
    level::{HIGH, Level, STEADY},
    reader::Metric,
};
use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{apps::v1::StatefulSet, autoscaling::v2::HorizontalPodAutoscaler};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use testbed::eventually;

pub(super) const NAMESPACE: &str = "swap";
pub(super) const IMAGE: &str = "inference-svc:swap";

/// All of them, and the Service that a metric describes.
pub(super) fn objects() -> Value {
    let average = json!({"type": "AverageValue", "averageValue": "10"});
    let web = json!({"apiVersion": "v1", "kind": "Service", "name": "web"});
    let spec = |metric| match metric {
        Metric::Pods => json!({"type": "Pods", "pods": {"metric": {"name": "swap_work"}, "target": average}}),
        Metric::Object => json!({"type": "Object", "object": {
            "metric": {"name": "swap_requests"}, "describedObject": web, "target": average,
        }}),
        Metric::External => {
            json!({"type": "External", "external": {"metric": {"name": "swap_queue"}, "target": average}})
        }
        Metric::Usage => json!({"type": "Resource", "resource": {"name": "memory", "target": average}}),
    };
    let mut items = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": NAMESPACE},
            "spec": {"selector": {"app": "object"}, "ports": [{"port": 80, "targetPort": "http"}]},
        }),
    ];
    for metric in Metric::ALL {
        items.extend([workload(metric.name()), autoscaler(metric.name(), &spec(metric))]);
    }
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

fn workload(name: &str) -> Value {
    let container = json!({
        "name": "web",
        "image": IMAGE,
        "args": ["--bind-address=$(POD_IP)"],
        "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 8081}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "metrics"}, "periodSeconds": 1},
    });
    let pod = json!({
        "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 1, "containers": [container],
    });
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": STEADY.replicas, "serviceName": "web", "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    })
}

/// Follows at once, up and down, so that no wrong number is without a trace.
fn autoscaler(name: &str, metric: &Value) -> Value {
    let at_once = json!({"stabilizationWindowSeconds": 0});
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name},
            "minReplicas": STEADY.replicas - 1, "maxReplicas": STEADY.replicas + 1,
            "metrics": [metric],
            "behavior": {"scaleUp": at_once, "scaleDown": at_once},
        },
    })
}

/// How often the size of each workload was changed.
pub(super) type Changes = BTreeMap<String, Option<i64>>;

impl Swap {
    /// The generation of an object counts the changes of its spec.
    pub(super) async fn changes(&self) -> Changes {
        self.workloads().await.unwrap().iter().map(|it| (it.name_any(), it.metadata.generation)).collect()
    }

    async fn workloads(&self) -> Result<Vec<StatefulSet>> {
        let api: Api<StatefulSet> = Api::namespaced(self.place.cluster.client().await?, NAMESPACE);
        Ok(api.list(&ListParams::default()).await?.items)
    }

    /// The HPAs on these metrics get answers, and have this many pods, all of them ready.
    pub(super) async fn settled(&self, metrics: &[Metric], level: Level) {
        let is_meant = |name: &str| metrics.iter().any(|metric| metric.name() == name);
        let settled = eventually("the HPAs to follow", SOON, || async {
            for workload in self.workloads().await? {
                if !is_meant(&workload.name_any()) {
                    continue;
                }
                let (spec, status) = (workload.spec.unwrap_or_default(), workload.status.unwrap_or_default());
                let numbers = [spec.replicas, Some(status.replicas), status.ready_replicas];
                let is = numbers.iter().all(|number| number.map(i64::from) == Some(level.replicas));
                ensure!(is, "{:?}: {numbers:?}, not {}", workload.metadata.name, level.replicas);
            }
            let api: Api<HorizontalPodAutoscaler> =
                Api::namespaced(self.place.cluster.client().await?, NAMESPACE);
            for hpa in
                api.list(&ListParams::default()).await?.into_iter().filter(|it| is_meant(&it.name_any()))
            {
                let conditions = hpa.status.and_then(|status| status.conditions).unwrap_or_default();
                let active = conditions.into_iter().find(|it| it.type_ == "ScalingActive");
                let active = active.context("no condition yet")?;
                ensure!(active.status == "True", "{:?}: {active:?}", hpa.metadata.name);
            }
            Ok(Some(()))
        });
        settled.await.unwrap();
    }

    /// The HPAs on these metrics go on: they follow their metrics up and down.
    pub(super) async fn scales(&self, metrics: &[Metric]) {
        for level in [HIGH, STEADY] {
            self.load(level).await;
            self.settled(metrics, level).await;
        }
    }
}
