//! What Prometheus scrapes. The file is JSON, which Prometheus takes as YAML.

use anyhow::Result;
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};

/// Prometheus' own limit when it is not told: a scrape may not take longer than the interval.
const SCRAPE_TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// How a Prometheus is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Begins the name of the folder with the logs.
    pub name: String,
    /// How often targets are scraped.
    pub scrape_interval: Duration,
    /// A kubeconfig with which pods are discovered: those with the annotation `prometheus.io/scrape: "true"`, on the
    /// port
    /// `prometheus.io/port` and the path `prometheus.io/path`. Their series carry `namespace`, `pod` and `app`.
    pub kubeconfig: Option<PathBuf>,
    /// Targets that are known beforehand.
    pub jobs: Vec<StaticJob>,
    /// Files with rules, which are evaluated as often as targets are scraped.
    pub rule_files: Vec<PathBuf>,
    /// Samples in the `OpenMetrics` format, each with its time in seconds, that it has from the start; ends with `#
    /// EOF`.
    pub openmetrics: Option<String>,
    /// Further flags.
    pub args: Vec<String>,
}

/// Targets that are scraped under one job name.
#[derive(Clone, Debug, Default)]
pub struct StaticJob {
    /// The label `job`.
    pub name: String,
    /// Addresses such as `127.0.0.1:8081`.
    pub targets: Vec<String>,
    /// Labels that every series gets.
    pub labels: Vec<(String, String)>,
    /// How it scrapes by HTTPS; plain HTTP without.
    pub https: Option<Https>,
}

/// Whom a job trusts, and who it is itself.
#[derive(Clone, Debug)]
pub struct Https {
    /// The authorities (PEM).
    pub ca_file: PathBuf,
    /// The name that the targets' certificates must have.
    pub server_name: String,
    /// The bearer token that is sent to the targets.
    pub token_file: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "prometheus".into(),
            scrape_interval: Duration::from_secs(1),
            kubeconfig: None,
            jobs: Vec::new(),
            rule_files: Vec::new(),
            openmetrics: None,
            args: Vec::new(),
        }
    }
}

impl Options {
    /// The configuration file.
    pub(super) fn file(&self) -> Result<String> {
        let mut jobs: Vec<Value> = self.jobs.iter().map(StaticJob::section).collect();
        if let Some(kubeconfig) = &self.kubeconfig {
            jobs.push(json!({
                "job_name": "pods",
                "kubernetes_sd_configs": [{"role": "pod", "kubeconfig_file": kubeconfig}],
                "relabel_configs": pod_relabeling(),
            }));
        }
        let millis = |duration: Duration| format!("{}ms", duration.as_millis());
        let file = json!({
            "global": {
                "scrape_interval": millis(self.scrape_interval),
                "scrape_timeout": millis(self.scrape_interval.min(SCRAPE_TIMEOUT_MAX)),
                "evaluation_interval": millis(self.scrape_interval),
            },
            "rule_files": self.rule_files,
            "scrape_configs": jobs,
        });
        Ok(serde_json::to_string_pretty(&file)?)
    }
}

impl StaticJob {
    fn section(&self) -> Value {
        let labels: Value = self.labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let mut section =
            json!({"job_name": self.name, "static_configs": [{"targets": self.targets, "labels": labels}]});
        if let Some(Https { ca_file, server_name, token_file }) = &self.https {
            section["scheme"] = json!("https");
            section["tls_config"] = json!({"ca_file": ca_file, "server_name": server_name});
            section["authorization"] = json!({"credentials_file": token_file});
        }
        section
    }
}

/// The usual way from annotations to targets. A pod is found once for each of its ports; the address is the same for
/// all, and Prometheus makes equal targets one.
fn pod_relabeling() -> Value {
    let annotation = |name: &str| format!("__meta_kubernetes_pod_annotation_prometheus_io_{name}");
    let copy = |from: &str, to: &str| json!({"source_labels": [from], "target_label": to});
    json!([
        {"action": "keep", "source_labels": [annotation("scrape")], "regex": "true"},
        {"action": "keep", "source_labels": ["__meta_kubernetes_pod_phase"], "regex": "Running"},
        {
            "source_labels": ["__meta_kubernetes_pod_ip", annotation("port")],
            "regex": "([^;]+);([0-9]+)",
            "replacement": "$1:$2",
            "target_label": "__address__",
        },
        {"source_labels": [annotation("path")], "regex": "(.+)", "target_label": "__metrics_path__"},
        copy("__meta_kubernetes_namespace", "namespace"),
        copy("__meta_kubernetes_pod_name", "pod"),
        copy("__meta_kubernetes_pod_label_app", "app"),
    ])
}
