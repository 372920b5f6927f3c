//! Every case on a real kube-apiserver: accepted, installed, upgraded without a difference, and removed.

use crate::case::{self, NAMESPACE, chart_path};
use testbed::{Cluster, Helm, Kubectl, Options, User};

/// The smallest definitions of the kinds that the chart needs.
const DEFINITIONS: &str = include_str!("../e2e/custom_resources.yaml");

/// A cluster with the namespace of the releases, and Helm for it.
pub(crate) struct Place {
    pub(crate) cluster: Cluster,
    pub(crate) helm: Helm,
    pub(crate) kubectl: Kubectl,
}

impl Place {
    pub(crate) async fn new(name: &str) -> Self {
        let cluster = Cluster::start(Options { name: name.into(), ..Options::default() }).await.unwrap();
        let helm = Helm::find(cluster.dir().state(), Some(cluster.kubeconfig(User::Admin))).await.unwrap();
        let kubectl = cluster.kubectl();
        kubectl.run(&["create", "namespace", NAMESPACE]).await.unwrap().success().unwrap();
        Self { cluster, helm, kubectl }
    }

    /// Helm's output, or a panic with its complaint.
    pub(crate) async fn helm(&self, args: &[&str]) -> String {
        self.helm.run(args).await.unwrap().success().unwrap_or_else(|error| panic!("{args:?}: {error:#}"))
    }

    pub(crate) async fn apply(&self, args: &[&str], input: &str) -> String {
        let applied = self.kubectl.run_with_input(args, input).await.unwrap();
        applied.success().unwrap_or_else(|error| panic!("{args:?}: {error:#}"))
    }
}

#[tokio::test]
async fn every_case_is_accepted_installed_upgraded_without_a_difference_and_removed() {
    let place = Place::new("chart-cluster").await;
    place.apply(&["apply", "-f", "-"], DEFINITIONS).await;
    place.apply(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"], "").await;
    let chart = chart_path();
    for case in case::all() {
        let mut args = case.template_args(&chart);
        // A Job does not end here: there are no nodes.
        if !case.name.ends_with("existing-rules") {
            args.extend(["--set", "checkJob.enabled=true", "--set", "dashboard.enabled=true"]);
        }
        let rendered = place.helm(&args).await;
        place.apply(&["apply", "--dry-run=server", "-f", "-"], &rendered).await;
        // As a user swaps the charts: with the values as they are.
        place.helm(&case.args(&chart, &["install"])).await;
        let manifest = ["get", "manifest", &*case.release, "--namespace", NAMESPACE];
        let installed = place.helm(&manifest).await;
        place.helm(&case.args(&chart, &["upgrade"])).await;
        assert_eq!(place.helm(&manifest).await, installed, "{}: a second rendering differs", case.name);
        // As GitOps controllers compare: nothing was changed or dropped by kube-apiserver.
        let diff = place.kubectl.run_with_input(&["diff", "-f", "-"], &installed);
        let diff = diff.await.unwrap();
        assert!(diff.status.success(), "{}: {}{}", case.name, diff.stdout, diff.stderr);
        place.helm(&["uninstall", &case.release, "--namespace", NAMESPACE, "--wait"]).await;
        let get = ["get", "-f", "-", "--ignore-not-found", "-o", "name"];
        let left = place.kubectl.run_with_input(&get, &installed).await.unwrap();
        assert_eq!(left.success().unwrap(), "", "{}", case.name);
    }
}
