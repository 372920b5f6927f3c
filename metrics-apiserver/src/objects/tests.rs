//! The room beside a fake Kubernetes API.

mod reads;
mod table;
mod watches;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cluster::Cluster;
use super::store::Budget;
use super::*;
use crate::metric::Namespace;
use crate::testkit::{Play, Request, Server, failure};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// The room and its Kubernetes API. Its tasks end with the test.
struct Fixture {
    server: Server,
    objects: Arc<Objects>,
    registry: Registry,
    _tasks: JoinSet<()>,
}

impl Fixture {
    /// A Kubernetes API that answers by the target of the request; what is not in the script is not found.
    fn new(script: impl Fn(&str) -> Option<Play> + Send + Sync + 'static) -> Self {
        Self::with(script, Options::new(1_000.0, 1_000, Duration::from_millis(20)), Budget::default(), 100)
    }

    fn with(
        script: impl Fn(&str) -> Option<Play> + Send + Sync + 'static,
        options: Options,
        budget: Budget,
        selected_max: usize,
    ) -> Self {
        let server = Server::start(by_target(script));
        let mut registry = Registry::default();
        let cluster = Cluster::with_limits(server.client(), options, &mut registry, budget, selected_max);
        let objects = Arc::new(Objects { source: Source::Cluster(Box::new(cluster)) });
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&objects).run());
        Self { server, objects, registry, _tasks: tasks }
    }

    fn script(&self, script: impl Fn(&str) -> Option<Play> + Send + Sync + 'static) {
        self.server.script(by_target(script));
    }

    /// The names of the selected pods.
    async fn pods(&self, namespace: &str, selector: &str) -> Result<Vec<String>, ObjectsError> {
        self.pods_within(namespace, selector, LONG).await
    }

    async fn pods_within(
        &self,
        namespace: &str,
        selector: &str,
        time: Duration,
    ) -> Result<Vec<String>, ObjectsError> {
        let selected = self.objects.select(&pods(namespace, selector), Instant::now() + time).await?;
        Ok(selected.iter().map(|object| object.name.to_string()).collect())
    }

    /// Waits until these pods are selected.
    async fn until_pods(&self, namespace: &str, selector: &str, expected: &[&str]) {
        eventually(async || self.pods(namespace, selector).await.is_ok_and(|pods| pods == expected)).await;
    }

    /// The requests whose target begins like this.
    fn requests(&self, prefix: &str) -> Vec<String> {
        let targets = self.server.requests().into_iter().map(|request| target(&request).to_owned());
        targets.filter(|target| target.starts_with(prefix)).collect()
    }
}

fn by_target(script: impl Fn(&str) -> Option<Play>) -> impl Fn(&Request) -> Play {
    move |request| script(target(request)).unwrap_or_else(|| failure(404, "NotFound"))
}

fn target(request: &Request) -> &str {
    request.line.split(' ').nth(1).unwrap()
}

/// Pods whatever their phase.
fn pods(namespace: &str, selector: &str) -> Selection {
    let namespace = (!namespace.is_empty()).then(|| Namespace::parse(namespace).unwrap());
    let mut selection = Selection::running_pods(namespace, selector.parse().unwrap());
    selection.running = false;
    selection
}

/// Waits until this is so.
async fn eventually(condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition().await {
        assert!(Instant::now() < deadline, "it never was");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
