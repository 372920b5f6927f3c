//! Looking at the cluster: the metric, the HPA, the Deployment and its pods at one moment.

use super::{METRIC, NAMESPACE, WORKLOAD, story::Phase};
use crate::load::ready_address;
use anyhow::{Context, Result};
use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::Pod};
use kube::{
    Api, Client,
    api::{ListParams, Request},
};
use serde_json::Value;
use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

/// What the HPA is to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    pub(super) min: i32,
    pub(super) max: i32,
    /// Seconds a request may take on average.
    pub(super) target: f64,
}

/// What was seen at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Snapshot {
    /// Since the cluster was started.
    pub(super) at: Duration,
    pub(super) phase: Phase,
    /// The metric as our API gives it, in seconds; none while it answers with an error.
    pub(super) metric: Option<f64>,
    /// The metric as the HPA saw it last, in seconds.
    pub(super) current: Option<f64>,
    /// Replicas the HPA wants.
    pub(super) desired: i32,
    /// Replicas that are ready.
    pub(super) ready: i32,
}

/// Looks at one cluster.
pub(super) struct Watcher {
    client: Client,
    since: Instant,
    hpas: Api<HorizontalPodAutoscaler>,
    deployments: Api<Deployment>,
    pods: Api<Pod>,
    ours: ListParams,
}

impl Watcher {
    pub(super) fn new(client: Client, since: Instant) -> Self {
        Self {
            since,
            hpas: Api::namespaced(client.clone(), NAMESPACE),
            deployments: Api::namespaced(client.clone(), NAMESPACE),
            pods: Api::namespaced(client.clone(), NAMESPACE),
            ours: ListParams::default().labels(&format!("app={WORKLOAD}")),
            client,
        }
    }

    /// What the applied HPA says.
    pub(super) async fn goal(&self) -> Result<Goal> {
        let spec = self.hpas.get(WORKLOAD).await?.spec.context("the HPA has no spec")?;
        let metric = spec.metrics.and_then(|metrics| metrics.into_iter().next()?.external);
        let target = metric.and_then(|metric| metric.target.value).and_then(|value| quantity(&value.0));
        let target = target.context("the HPA has no external metric with a target value")?;
        Ok(Goal { min: spec.min_replicas.unwrap_or(1), max: spec.max_replicas, target })
    }

    /// One look, and the addresses of the pods that take requests.
    pub(super) async fn look(&self, phase: Phase) -> Result<(Snapshot, Vec<Ipv4Addr>)> {
        let (hpa, deployment, pods, metric) = tokio::join!(
            self.hpas.get(WORKLOAD),
            self.deployments.get(WORKLOAD),
            self.pods.list(&self.ours),
            self.metric(),
        );
        let status = hpa?.status.unwrap_or_default();
        let seen = status.current_metrics.and_then(|metrics| metrics.into_iter().next()?.external);
        let snapshot = Snapshot {
            at: self.since.elapsed(),
            phase,
            metric: metric.ok(),
            current: seen.and_then(|metric| metric.current.value).and_then(|value| quantity(&value.0)),
            desired: status.desired_replicas,
            ready: deployment?.status.and_then(|status| status.ready_replicas).unwrap_or(0),
        };
        Ok((snapshot, pods?.items.iter().filter_map(ready_address).collect()))
    }

    /// Why the HPA does what it does, in its own words.
    pub(super) async fn conditions(&self) -> Result<String> {
        let conditions = self.hpas.get(WORKLOAD).await?.status.and_then(|status| status.conditions);
        let words = conditions
            .into_iter()
            .flatten()
            .map(|it| format!("{}={} ({})", it.type_, it.status, it.message.unwrap_or_default()));
        Ok(words.collect::<Vec<_>>().join(", "))
    }

    /// The metric through kube-apiserver and our server, with the HPA's selector.
    async fn metric(&self) -> Result<f64> {
        let path = format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/{METRIC}");
        let answer: Value = self.client.request(Request::new(path).list(&self.ours)?).await?;
        let value = answer.pointer("/items/0/value").and_then(Value::as_str);
        value.and_then(quantity).context("the answer holds no value")
    }
}

/// A Kubernetes quantity in its decimal forms, such as `1500m`.
pub(crate) fn quantity(text: &str) -> Option<f64> {
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let scale = match suffix {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_with_their_decimal_suffix() {
        for (text, expected) in [("1500m", 1.5), ("0", 0.0), ("15", 15.0), ("2k", 2000.0), ("250u", 0.00025)]
        {
            assert!((quantity(text).unwrap() - expected).abs() < 1e-9, "{text}");
        }
        assert_eq!(quantity("3Gi"), None);
        assert_eq!(quantity("much"), None);
    }
}
