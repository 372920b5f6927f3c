//! prometheus-adapter's own Deployments with our program in them, and the real clients of what it serves.
//!
//! One cluster has both: the chart's Deployment serves custom and external metrics, that of kube-prometheus serves
//! `metrics.k8s.io`. Objects, arguments, rights and rules are those of the manifests beside this file.

mod availability;
mod checked;
mod clients;
mod compared;
mod hpas;
mod release;

use anyhow::Result;
use release::{Pod, Release};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};
use testbed::{Cluster, Node, Options, Prometheus, User, eventually, node, prometheus, workspace};
use tokio::sync::{Mutex, RwLock};

const CHART: &str = include_str!("chart.yaml");
const KUBE_PROMETHEUS: &str = include_str!("kube-prometheus.yaml");
/// What the metrics describe besides pods.
const MODELS: &str = include_str!("models.yaml");
/// What a cluster's exporters would measure.
const USAGE: &str = include_str!("usage.yaml");
/// Where a pod runs that has no load. Everything in it is called [`WEB`].
const IDLE: &str = "idle";
/// A Deployment, and the Service and the custom resource that metrics describe.
const WEB: &str = "web";
/// The one image of the node.
const IMAGE: &str = "inference-svc:drop-in";
const NODE: &str = "drop-in";
/// Controllers, scrapes and HPAs take seconds; a machine that compiles meanwhile gets more.
const SOON: Duration = Duration::from_secs(90);

/// Both releases, with all that they stand on.
struct DropIn {
    chart: Release,
    kube_prometheus: Release,
    /// Their pods.
    pods: [Pod; 2],
    _node: Node,
    prometheus: Prometheus,
    cluster: Cluster,
    /// Taken for writing by whoever damages what the others read.
    undamaged: RwLock<()>,
}

/// Runs a test with the releases.
fn with_drop_in<F, Fut>(test: F)
where
    F: FnOnce(Arc<DropIn>) -> Fut,
    Fut: Future<Output = ()>,
{
    crate::shared::runtime().block_on(async {
        let drop_in = drop_in().await;
        test(drop_in).await;
    });
}

/// The releases of the tests that run now; the last to let go of them ends them.
async fn drop_in() -> Arc<DropIn> {
    static DROP_IN: Mutex<Weak<DropIn>> = Mutex::const_new(Weak::new());
    let mut shared = DROP_IN.lock().await;
    if let Some(drop_in) = shared.upgrade() {
        return drop_in;
    }
    let drop_in = Arc::new(DropIn::start().await.expect("the releases start"));
    *shared = Arc::downgrade(&drop_in);
    drop_in
}

impl DropIn {
    async fn start() -> Result<Self> {
        // By default HPAs ignore the CPU usage of pods in their first five minutes.
        let args = ["cpu-initialization-period", "initial-readiness-delay"]
            .map(|name| format!("--horizontal-pod-autoscaler-{name}=1s"));
        let options = Options {
            name: "e2e-drop-in".into(),
            controller_manager_args: args.into(),
            ..Options::default()
        };
        let cluster = Cluster::start(options).await?;
        let images =
            node::Images::from([(IMAGE.to_owned(), workspace::binary("inference-svc").await?.into())]);
        let logs = cluster.dir().logs().to_owned();
        let node = node::Options { name: NODE.into(), images, logs };
        let usage = cluster.dir().state().join("usage.yaml");
        std::fs::write(&usage, USAGE)?;
        let (node, prometheus) = tokio::try_join!(
            Node::start(&cluster, node),
            Prometheus::start(prometheus::Options {
                name: "e2e-drop-in-prometheus".into(),
                kubeconfig: Some(cluster.kubeconfig(User::Admin).to_owned()),
                rule_files: vec![usage],
                ..prometheus::Options::default()
            })
        )?;
        release::apply(&cluster, &release::documents(MODELS)).await?;
        let established = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"];
        cluster.kubectl().run(&established).await?.success()?;
        release::apply(&cluster, &workload(IDLE, "1s")).await?;
        scraped(&prometheus).await?;
        let program = workspace::binary("metrics-apiserver").await?;
        let (chart, kube_prometheus) = (Release::new(CHART), Release::new(KUBE_PROMETHEUS));
        let install = async |name: &str, release: &Release| {
            release.prepare(&cluster).await?;
            let pod = release.run(&cluster, name, &program, prometheus.url()).await?;
            release.register(&cluster, &pod).await?;
            anyhow::Ok(pod)
        };
        let (first, second) =
            tokio::try_join!(install("chart", &chart), install("kube-prometheus", &kube_prometheus))?;
        let drop_in = Self {
            chart,
            kube_prometheus,
            pods: [first, second],
            _node: node,
            prometheus,
            cluster,
            undamaged: RwLock::new(()),
        };
        drop_in.available().await?;
        Ok(drop_in)
    }

