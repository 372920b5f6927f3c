//! Everything under `manifests/` as an operator applies it: `kubectl apply -k`, on a cluster of its own, since it takes
//! the API over and brings workloads.

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::Value;
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
            ["secret/", "poddisruptionbudget", "apiservice", "flowschema"]
                .iter()
                .any(|kind| line.starts_with(kind))
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

    /// A kustomization of one's own with these components.
    fn with_components(&self, resources: &str, components: &[&str]) -> PathBuf {
        let paths: Vec<_> = components.iter().map(|name| format!("components/{name}")).collect();
        let paths: Vec<_> = paths.iter().map(String::as_str).collect();
        kustomization(
            &self.cluster,
            &components.concat(),
            &[("resources", &[resources]), ("components", &paths)],
        )
    }

    /// The serving certificate with the kustomization that installs it and this overlay.
    fn certified(&self, overlay: &Path) -> PathBuf {
        let out_dir = self.cluster.dir().subdir("generated").unwrap();
        let request = Request {
            service: server::NAME,
            namespace: server::NAME,
            validity: Duration::from_secs(24 * 3600),
            out_dir: &out_dir,
            overlay: Some(Overlay { directory: overlay, api_service_port: None }),
            force: false,
        };
        generate(&request).unwrap();
        out_dir
    }
}

/// A kustomization of one's own, as the components' comments show it: its lists, with the entries' paths below
/// `manifests/`.
pub(crate) fn kustomization(cluster: &Cluster, name: &str, lists: &[(&str, &[&str])]) -> PathBuf {
    let directory = cluster.dir().subdir(name).unwrap();
    let up = "../".repeat(directory.canonicalize().unwrap().components().count() - 1);
    let entry = |entry: &&str| {
        let path = manifests(entry).canonicalize().unwrap();
        format!("{up}{}", path.strip_prefix("/").unwrap().display())
    };
    let list = |(list, entries): &(&str, &[&str])| {
        format!("{list}: [{}]", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
    };
    let head = ["apiVersion: kustomize.config.k8s.io/v1beta1", "kind: Kustomization"].map(String::from);
    let text: Vec<_> = head.into_iter().chain(lists.iter().map(list)).collect();
    std::fs::write(directory.join("kustomization.yaml"), text.join("\n")).unwrap();
    directory
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
        place.comes_and_goes(&place.certified(&manifests("overlays/minikube"))).await;

        let define = place.kubectl.run_with_input(&["apply", "-f", "-"], DEFINITIONS).await.unwrap();
        define.success().unwrap();
        place.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]).await;
        place.comes_and_goes(&place.with_components("base", &["cert-manager"])).await;
        place.comes_and_goes(&place.with_components("base", &["strict-egress"])).await;
        // Both ways that its comment names.
        place.comes_and_goes(&manifests("components/pod-monitor")).await;
        place.comes_and_goes(&place.with_components("inference", &["pod-monitor"])).await;
        place.comes_and_goes(&manifests("components/monitoring")).await;
        place.comes_and_goes(&place.with_components("base", &["monitoring"])).await;
        place.comes_and_goes(&place.with_components("base", &["grafana-dashboard"])).await;
        let apis = ["custom-metrics", "resource-metrics"];
        place.comes_and_goes(&place.with_components("base", &apis)).await;
    });
}

/// Creating and applying, as tools do it: kubectl and Argo CD on the client's side, Flux and Helm 4 on the server's.
const CLIENT_SIDE: &[&str] = &["apply"];
const SERVER_SIDE: &[&str] = &["apply", "--server-side", "--force-conflicts", "--field-manager=gitops"];
const BY_HELM: [&[&str]; 3] = [&["create"], &["apply"], &["apply", "--server-side", "--field-manager=helm"]];

