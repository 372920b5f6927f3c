//! What the metrics say: Prometheus computes them, and follows its configuration.

use super::{SOON, Swap, reader::Metric, workloads};
use crate::case::NAMESPACE;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;
use testbed::eventually;
use tokio::time::Instant;

/// The oldest reading with which ours answers, by default, and a second.
const MAX_AGE: Duration = Duration::from_secs(11);

/// The values of the metrics, and how many pods each HPA makes of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    /// Of each pod.
    pub(super) pods: u32,
    /// Of the Service, and of the queue.
    pub(super) total: u32,
    pub(super) replicas: i64,
}

/// Neither the smallest number of pods nor the largest: a wrong zero and a wrong infinity both change it.
pub(super) const STEADY: Level = Level { pods: 6, total: 20, replicas: 2 };
pub(super) const HIGH: Level = Level { pods: 15, total: 30, replicas: 3 };

impl Level {
    pub(super) fn value(self, metric: Metric) -> u32 {
        if metric.is_of_pods() { self.pods } else { self.total }
    }

    /// The configuration of Prometheus.
    fn rules(self) -> Value {
        let mut rules = "groups:\n- name: swap\n  rules:\n".to_owned();
        let mut add = |record, label, value| {
            write!(
                rules,
                "  - record: {record}\n    expr: vector({value})\n    labels: {{namespace: {}, {label}}}\n",
                workloads::NAMESPACE
            )
            .unwrap();
        };
        for pod in 0..3 {
            add("swap_work", format!("pod: pods-{pod}"), self.pods);
            for series in ["swap_cpu", "swap_memory"] {
                add(series, format!("pod: usage-{pod}, container: web"), self.pods);
            }
        }
        add("swap_requests", "service: web".to_owned(), self.total);
        add("swap_queue", "queue: web".to_owned(), self.total);
        let settings =
            "global: {evaluation_interval: 1s}\nrule_files: [/etc/prometheus/rules.yml]\n".to_owned();
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "prometheus", "namespace": NAMESPACE},
            "data": {"prometheus.yml": settings, "rules.yml": rules},
        })
    }
}

impl Swap {
    /// Has the metrics say this.
    pub(super) async fn load(&self, level: Level) {
        self.place.apply(&["apply", "-f", "-"], &level.rules().to_string()).await;
        let measured = eventually("Prometheus to have the new values", SOON, || async {
            let reload = self.client.post(format!("{}/-/reload", self.prometheus));
            reload.send().await?.error_for_status()?;
            let found = self.measured("swap_queue").await?;
            ensure!(found == level.total.to_string(), "{found}");
            let found = self.measured("max(swap_work)").await?;
            ensure!(found == level.pods.to_string(), "{found}");
            Ok(Some(()))
        });
        measured.await.unwrap();
        *self.loaded.lock().await = Instant::now();
    }

    /// Waits until no server has a reading from before the last change.
    pub(super) async fn readings_are_new(&self) {
        let loaded = *self.loaded.lock().await;
        tokio::time::sleep_until(loaded + MAX_AGE).await;
    }

    async fn measured(&self, query: &str) -> Result<String> {
        let url = format!("{}/api/v1/query?query={query}", self.prometheus);
        let text = self.client.get(url).send().await?.text().await?;
        let answer: Value = serde_json::from_str(&text)?;
        let value = &answer["data"]["result"][0]["value"][1];
        Ok(value.as_str().with_context(|| format!("no value: {answer}"))?.to_owned())
    }
}
