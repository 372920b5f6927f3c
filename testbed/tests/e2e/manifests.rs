//! Everything under `manifests/` as an operator applies it: `kubectl apply -k`, on a cluster of its own, since it takes
//! the API over and brings workloads.

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use testbed::{
    Cluster, Kubectl, Options, eventually, server,
    serving_certificate::{Overlay, Request, generate},
    workspace,
};

/// Controllers take a second; a machine that compiles meanwhile gets more.
const SOON: Duration = Duration::from_secs(60);
/// The smallest definitions of the kinds that the components need.
const DEFINITIONS: &str = include_str!("custom_resources.yaml");

/// The registration as prometheus-adapter's chart makes it.
const ADAPTERS_REGISTRATION: &str = "
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.external.metrics.k8s.io}
spec:
  group: external.metrics.k8s.io
  version: v1beta1
  service: {name: prometheus-adapter, namespace: monitoring}
  insecureSkipTLSVerify: true
  groupPriorityMinimum: 100
  versionPriority: 100
";

/// A cluster, and where kustomizations of one's own lie.
struct Place {
    cluster: Cluster,
    kubectl: Kubectl,
}

impl Place {
    async fn new() -> Self {
        let options = Options { name: "e2e-manifests".into(), ..Options::default() };
        let cluster = Cluster::start(options).await.unwrap();
        let kubectl = cluster.kubectl();
        Self { cluster, kubectl }
    }

    async fn kubectl(&self, args: &[&str]) -> String {
        self.kubectl.run(args).await.unwrap().success().unwrap_or_else(|error| panic!("{args:?}: {error:#}"))
    }

    /// Applies a kustomize directory as a dry run and for real, once more, and deletes it in the documented order.
    async fn comes_and_goes(&self, directory: &Path) {
        let directory = directory.to_str().unwrap();
        let apply = ["apply", "-k", directory];
        // A dry run makes no namespace that the rest of it could be checked in.
        let namespace = manifests("base/namespace.yaml");
        self.kubectl(&["apply", "-f", namespace.to_str().unwrap()]).await;
        let tried = self.kubectl(&[&apply[..], &["--dry-run=server"]].concat()).await;
        each_line(&tried, |line| line.ends_with("(server dry run)"));
        let applied = self.kubectl(&apply).await;
        assert_eq!(applied.lines().count(), tried.lines().count(), "{applied}");
        each_line(&applied, |line| line.ends_with(" created") || line.starts_with("namespace/"));
        // kubectl replaces these whole, or says a default again, and calls that a change.
        let replaced = |line: &str| {
            ["secret/", "poddisruptionbudget", "apiservice"].iter().any(|kind| line.starts_with(kind))
        };
        each_line(&self.kubectl(&apply).await, |line| line.ends_with(" unchanged") || replaced(line));
        self.pods_are_admitted(&applied).await;
        self.kubectl(&["delete", "apiservice", "v1beta1.external.metrics.k8s.io", "--ignore-not-found"])
            .await;
        self.kubectl(&["delete", "-k", directory, "--ignore-not-found", "--timeout=60s"]).await;
        let left = self.kubectl(&["get", "-k", directory, "--ignore-not-found", "-o", "name"]).await;
        assert_eq!(left, "", "{directory}");
        self.kubectl(&["delete", "-f", namespace.to_str().unwrap(), "--ignore-not-found", "--timeout=60s"])
            .await;
    }

    /// Pods are made for each Deployment applied: its namespace's pod security lets them in.
    async fn pods_are_admitted(&self, applied: &str) {
        let deployments = [(server::NAME, server::NAME, 2), ("inference-svc", "default", 1)];
        for (name, namespace, replicas) in deployments {
            if !applied.contains(&format!("deployment.apps/{name} ")) {
                continue;
            }
            let deployments: Api<Deployment> =
                Api::namespaced(self.cluster.client().await.unwrap(), namespace);
            let made = eventually("the pods to be made", SOON, || async {
                let status = deployments.get(name).await?.status.unwrap_or_default();
                anyhow::ensure!(status.replicas == Some(replicas), "{status:?}");
                Ok(Some(()))
            });
            made.await.unwrap();
        }
    }

