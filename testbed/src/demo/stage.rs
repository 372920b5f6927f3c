//! Everything that plays: cluster, node, Prometheus, our server, and the manifests.

use super::{METRIC, NAMESPACE, Options, SETTLE, WORKLOAD};
use crate::{
    Cluster, Node, Prometheus, Server, User, cluster, eventually,
    load::ready_address,
    node, pki, ports, prometheus,
    server::{self, Serving},
    serving_certificate::{self, Overlay, Request},
    workspace,
};
use anyhow::{Context, Result};
use k8s_openapi::{api::core::v1::Pod, kube_aggregator::pkg::apis::apiregistration::v1::APIService};
use kube::{Api, api::ListParams};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// As in `manifests/inference/deployment.yaml`.
const IMAGE: &str = "inference-svc:0.1.0";
/// The serving certificate goes with the run.
const VALIDITY: Duration = Duration::from_secs(7 * 24 * 3600);

/// All that runs. It ends with this value; [`Stage::end`] ends it in order.
pub(super) struct Stage {
    // In the order in which they end.
    server: Server,
    node: Node,
    prometheus: Prometheus,
    pub(super) cluster: Cluster,
    /// When the server was ready.
    ready: Instant,
}

impl Stage {
    /// Starts everything and applies the manifests, with kubectl as an operator would.
    pub(super) async fn start(options: Options) -> Result<Self> {
        let cluster = Cluster::start(cluster::Options {
            name: "demo".into(),
            hpa_sync_period: options.pace(),
            ..cluster::Options::default()
        })
        .await?;
        let prometheus = Prometheus::start(prometheus::Options {
            name: "demo-prometheus".into(),
            kubeconfig: Some(cluster.kubeconfig(User::Admin).to_owned()),
            ..prometheus::Options::default()
        })
        .await?;
        let images = BTreeMap::from([(IMAGE.to_owned(), workspace::binary(WORKLOAD).await?.into())]);
        let logs = cluster.dir().logs().to_owned();
        let node = Node::start(&cluster, node::Options { name: "demo".into(), images, logs });
        let node = node.await?;
        let serving = apply(&cluster, options).await?;
        let (config, args) = if options.adapter_config {
            (adapter_config(&cluster)?, adapter_flags(&prometheus))
        } else {
            (config(&cluster, &prometheus, options)?, Vec::new())
        };
        let kubeconfig = cluster.service_account_kubeconfig(server::NAME, server::NAME).await?;
        let server = server::Options { config, kubeconfig, args };
        let server = Server::start_with(&cluster, server::NAME, &server, serving).await?;
        Ok(Self { server, node, prometheus, cluster, ready: Instant::now() })
    }

    /// Waits until kube-apiserver calls the `APIService` Available; how long that took after the server was ready.
    pub(super) async fn available(&self) -> Result<Duration> {
        let services: Api<APIService> = Api::all(self.cluster.client().await?);
        let look = async || {
            let service = services.get("v1beta1.external.metrics.k8s.io").await?;
            let conditions = service.status.and_then(|it| it.conditions).unwrap_or_default();
            let condition = conditions.into_iter().find(|it| it.type_ == "Available");
            let condition = condition.context("the APIService has no condition Available yet")?;
            anyhow::ensure!(condition.status == "True", "{}", condition.message.unwrap_or_default());
            Ok(Some(self.ready.elapsed()))
        };
        eventually("the APIService to be Available", SETTLE, look).await
    }