#[test]
fn the_registration_is_taken_over_by_every_kind_of_apply_and_shows_no_difference_afterwards() {
    crate::shared::runtime().block_on(async {
        let place = Place::new().await;
        let base = manifests("base");
        let take_over = place.with_components("base", &["take-over"]);
        for (created, apply) in BY_HELM.iter().flat_map(|by| [(by, CLIENT_SIDE), (by, SERVER_SIDE)]) {
            let create = [created, &["-f", "-"][..]].concat();
            let create = place.kubectl.run_with_input(&create, ADAPTERS_REGISTRATION).await;
            create.unwrap().success().unwrap();
            for overlay in [&take_over, &base] {
                let what = format!("{created:?}, then {apply:?} of {}", overlay.display());
                let directory = place.certified(overlay);
                place.kubectl(&[apply, &["-k", directory.to_str().unwrap()]].concat()).await;
                let registered = place.kubectl(&REGISTERED).await;
                let bundle = registered.strip_prefix("metrics-apiserver  ");
                assert!(bundle.is_some_and(|bundle| !bundle.is_empty()), "{what}: {registered}");
                place.shows_no_difference(&directory, apply, &what).await;
            }
            place.kubectl(&["delete", "apiservice", "v1beta1.external.metrics.k8s.io"]).await;
        }
    });
}

/// What Helm leaves behind says nothing of what was applied last, so nothing removes its fields.
#[test]
fn without_the_component_the_registration_of_another_provider_refuses_the_ca_bundle() {
    crate::shared::runtime().block_on(async {
        let place = Place::new().await;
        let create = place.kubectl.run_with_input(&["create", "-f", "-"], ADAPTERS_REGISTRATION).await;
        create.unwrap().success().unwrap();
        let directory = place.certified(&manifests("base"));
        let refused = place.kubectl.run(&["apply", "-k", directory.to_str().unwrap()]).await.unwrap();
        assert!(refused.stderr.contains("may not be true if caBundle is present"), "{refused:?}");
    });
}

/// Name of the Service, whether nothing is verified, and the CA bundle.
const REGISTERED: [&str; 5] = [
    "get",
    "apiservice",
    "v1beta1.external.metrics.k8s.io",
    "-o",
    "jsonpath={.spec.service.name} {.spec.insecureSkipTLSVerify} {.spec.caBundle}",
];

impl Place {
    /// Neither what kubectl would change, as Flux asks it, nor a field that the manifests have and the cluster has not,
    /// as Argo CD compares them.
    async fn shows_no_difference(&self, directory: &Path, apply: &[&str], what: &str) {
        let directory = directory.to_str().unwrap();
        let diff = [&["diff"], &apply[1..], &["-k", directory]].concat();
        let diff = self.kubectl.run(&diff).await.unwrap();
        assert!(diff.status.success(), "{what}: {diff:?}");
        let rendered = self.kubectl(&["kustomize", directory]).await;
        for document in rendered.split("\n---\n") {
            let wanted: Value = serde_saphyr::from_str(document).unwrap();
            let text = |path: &str| wanted.pointer(path).and_then(Value::as_str).unwrap_or_default();
            let (kind, name, namespace) =
                (text("/kind"), text("/metadata/name"), text("/metadata/namespace"));
            if kind == "Secret" {
                // kustomize breaks the lines of base64, which says nothing; kubectl has compared the values.
                continue;
            }
            let mut get = vec!["get", kind, name, "-o", "json"];
            if !namespace.is_empty() {
                get.extend(["-n", namespace]);
            }
            let found: Value = serde_json::from_str(&self.kubectl(&get).await).unwrap();
            let mut differences = Vec::new();
            differs(&wanted, &found, "", &mut differences);
            assert!(differences.is_empty(), "{what}: {kind} {name}: {differences:?}");
        }
    }
}

/// The paths of fields that are wanted and are otherwise in the cluster. Null is no field.
fn differs(wanted: &Value, found: &Value, path: &str, differences: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Null, _) if *found == Value::Null => {}
        (Value::Object(wanted), Value::Object(found)) => {
            for (key, value) in wanted {
                let found = found.get(key).unwrap_or(&Value::Null);
                differs(value, found, &format!("{path}.{key}"), differences);
            }
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            for (index, (wanted, found)) in wanted.iter().zip(found).enumerate() {
                differs(wanted, found, &format!("{path}[{index}]"), differences);
            }
        }
        _ if wanted == found => {}
        _ => differences.push(format!("{path}: {wanted} is wanted, {found} found")),
    }
}
