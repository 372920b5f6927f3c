//! The server as the chart installs it: its pods run on a node with their volumes, the Service leads to them, and
//! Prometheus is a pod, too. Tests take turns, since they change the one release.

use crate::{
    case::{NAMESPACE, chart_path, values_file},
    cluster::Place,
};
use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{Api, ResourceExt, api::ListParams};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use testbed::{Node, eventually, node, workspace};
use tokio::{runtime::Runtime, sync::Mutex};

const RELEASE: &str = "metrics-apiserver";
const API: &str = "v1beta1.external.metrics.k8s.io";
const READS: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces";
/// Roll-outs take half a minute; a machine that compiles meanwhile gets more.
const SOON: Duration = Duration::from_secs(180);
/// A Prometheus that computes a metric by itself, as a guide would install it.
const PROMETHEUS: &str = include_str!("prometheus.yaml");

/// The release, and what it stands on.
struct Installed {
    turn: Mutex<()>,
    node: Node,
    place: Place,
}

/// Runs a test with the release, alone.
fn with_installed<F, Fut>(test: F)
where
    F: FnOnce(Arc<Installed>) -> Fut,
    Fut: Future<Output = ()>,
{
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap()).block_on(async {
        let installed = installed().await;
        let other = Arc::clone(&installed);
        let _turn = other.turn.lock().await;
        // As installed, whatever the test before left.
        installed.release("upgrade", &values("queue_depth"), &[]).await;
        test(installed).await;
    });
}

/// The release of the tests that run now; the last to let go of it ends it.
async fn installed() -> Arc<Installed> {
    static INSTALLED: Mutex<Weak<Installed>> = Mutex::const_new(Weak::new());
    let mut shared = INSTALLED.lock().await;
    if let Some(installed) = shared.upgrade() {
        return installed;
    }
    let installed = Arc::new(Installed::start().await);
    *shared = Arc::downgrade(&installed);
    installed
}

impl Installed {
    async fn start() -> Self {
        let place = Place::new("chart-installed").await;
        let server = workspace::binary("metrics-apiserver").await.unwrap();
        let server_image = format!("{RELEASE}:{}", env!("CARGO_PKG_VERSION"));
        let prometheus = place.cluster.tools().prometheus();
        let options = node::Options {
            name: "chart-installed".to_owned(),
            images: node::Images::from([
                (server_image, node::Image::api_server(server)),
                ("prometheus:testbed".to_owned(), node::Image::prometheus(prometheus)),
            ]),
            logs: place.cluster.dir().logs().to_owned(),
        };
        let node = Node::start(&place.cluster, options).await.unwrap();
        let applied = place.kubectl.run_with_input(&["apply", "-n", NAMESPACE, "-f", "-"], PROMETHEUS);
        applied.await.unwrap().success().unwrap();
        let this = Self { turn: Mutex::new(()), node, place };
        this.release("install", &values("queue_depth"), &[]).await;
        let available = ["wait", "--for=condition=Available", "apiservice", API, "--timeout=60s"];
        this.place.kubectl.run(&available).await.unwrap().success().unwrap();
        this
    }

    /// `helm COMMAND --wait` with the chart and these values.
    async fn release(&self, command: &str, values: &Value, more: &[&str]) {
        let values = values_file(self.place.cluster.dir().state(), &values.to_string());
        let chart = chart_path();
        let args = [command, RELEASE, &chart, "--namespace", NAMESPACE, "--wait", "--timeout", "180s"];
        self.place.helm(&[&args[..], &["--values", &values], more].concat()).await;
    }

    /// The value of a metric, read through the aggregator by kubectl.
    async fn read(&self, metric: &str) -> Result<String> {
        let path = format!("{READS}/{NAMESPACE}/{metric}");
        let text = self.place.kubectl.run(&["get", "--raw", &path]).await?.success()?;
        value(&serde_json::from_str(&text)?)
    }

    async fn reads(&self, metric: &str, expected: &str) {
        let what = format!("{metric} to be {expected}");
        let read = eventually(&what, SOON, || async {
            let value = self.read(metric).await?;
            ensure!(value == expected, "{value}");
            Ok(Some(()))
        });
        read.await.unwrap();
    }