    /// The serving certificate with the kustomization that installs it and this overlay.
    fn certified(&self, overlay: &str) -> PathBuf {
        let out_dir = self.cluster.dir().subdir("generated").unwrap();
        let request = Request {
            service: server::NAME,
            namespace: server::NAME,
            validity: Duration::from_secs(24 * 3600),
            out_dir: &out_dir,
            overlay: Some(Overlay { directory: &manifests(overlay), api_service_port: None }),
            force: false,
        };
        generate(&request).unwrap();
        out_dir
    }

    /// A kustomization of one's own, as the components' comments show it.
    fn kustomization(&self, name: &str, lists: &[(&str, &str)]) -> PathBuf {
        let directory = self.cluster.dir().subdir(name).unwrap();
        let up = "../".repeat(directory.canonicalize().unwrap().components().count() - 1);
        let list = |(list, entry): &(&str, &str)| {
            let path = manifests(entry).canonicalize().unwrap();
            format!("{list}: [{up}{}]", path.strip_prefix("/").unwrap().display())
        };
        let head = ["apiVersion: kustomize.config.k8s.io/v1beta1", "kind: Kustomization"].map(String::from);
        let text: Vec<_> = head.into_iter().chain(lists.iter().map(list)).collect();
        std::fs::write(directory.join("kustomization.yaml"), text.join("\n")).unwrap();
        directory
    }
}

fn manifests(path: &str) -> PathBuf {
    workspace::root().join("manifests").join(path)
}

#[track_caller]
fn each_line(text: &str, is_right: impl Fn(&str) -> bool) {
    assert!(!text.is_empty());
    for line in text.lines() {
        assert!(is_right(line), "{line:?} in\n{text}");
    }
}

/// The kustomize directories under `manifests/` that stand alone.
fn directories() -> Vec<PathBuf> {
    let overlays = std::fs::read_dir(manifests("overlays")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = [manifests("base"), manifests("inference")].into_iter().chain(overlays).collect();
    found.sort();
    assert!(found.len() >= 5, "{found:?}");
    found
}

#[test]
fn every_kustomization_is_applied_and_deleted_again() {
    crate::shared::runtime().block_on(async {
        let place = Place::new().await;
        for directory in directories() {
            place.comes_and_goes(&directory).await;
        }
    });
}

#[test]
fn the_certificates_kustomization_and_the_components_are_applied_and_deleted_again() {
    crate::shared::runtime().block_on(async {
        let place = Place::new().await;
        place.comes_and_goes(&place.certified("overlays/minikube")).await;

        let define = place.kubectl.run_with_input(&["apply", "-f", "-"], DEFINITIONS).await.unwrap();
        define.success().unwrap();
        place.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]).await;
        let cert_manager = [("resources", "base"), ("components", "components/cert-manager")];
        place.comes_and_goes(&place.kustomization("cert-manager", &cert_manager)).await;
        // Both ways that its comment names.
        place.comes_and_goes(&manifests("components/pod-monitor")).await;
        let pod_monitor = [("resources", "inference"), ("components", "components/pod-monitor")];
        place.comes_and_goes(&place.kustomization("pod-monitor", &pod_monitor)).await;
        place.comes_and_goes(&manifests("components/monitoring")).await;
        let monitoring = [("resources", "base"), ("components", "components/monitoring")];
        place.comes_and_goes(&place.kustomization("monitoring", &monitoring)).await;
        let dashboard = [("resources", "base"), ("components", "components/grafana-dashboard")];
        place.comes_and_goes(&place.kustomization("dashboard", &dashboard)).await;
    });
}

#[test]
fn the_registration_is_taken_over_from_prometheus_adapter_and_verified_from_then_on() {
    crate::shared::runtime().block_on(async {
        let place = Place::new().await;
        let create = place.kubectl.run_with_input(&["create", "-f", "-"], ADAPTERS_REGISTRATION).await;
        create.unwrap().success().unwrap();
        let out_dir = place.certified("base");
        place.kubectl(&["apply", "-k", out_dir.to_str().unwrap()]).await;
        let spec = "jsonpath={.spec.service.name} {.spec.insecureSkipTLSVerify} {.spec.caBundle}";
        let get = ["get", "apiservice", "v1beta1.external.metrics.k8s.io", "-o", spec];
        let registered = place.kubectl(&get).await;
        let bundle = registered.strip_prefix("metrics-apiserver  ");
        assert!(bundle.is_some_and(|bundle| !bundle.is_empty()), "{registered}");
    });
}
