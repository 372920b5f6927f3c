//! Taking over from another provider of the metrics APIs and giving back, with real pods, Prometheus, and HPAs that
//! read every API all the time. A reader measures for how long there is no answer, and finds every wrong number.
//!
//! There is one object per API in a cluster, so the tests take turns; each begins without any provider.

mod fresh;
mod keda;
mod level;
mod manifests;
mod orders;
mod reader;
mod releases;
mod workloads;

use crate::{case::NAMESPACE, cluster::Place};
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::{
    io::Write as _,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};
use testbed::{Node, node, tools, workspace};
use tokio::{runtime::Runtime, sync::Mutex, time::Instant};

/// Roll-outs take half a minute; a machine that compiles meanwhile gets more.
const SOON: Duration = Duration::from_secs(180);
const PROMETHEUS: &str = include_str!("../prometheus.yaml");
/// Every APIService that a provider may make.
const APIS: [&str; 5] = [
    "v1beta1.custom.metrics.k8s.io",
    "v1beta1.external.metrics.k8s.io",
    "v1beta1.metrics.k8s.io",
    "v1beta2.custom.metrics.k8s.io",
    "v1.metrics.k8s.io",
];

/// Prints a measurement, also of a test that passes.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A cluster with Prometheus and the workloads.
struct Swap {
    turn: Mutex<()>,
    /// Asks kube-apiserver as an administrator, and Prometheus.
    client: reqwest::Client,
    /// Asks pods as an administrator, whatever their certificates are.
    direct: reqwest::Client,
    /// When the metrics changed.
    loaded: Mutex<Instant>,
    /// Where Prometheus is reached.
    prometheus: String,
    _node: Node,
    place: Place,
}

/// Runs a test with the cluster, alone.
fn with_swap<F, Fut>(test: F)
where
    F: FnOnce(Arc<Swap>) -> Fut,
    Fut: Future<Output = ()>,
{
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap()).block_on(async {
        let swap = shared().await;
        let other = Arc::clone(&swap);
        let _turn = other.turn.lock().await;
        swap.clear().await;
        test(swap).await;
    });
}

/// The cluster of the tests that run now; the last to let go of it ends it.
async fn shared() -> Arc<Swap> {
    static SWAP: Mutex<Weak<Swap>> = Mutex::const_new(Weak::new());
    let mut shared = SWAP.lock().await;
    if let Some(swap) = shared.upgrade() {
        return swap;
    }
    let swap = Arc::new(Swap::start().await);
    *shared = Arc::downgrade(&swap);
    swap
}

impl Swap {
    async fn start() -> Self {
        let place = Place::new("chart-swap").await;
        let program = async |name| workspace::binary(name).await.unwrap();
        let server = node::Image::api_server(program("metrics-apiserver").await);
        let adapter = node::Image::api_server(tools::prometheus_adapter().await.unwrap());
        let prometheus = node::Image::prometheus(place.cluster.tools().prometheus());
        let options = node::Options {
            name: "chart-swap".to_owned(),
            images: node::Images::from([
                (format!("metrics-apiserver:{}", env!("CARGO_PKG_VERSION")), server),
                ("registry.example.com/prometheus-adapter:v0.12.0".to_owned(), adapter),
                ("prometheus:testbed".to_owned(), prometheus),
                (workloads::IMAGE.to_owned(), program("inference-svc").await.into()),
            ]),
            logs: place.cluster.dir().logs().to_owned(),
        };
        let node = Node::start(&place.cluster, options).await.unwrap();
        place.apply(&["apply", "-n", NAMESPACE, "-f", "-"], PROMETHEUS).await;
        place.apply(&["apply", "-f", "-"], &workloads::objects().to_string()).await;
        let rollout = ["rollout", "status", "deployment/prometheus", "-n", NAMESPACE, "--timeout=120s"];
        place.kubectl(&rollout).await;
        let address = ["get", "service", "prometheus", "-n", NAMESPACE, "-o", "jsonpath={.spec.clusterIP}"];
        let prometheus = format!("http://{}:9090", place.kubectl(&address).await);
        let ca = place.cluster.credentials().cluster_ca.pem();
        let ca = reqwest::Certificate::from_pem(ca.as_bytes()).unwrap();
        let client = administrator(&place).tls_certs_only([ca]).build().unwrap();
        let direct = administrator(&place).tls_danger_accept_invalid_certs(true).build().unwrap();
        let this = Self {
            turn: Mutex::new(()),
            loaded: Mutex::new(Instant::now()),
            client,
            direct,
            prometheus,
            _node: node,
            place,
        };
        this.load(level::STEADY).await;
        this
    }

    /// Removes what an earlier test left of providers, and has the workloads at their usual size.
    async fn clear(&self) {
        for release in self.place.helm(&["list", "--namespace", NAMESPACE, "--short"]).await.lines() {
            self.place.helm(&["uninstall", release, "--namespace", NAMESPACE]).await;
        }
        self.remove_manifests().await;
        let apis = [&["delete", "apiservice", "--ignore-not-found"], &APIS[..]].concat();
        self.place.kubectl(&apis).await;
        self.load(level::STEADY).await;
    }

    async fn api_service(&self, name: &str) -> Value {
        let text = self.place.kubectl(&["get", "apiservice", name, "-o", "json"]).await;
        serde_json::from_str(&text).unwrap()
    }

    /// What an API answers through kube-apiserver; an error for anything but 200.
    async fn get(&self, path: &str) -> Result<Value> {
        let url = format!("{}{path}", self.place.cluster.url());
        let answer = self.client.get(&url).timeout(Duration::from_secs(10)).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        anyhow::ensure!(status.is_success(), "{} {}", status.as_u16(), text.trim());
        serde_json::from_str(&text).context("no JSON")
    }
}

impl Place {
    /// kubectl's output, or a panic with its complaint.
    async fn kubectl(&self, args: &[&str]) -> String {
        self.apply(args, "").await
    }
}

/// Has all rights, also that to read any metric.
fn administrator(place: &Place) -> reqwest::ClientBuilder {
    let identity = place.cluster.credentials().cluster_ca.client("reader", Some("system:masters")).unwrap();
    let files = identity.write(place.cluster.dir().state(), "reader").unwrap();
    let pem = [files.key, files.certificate].map(|file| std::fs::read(file).unwrap()).concat();
    reqwest::Client::builder().no_proxy().identity(reqwest::Identity::from_pem(&pem).unwrap())
}