    /// The server's pods that are not about to end.
    async fn pods(&self) -> Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::namespaced(self.place.cluster.client().await?, NAMESPACE);
        let labels = format!("app.kubernetes.io/instance={RELEASE}");
        let mut pods = pods.list(&ListParams::default().labels(&labels)).await?.items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        Ok(pods)
    }

    /// The process of a pod: that with its name and its cluster in its environment.
    fn process(&self, pod: &Pod) -> Process {
        let url = self.place.cluster.url();
        let (_, port) = url.rsplit_once(':').unwrap();
        let wanted = [format!("HOSTNAME={}", pod.name_any()), format!("KUBERNETES_SERVICE_PORT={port}")];
        let is_it = |path: &PathBuf| {
            let environment = std::fs::read(path.join("environ")).unwrap_or_default();
            let variables: BTreeSet<&[u8]> = environment.split(|byte| *byte == 0).collect();
            wanted.iter().all(|variable| variables.contains(variable.as_bytes()))
        };
        let mut processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
        Process(processes.find(is_it).unwrap_or_else(|| panic!("{} has no process", pod.name_any())))
    }

    /// Asks kube-apiserver as an administrator.
    fn administrator(&self) -> reqwest::Client {
        let credentials = self.place.cluster.credentials();
        let identity = credentials.cluster_ca.client("reader", Some("system:masters")).unwrap();
        let files = identity.write(self.place.cluster.dir().state(), "reader").unwrap();
        let pem = [files.key, files.certificate].map(|file| std::fs::read(file).unwrap()).concat();
        let ca = reqwest::Certificate::from_pem(credentials.cluster_ca.pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([ca]);
        client.identity(reqwest::Identity::from_pem(&pem).unwrap()).build().unwrap()
    }
}

/// A process by its folder in /proc.
struct Process(PathBuf);

impl Process {
    /// A file as the process sees it.
    fn file(&self, path: &str) -> PathBuf {
        self.0.join("root").join(path.trim_start_matches('/'))
    }

