//! A cluster in which guides are followed, one after the other.

use crate::{
    checkout::Checkout,
    page::{self, Step},
    pattern,
};
use anyhow::{Result, ensure};
use std::time::Duration;
use testbed::{
    Cluster, Node, Options, User, eventually,
    node::{self, Image},
    tools, workspace,
};

/// How long a state may take that a page shows. Scrapes and HPAs take seconds; a machine that compiles gets more.
const SOON: Duration = Duration::from_secs(90);
/// The node's name, which one of the stand-ins measures: that of minikube's node.
const NODE: &str = "minikube";
/// Everything that guides make, and what must be gone after each.
const EVERYTHING: &str = "\
    kubectl get namespaces,apiservices,crds,clusterroles,clusterrolebindings,flowschemas -o name; \
    kubectl get deployments,pods,services,configmaps,hpa,secrets,rolebindings -A -o name";

/// What a failure is told with.
const EVENTS: &str = "kubectl get events -A --sort-by=.metadata.creationTimestamp | tail -n 12";

/// A control plane, a node with the images that the guides name, and a checkout.
pub(crate) struct Place {
    pub(crate) checkout: Checkout,
    node: Node,
    // Ends after the node.
    _cluster: Cluster,
    before: String,
}

impl Place {
    pub(crate) async fn start() -> Self {
        // By default HPAs ignore the CPU usage of pods in their first five minutes.
        let args = ["cpu-initialization-period", "initial-readiness-delay"]
            .map(|name| format!("--horizontal-pod-autoscaler-{name}=1s"));
        let options =
            Options { name: "guides".into(), controller_manager_args: args.into(), ..Options::default() };
        let cluster = Cluster::start(options).await.unwrap();
        let options = node::Options {
            name: NODE.to_owned(),
            images: images(&cluster).await.unwrap(),
            logs: cluster.dir().logs().to_owned(),
        };
        let node = Node::start(&cluster, options).await.unwrap();
        let checkout = Checkout::new(cluster.dir().state(), cluster.kubeconfig(User::Admin)).await;
        let (before, _) = checkout.shell(EVERYTHING).await;
        Self { checkout, node, _cluster: cluster, before }
    }

    /// Follows a guide, and checks that it leaves nothing.
    pub(crate) async fn follow(&self, guide: &str) {
        self.follow_steps(guide, |_| true).await;
        self.is_as_before(guide).await;
    }

    /// Follows those steps of a guide.
    pub(crate) async fn follow_steps(&self, guide: &str, is_meant: impl Fn(&Step) -> bool) {
        let steps = page::of_guide(workspace::root(), guide).into_iter().filter(is_meant);
        for step in steps {
            let place = format!("guides/{guide}/README.md:{}", step.line);
            if let Err(error) = self.take(&step).await {
                let (events, _) = self.checkout.shell(EVENTS).await;
                panic!("{place} ({}): {error:#}\n{events}", step.section);
            }
        }
    }

    /// Waits until there is no more than before the guide.
    pub(crate) async fn is_as_before(&self, guide: &str) {
        let is_clean = async || {
            let (now, _) = self.checkout.shell(EVERYTHING).await;
            let left: Vec<_> =
                now.lines().filter(|line| !self.before.lines().any(|old| old == *line)).collect();
            ensure!(left.is_empty(), "{}", left.join(", "));
            Ok(Some(()))
        };
        eventually(&format!("nothing to be left of {guide}"), SOON, is_clean).await.unwrap();
    }

    async fn take(&self, step: &Step) -> Result<()> {
        if step.is_read() {
            let what = format!("`{}` to show what the page shows", step.command);
            return eventually(&what, SOON, || async { self.once(step).await.map(Some) }).await;
        }
        self.once(step).await
    }

    async fn once(&self, step: &Step) -> Result<()> {
        let (output, succeeds) = self.checkout.shell(&step.command).await;
        ensure!(succeeds != step.fails(), "`{}` succeeds: {succeeds}; it printed:\n{output}", step.command);
        let is_shown = step.shown.is_empty() || pattern::matches(&step.shown, &output);
        ensure!(
            is_shown,
            "`{}` printed:\n{output}\nthe page shows:\n{}",
            step.command,
            step.shown.join("\n")
        );
        Ok(())
    }

    /// Ends the pods in order.
    pub(crate) async fn end(self) {
        self.node.shutdown().await.unwrap();
    }
}

/// The images of the guides.
async fn images(cluster: &Cluster) -> Result<node::Images> {
    let server = format!("registry.example.com/metrics-apiserver:{}", env!("CARGO_PKG_VERSION"));
    let stand_in = Image::new(workspace::binary("httpd").await?);
    let victoria_metrics = Image::new(tools::victoria_metrics().await?);
    Ok(node::Images::from([
        (server, Image::api_server(workspace::binary("metrics-apiserver").await?)),
        ("docker.io/library/busybox:1.37".to_owned(), stand_in.clone()),
        ("registry.k8s.io/pause:3.10".to_owned(), stand_in),
        ("docker.io/prom/prometheus:v3.16.0".to_owned(), Image::prometheus(cluster.tools().prometheus())),
        ("docker.io/victoriametrics/victoria-metrics:v1.151.0".to_owned(), victoria_metrics),
    ]))
}