    /// Waits until the first pod of the workload is ready.
    pub(super) async fn pod_ready(&self) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.cluster.client().await?, NAMESPACE);
        let ours = ListParams::default().labels(&format!("app={WORKLOAD}"));
        let look = async || Ok(pods.list(&ours).await?.items.iter().find_map(ready_address).map(drop));
        eventually("the first pod to be ready", SETTLE, look).await
    }

    /// The folder with the logs of all but Prometheus.
    pub(super) fn logs(&self) -> &Path {
        self.cluster.dir().logs()
    }

    /// How to look around while everything runs.
    pub(super) fn usage(&self) -> String {
        format!(
            "\nEverything keeps running. In another terminal:\n\n  \
               export KUBECONFIG={kubeconfig}\n  \
               alias kubectl={kubectl}\n  \
               kubectl get apiservices v1beta1.external.metrics.k8s.io\n  \
               kubectl get --raw '/apis/external.metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/{METRIC}'\n  \
               kubectl describe hpa {WORKLOAD}\n  \
               kubectl get pods -o wide\n  \
               curl http://POD_IP:8080/    # one inference\n  \
               curl -g '{prometheus}/api/v1/query?query=python_request_duration_seconds_count'\n\n\
             Prometheus:  {prometheus}/api/v1/ (the API; it is built without its pages)\n\
             Logs:        {logs}\n\n\
             ctrl-c ends everything.",
            kubeconfig = self.cluster.kubeconfig(User::Admin).display(),
            kubectl = self.cluster.tools().kubectl().display(),
            prometheus = self.prometheus.url(),
            logs = self.logs().display(),
        )
    }

    /// Ends everything in order; the first error of any part.
    pub(super) async fn end(self) -> Result<()> {
        let server = self.server.process().stop().await.map(drop);
        let node = self.node.shutdown().await;
        let prometheus = self.prometheus.stop().await;
        server.and(node).and(prometheus).and(self.cluster.shutdown().await)
    }
}

/// Makes the serving certificate and applies the overlay with it; what the server is to show and where it is to listen.
async fn apply(cluster: &Cluster, options: Options) -> Result<Serving> {
    let out_dir = cluster.dir().subdir("manifests")?;
    let port = ports::free()?;
    let directory = overlay(options);
    let made = serving_certificate::generate(&Request {
        service: server::NAME,
        namespace: server::NAME,
        validity: VALIDITY,
        out_dir: &out_dir,
        overlay: Some(Overlay { directory: &directory, api_service_port: Some(port) }),
        force: false,
    })?;
    let directory = out_dir.to_str().context("the run's folder has a name that is no UTF-8")?;
    cluster.kubectl().run(&["apply", "-k", directory]).await?.success()?;
    let ca = std::fs::read_to_string(&made.ca_file)
        .with_context(|| format!("reading {}", made.ca_file.display()))?;
    let files = pki::IdentityFiles { certificate: made.certificate_file, key: made.key_file };
    Ok(Serving { files, ca, port })
}

/// The configuration as it is shipped, with the address of the Prometheus that runs here. Written as JSON, which is
/// YAML.
fn config(cluster: &Cluster, prometheus: &Prometheus, options: Options) -> Result<PathBuf> {
    let shipped = if options.realistic {
        workspace::root().join("manifests/base/config.yaml")
    } else {
        overlay(options).join("config.yaml")
    };
    let text = std::fs::read_to_string(&shipped);
    let text = text.with_context(|| format!("reading {}", shipped.display()))?;
    let mut config: Value = serde_saphyr::from_str(&text)?;
    let url = config.pointer_mut("/backends/default/url");
    *url.with_context(|| format!("{} names no backends.default.url", shipped.display()))? =
        prometheus.url().into();
    let path = cluster.dir().subdir("config")?.join("config.yaml");
    pki::write(&path, &format!("{config:#}\n"))?;
    Ok(path)
}

/// A configuration of prometheus-adapter that serves the same metric.
fn adapter_config(cluster: &Cluster) -> Result<PathBuf> {
    let path = cluster.dir().subdir("config")?.join("config.yaml");
    pki::write(&path, include_str!("adapter.yaml"))?;
    Ok(path)
}

/// What prometheus-adapter's manifests name besides the configuration file.
fn adapter_flags(prometheus: &Prometheus) -> Vec<String> {
    let url = format!("--prometheus-url={}", prometheus.url());
    vec![url, "--metrics-relist-interval=2s".into(), "--metrics-max-age=1m".into()]
}

fn overlay(options: Options) -> PathBuf {
    workspace::root().join("manifests/overlays").join(options.overlay())
}