    /// The first of the ids in a line of its status.
    fn id(&self, name: &str) -> u32 {
        let status = std::fs::read_to_string(self.0.join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:"))).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }
}

/// What the values of every test have in common.
fn values(metric: &str) -> Value {
    json!({
        "prometheus": {"url": "http://prometheus.monitoring.svc"},
        "metrics": [{"name": metric, "query": "queue_depth", "maxAge": "0s"}],
        "rules": {"default": false},
    })
}

fn value(list: &Value) -> Result<String> {
    Ok(list["items"][0]["value"].as_str().with_context(|| format!("no value: {list}"))?.to_owned())
}

fn names(pods: &[Pod]) -> BTreeSet<String> {
    pods.iter().map(ResourceExt::name_any).collect()
}

#[test]
fn a_read_through_the_aggregator_has_the_number_of_prometheus_and_pods_are_as_the_chart_makes_them() {
    with_installed(|installed| async move {
        installed.reads("queue_depth", "7").await;
        let pods = installed.pods().await.unwrap();
        assert_eq!(pods.len(), 2);
        for pod in &pods {
            let process = installed.process(pod);
            // Without root the kernel's numbers are those of the user who runs the test.
            if std::fs::read_to_string("/proc/self/status").unwrap().contains("Uid:\t0\t") {
                assert_eq!((process.id("Uid"), process.id("Gid")), (65_532, 0));
            }
            let key = std::fs::metadata(process.file("/var/run/serving-cert/tls.key")).unwrap();
            assert_eq!(key.permissions().mode() & 0o777, 0o440);
            let root: BTreeSet<_> = std::fs::read_dir(process.file("/"))
                .unwrap()
                .collect::<Result<Vec<_>, _>>()
                .unwrap()
                .into_iter()
                .map(|entry| entry.file_name().into_string().unwrap())
                .collect();
            assert!(root.contains("metrics-apiserver") && !root.contains("home"), "{root:?}");
        }
    });
}

#[test]
fn an_upgrade_with_other_rules_is_checked_by_a_job_and_served_without_a_restart() {
    with_installed(|installed| async move {
        let before = names(&installed.pods().await.unwrap());
        let job = ["--set", "checkJob.enabled=true"];
        installed.release("upgrade", &values("queue_depth_again"), &job).await;
        installed.reads("queue_depth_again", "7").await;
        let pods = installed.pods().await.unwrap();
        assert_eq!(names(&pods), before);
        for pod in &pods {
            let config = installed.process(pod).file("/etc/adapter/config.yaml");
            assert!(std::fs::read_to_string(config).unwrap().contains("queue_depth_again"));
            assert_eq!(pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0].restart_count, 0);
        }
        installed.release("upgrade", &values("queue_depth"), &[]).await;
        installed.reads("queue_depth", "7").await;
    });
}

#[test]
fn a_roll_out_loses_no_read() {
    with_installed(|installed| async move {
        installed.reads("queue_depth", "7").await;
        let before = names(&installed.pods().await.unwrap());
        let (client, done) = (installed.administrator(), Arc::new(AtomicBool::new(false)));
        let url = format!("{}{READS}/{NAMESPACE}/queue_depth", installed.place.cluster.url());
        let reader = tokio::spawn({
            let done = Arc::clone(&done);
            async move {
                let mut reads = 0;
                while !done.load(Ordering::Relaxed) {
                    let answer = client.get(&url).send().await.unwrap();
                    let (status, text) = (answer.status(), answer.text().await.unwrap());
                    assert!(status.is_success(), "read {reads}: {status} {text}");
                    assert_eq!(value(&serde_json::from_str(&text).unwrap()).unwrap(), "7");
                    reads += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                reads
            }
        });
        installed.release("upgrade", &values("queue_depth"), &["--set", "logLevel=1"]).await;
        let pods: Api<Pod> = Api::namespaced(installed.place.cluster.client().await.unwrap(), NAMESPACE);
        let gone = eventually("the old pods to be gone", SOON, || async {
            let left = names(&pods.list(&ListParams::default()).await?.items);
            ensure!(left.is_disjoint(&before), "{left:?}");
            Ok(Some(()))
        });
        gone.await.unwrap();
        done.store(true, Ordering::Relaxed);
        let reads: u32 = reader.await.unwrap();
        assert!(reads > 100, "only {reads} reads");
        assert_eq!(installed.pods().await.unwrap().len(), 2);
        installed.reads("queue_depth", "7").await;
    });
}

#[test]
fn a_renewed_certificate_reaches_the_pods_and_is_served() {
    with_installed(|installed| async move {
        let renew = ["--set", "tls.generated.validDays=1826,tls.generated.renewBeforeDays=1825"];
        let pods = installed.pods().await.unwrap();
        installed.release("upgrade", &values("queue_depth"), &renew).await;
        let secrets: Api<Secret> =
            Api::namespaced(installed.place.cluster.client().await.unwrap(), NAMESPACE);
        let secret = secrets.get(&format!("{RELEASE}-serving-cert")).await.unwrap();
        let expected = CertificateDer::from_pem_slice(&secret.data.unwrap()["tls.crt"].0).unwrap();
        for pod in pods {
            let url = format!("https://{}:6443/livez", pod.status.unwrap().pod_ip.unwrap());
            let served = eventually("the new certificate to be served", SOON, || async {
                // A connection of its own each time.
                let client = reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true);
                let answer = client.tls_info(true).build()?.get(&url).send().await?;
                let info = answer.extensions().get::<reqwest::tls::TlsInfo>().context("no TLS")?;
                Ok((info.peer_certificate() == Some(&*expected)).then_some(()))
            });
            served.await.unwrap();
        }
        installed.reads("queue_depth", "7").await;
    });
}

#[test]
fn tokens_are_replaced_in_the_pods_and_the_server_goes_on() {
    with_installed(|installed| async move {
        installed.reads("queue_depth", "7").await;
        let pods = installed.pods().await.unwrap();
        let file = "/var/run/secrets/kubernetes.io/serviceaccount/token";
        let files: Vec<PathBuf> = pods.iter().map(|pod| installed.process(pod).file(file)).collect();
        let read = |file: &Path| std::fs::read_to_string(file).unwrap();
        let old: Vec<String> = files.iter().map(|file| read(file)).collect();
        installed.node.rotate_tokens();
        for (file, old) in files.iter().zip(&old) {
            let replaced =
                eventually("another token", SOON, || async { Ok((read(file) != *old).then_some(())) });
            replaced.await.unwrap();
        }
        installed.reads("queue_depth", "7").await;
        assert_eq!(names(&installed.pods().await.unwrap()), names(&pods), "no pod was replaced");
    });
}

#[test]
fn a_deleted_pod_is_replaced_while_reads_are_answered() {
    with_installed(|installed| async move {
        let before = names(&installed.pods().await.unwrap());
        let name = before.first().unwrap();
        let delete = ["delete", "pod", name, "--namespace", NAMESPACE];
        installed.place.kubectl.run(&delete).await.unwrap().success().unwrap();
        assert_eq!(installed.read("queue_depth").await.unwrap(), "7");
        let rollout =
            ["rollout", "status", "deployment", RELEASE, "--namespace", NAMESPACE, "--timeout=120s"];
        installed.place.kubectl.run(&rollout).await.unwrap().success().unwrap();
        let after = names(&installed.pods().await.unwrap());
        assert!(after.len() == 2 && !after.contains(name), "{before:?} {after:?}");
    });
}
