//! What the tests of the whole share: our server, registered, its Prometheus servers, and a node for its pods.
//!
//! There is one `APIService` for external metrics in a cluster, so there is one server behind it. Whoever stops a
//! Prometheus takes [`Fixture::outage`], which nobody else reads from; a server to be damaged is another one, not
//! registered.

use crate::shared::with_cluster;
use std::{
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};
use testbed::{Cluster, Node, Prometheus, Server, User, node, prometheus, server, workspace};
use tokio::sync::Mutex;

/// The one image of the fixture's node: `inference-svc`.
pub(crate) const IMAGE: &str = "inference-svc:e2e";
/// The metric [`STEADY`] has series in this namespace, one for each queue: `orders` with 2.625 and `mails` with 7.
pub(crate) const STEADY_NAMESPACE: &str = "steady";
/// A metric that never changes, of the namespace [`STEADY_NAMESPACE`].
pub(crate) const STEADY: &str = "steady_queue";
/// A metric that is 42 in every namespace.
pub(crate) const EVERYWHERE: &str = "steady_everywhere";
/// A metric that is 3 in every namespace, for `app=web`, while the Prometheus [`Fixture::outage`] is up.
pub(crate) const OUTAGE: &str = "outage_queue";
/// The query behind [`STEADY`], without the namespace.
pub(crate) const STEADY_QUERY: &str = "steady_queue @ 1700000000";

/// Samples are imported once, at a fixed time, so that each read gives the same.
pub(crate) const STEADY_SAMPLES: &str = "# TYPE steady_queue gauge\n\
    steady_queue{namespace=\"steady\",queue=\"orders\"} 2.625 1700000000\n\
    steady_queue{namespace=\"steady\",queue=\"mails\"} 7 1700000000\n\
    # TYPE steady_everywhere gauge\n\
    steady_everywhere 42 1700000000\n\
    # EOF\n";
const OUTAGE_SAMPLES: &str = "# TYPE outage_queue gauge\noutage_queue{app=\"web\"} 3 1700000000\n# EOF\n";

/// Our server, registered, with all that it stands on.
pub(crate) struct Fixture {
    /// Registered for `external.metrics.k8s.io`; answers everybody, so it must stay as it is.
    pub(crate) server: Server,
    /// How long after its registration the `APIService` was Available.
    pub(crate) available_after: Duration,
    /// The server's configuration file.
    configuration: String,
    /// Where each test may run pods with the image [`IMAGE`].
    _node: Node,
    /// Scrapes the pods with the usual annotations, every second.
    _scraping: Prometheus,
    /// Holds [`STEADY`] and [`EVERYWHERE`].
    pub(crate) steady: Prometheus,
    /// Holds [`OUTAGE`], which only the holder of the lock reads: it may stop it, and starts it again.
    pub(crate) outage: Mutex<Prometheus>,
    /// The cluster, which ends after everything that works with it.
    pub(crate) cluster: Arc<Cluster>,
}

/// Runs a test on the shared runtime with the shared cluster and the shared fixture.
pub(crate) fn with_fixture<F, Fut>(test: F)
where
    F: FnOnce(Arc<Fixture>) -> Fut,
    Fut: Future<Output = ()>,
{
    with_cluster(|cluster| async move {
        let fixture = fixture(cluster).await;
        test(fixture).await;
    });
}

/// The fixture of the tests that run now; the last to let go of it ends it.
async fn fixture(cluster: Arc<Cluster>) -> Arc<Fixture> {
    static FIXTURE: Mutex<Weak<Fixture>> = Mutex::const_new(Weak::new());
    let mut shared = FIXTURE.lock().await;
    if let Some(fixture) = shared.upgrade() {
        return fixture;
    }
    let fixture = Arc::new(Fixture::start(cluster).await.expect("the fixture starts"));
    *shared = Arc::downgrade(&fixture);
    fixture
}