    /// Waits until all three APIs are Available.
    async fn available(&self) -> Result<()> {
        let releases = [&self.chart, &self.kube_prometheus];
        let services: Vec<_> = releases.iter().flat_map(|release| release.api_services()).collect();
        assert_eq!(services.len(), 3);
        let names: Vec<_> = services.iter().map(|service| format!("apiservice/{service}")).collect();
        let mut args = vec!["wait", "--for=condition=Available", "--timeout=60s"];
        args.extend(names.iter().map(String::as_str));
        self.cluster.kubectl().run(&args).await?.success()?;
        Ok(())
    }

    /// What an API answers through kube-apiserver, by `kubectl get --raw`.
    async fn raw(&self, path: &str) -> Result<Value> {
        let text = self.cluster.kubectl().run(&["get", "--raw", path]).await?.success()?;
        Ok(serde_json::from_str(&text)?)
    }

    /// What kubectl prints, in words.
    async fn rows(&self, args: &[&str]) -> Result<Vec<Vec<String>>> {
        let text = self.cluster.kubectl().run(args).await?.success()?;
        Ok(text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect())
    }

    /// The name of the only pod in [`IDLE`].
    async fn idle_pod(&self) -> String {
        let args = ["get", "pods", "-n", IDLE, "-o", "jsonpath={.items[*].metadata.name}"];
        self.cluster.kubectl().run(&args).await.unwrap().success().unwrap()
    }
}

/// Waits until Prometheus has what the releases look for when they start: they look again only a minute later.
async fn scraped(prometheus: &Prometheus) -> Result<()> {
    let queries = [
        format!("python_requests_in_flight{{namespace=\"{IDLE}\"}}"),
        format!("irate(container_cpu_usage_seconds_total{{namespace=\"{IDLE}\"}}[1m])"),
        "irate(node_cpu_seconds_total[1m])".to_owned(),
    ];
    for query in &queries {
        let found = async || Ok((!prometheus.instant(query).await?.is_empty()).then_some(()));
        eventually(query, SOON, found).await?;
    }
    Ok(())
}

/// A namespace with all that is called [`WEB`]: a Deployment of one pod, which takes so long for a request, a Service
/// and a custom resource.
fn workload(namespace: &str, inference: &str) -> Vec<Value> {
    let inference = format!("--inference-time={inference}");
    let metadata = json!({"name": WEB, "namespace": namespace});
    let annotations = json!({
        "prometheus.io/scrape": "true", "prometheus.io/port": "8081", "prometheus.io/path": "/metrics",
    });
    let container = json!({
        "name": WEB,
        "image": IMAGE,
        "args": ["--bind-address=$(POD_IP)", &inference, "--jitter=0"],
        "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 8081}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "metrics"}, "periodSeconds": 1},
        // A percentage of it is the target of HPAs.
        "resources": {"requests": {"cpu": "2"}},
    });
    let template = json!({
        "metadata": {"labels": {"app": WEB}, "annotations": annotations},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 5},
    });
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"selector": {"app": WEB}, "ports": [{"port": 80, "targetPort": "http"}]},
        }),
        json!({"apiVersion": "mlops.example.com/v1alpha1", "kind": "Model", "metadata": metadata}),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": WEB}}, "template": template},
        }),
    ]
}

/// Our own program, where a test starts one more pod.
async fn program() -> PathBuf {
    workspace::binary("metrics-apiserver").await.unwrap()
}