impl Fixture {
    async fn start(cluster: Arc<Cluster>) -> anyhow::Result<Self> {
        let kubeconfig = Some(cluster.kubeconfig(User::Admin).to_owned());
        let scraping = prometheus::Options { name: "e2e-scraping".into(), kubeconfig, ..Default::default() };
        let (scraping, steady, outage) = tokio::try_join!(
            Prometheus::start(scraping),
            with_samples("e2e-steady", STEADY_SAMPLES),
            with_samples("e2e-outage", OUTAGE_SAMPLES),
        )?;
        let config = cluster.dir().subdir("fixture")?.join("config.yaml");
        let configuration = configuration(scraping.url(), steady.url(), outage.url());
        std::fs::write(&config, &configuration)?;
        let kubeconfig = Server::account(&cluster).await?;
        let options = server::Options { config, kubeconfig, args: Vec::new() };
        let server = Server::start(&cluster, "metrics-apiserver", &options).await?;
        let begin = std::time::Instant::now();
        server.register(&cluster).await?;
        available(&cluster).await?;
        let available_after = begin.elapsed();
        let node = Node::start(&cluster, node_options(&cluster).await?).await?;
        let outage = Mutex::new(outage);
        Ok(Self {
            server,
            available_after,
            configuration,
            _node: node,
            _scraping: scraping,
            steady,
            outage,
            cluster,
        })
    }

    /// A configuration file as the registered server's, for a server of one's own; the name must be new.
    pub(crate) async fn configuration(&self, name: &str) -> PathBuf {
        let file = self.cluster.dir().subdir("fixture").unwrap().join(format!("{name}.yaml"));
        tokio::fs::write(&file, &self.configuration).await.unwrap();
        file
    }
}

/// Waits until kube-apiserver counts the API as Available.
pub(crate) async fn available(cluster: &Cluster) -> anyhow::Result<()> {
    let args = ["wait", "--for=condition=Available", "apiservice/v1beta1.external.metrics.k8s.io"];
    cluster.kubectl().run(&[&args[..], &["--timeout=30s"]].concat()).await?.success()?;
    Ok(())
}

/// A Prometheus that has these samples and scrapes nothing.
pub(crate) async fn with_samples(name: &str, samples: &str) -> anyhow::Result<Prometheus> {
    let openmetrics = Some(samples.to_owned());
    Prometheus::start(prometheus::Options { name: name.into(), openmetrics, ..Default::default() }).await
}

async fn node_options(cluster: &Cluster) -> anyhow::Result<node::Options> {
    let images = node::Images::from([(IMAGE.to_owned(), workspace::binary("inference-svc").await?.into())]);
    Ok(node::Options { name: "e2e".into(), images, logs: cluster.dir().logs().to_owned() })
}

/// Short windows and ages: Prometheus scrapes every second, the HPA controller looks every second.
fn configuration(scraping: &str, steady: &str, outage: &str) -> String {
    format!(
        r#"
backends:
  scraping: {{url: "{scraping}"}}
  steady: {{url: "{steady}"}}
  outage: {{url: "{outage}"}}
metrics:
- name: python_request_duration_seconds_per_request
  backend: scraping
  maxAge: 500ms
  query: |
    sum(rate(python_request_duration_seconds_sum[5s])) / (sum(rate(python_request_duration_seconds_count[5s])) > 0)
    or sum(rate(python_request_duration_seconds_count[5s])) * 0
- name: python_requests_in_flight
  backend: scraping
  maxAge: 500ms
  query: sum(python_requests_in_flight)
- name: {STEADY}
  backend: steady
  query: {STEADY_QUERY}
- name: {EVERYWHERE}
  backend: steady
  namespace: none
  query: steady_everywhere @ 1700000000
- name: {OUTAGE}
  backend: outage
  namespace: none
  maxAge: 0s
  query: outage_queue @ 1700000000
"#
    )
}
