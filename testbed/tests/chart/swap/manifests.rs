//! kube-prometheus' manifests, then ours by `kubectl apply -k`, and back: by hand and as a `GitOps` controller applies.

use super::{APIS, Swap, level::STEADY, reader::Metric, with_swap};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use testbed::{
    serving_certificate::{Overlay, Request, generate},
    workspace,
};

/// What kube-prometheus deploys, but for its queries and Prometheus' name.
const KUBE_PROMETHEUS: &str = include_str!("../../e2e/drop_in/kube-prometheus.yaml");
const NAME: &str = "metrics-apiserver";
/// What it serves.
const USAGE: &[Metric] = &[Metric::Usage];
/// As Flux applies. The option is for `kubectl diff`, too.
const FLUX: [&str; 3] = ["--server-side", "--force-conflicts", "--field-manager=kustomize-controller"];

/// For both servers.
const RULES: &str = r#"
"resourceRules":
  "cpu": &usage
    "containerLabel": "container"
    "containerQuery": sum by (<<.GroupBy>>) (swap_cpu{<<.LabelMatchers>>,container!="",pod!=""})
    "nodeQuery": sum by (<<.GroupBy>>) (swap_cpu{<<.LabelMatchers>>})
    "resources":
      "overrides": {"namespace": {"resource": "namespace"}, "node": {"resource": "node"}, "pod": {"resource": "pod"}}
  "memory":
    <<: *usage
    "containerQuery": sum by (<<.GroupBy>>) (swap_memory{<<.LabelMatchers>>,container!="",pod!=""})
  "window": "5m"
"#;

/// kube-prometheus' manifests with these rules and the adapter's image that is there.
fn kube_prometheus() -> String {
    let (head, rest) = KUBE_PROMETHEUS.split_once("  config.yaml: |-\n").unwrap();
    let (_, tail) = rest.split_once("\n---\n").unwrap();
    let rules: String = RULES.trim_start().lines().flat_map(|line| ["    ", line, "\n"]).collect();
    let text = format!("{head}  config.yaml: |-\n{rules}---\n{tail}");
    let text = text.replace("prometheus-k8s.monitoring.svc", "prometheus.monitoring.svc");
    text.replace(
        "registry.k8s.io/prometheus-adapter/prometheus-adapter:",
        "registry.example.com/prometheus-adapter:",
    )
}

impl Swap {
    /// A kustomization as docs/operations.md has it, with this component last and a serving certificate.
    fn kustomization(&self, component: &str) -> PathBuf {
        let directory = self.place.cluster.dir().subdir(component).unwrap();
        let manifests = workspace::root().join("manifests").canonicalize().unwrap();
        let up = "../".repeat(directory.canonicalize().unwrap().components().count() - 1);
        let manifests = format!("{up}{}", manifests.strip_prefix("/").unwrap().display());
        let config = "backends: {default: {url: 'http://prometheus.monitoring.svc:9090'}}\nmetrics: []";
        std::fs::write(directory.join("config.yaml"), format!("{config}{RULES}")).unwrap();
        let text = format!(
            "resources: [{manifests}/base]
components: [{manifests}/components/resource-metrics, {manifests}/components/{component}]
configMapGenerator:
- name: metrics-apiserver-config
  namespace: {NAME}
  behavior: replace
  files: [config.yaml]
  options: {{disableNameSuffixHash: true}}
"
        );
        std::fs::write(directory.join("kustomization.yaml"), text).unwrap();
        // The same certificate each time, which is kept.
        let out_dir = self.place.cluster.dir().subdir("generated").unwrap();
        let overlay = Some(Overlay { directory: &directory, api_service_port: None });
        let validity = Duration::from_secs(24 * 3600);
        let request =
            Request { service: NAME, namespace: NAME, validity, out_dir: &out_dir, overlay, force: false };
        generate(&request).unwrap();
        out_dir
    }

    /// Applies a kustomization until its pods are ready.
    async fn apply_ours(&self, directory: &Path, options: &[&str]) {
        let apply = [&["apply", "-k", directory.to_str().unwrap()], options].concat();
        self.place.kubectl(&apply).await;
        let deployment = format!("deployment/{NAME}");
        self.place.kubectl(&["rollout", "status", &deployment, "-n", NAME, "--timeout=180s"]).await;
    }

    /// A second apply would change nothing.
    async fn shows_no_difference(&self, directory: &Path, options: &[&str]) {
        let diff = [&["diff", "-k", directory.to_str().unwrap()], options].concat();
        let diff = self.place.kubectl.run(&diff).await.unwrap();
        assert!(diff.status.success(), "{}{}", diff.stdout, diff.stderr);
    }

    /// Removes all of the manifests, if a test has applied them.
    pub(super) async fn remove_manifests(&self) {
        let ours = self.place.cluster.dir().state().join("generated");
        if ours.join("kustomization.yaml").exists() {
            let delete = ["delete", "--ignore-not-found", "--wait=false"];
            self.place.kubectl(&[&delete[..], &["-k", ours.to_str().unwrap()]].concat()).await;
            self.place.apply(&[&delete[..], &["-f", "-"]].concat(), &without_namespace()).await;
            std::fs::remove_dir_all(&ours).unwrap();
        }
    }

    /// Gives `metrics.k8s.io` back to the adapter, and removes the rest of ours.
    async fn apply_theirs(&self, options: &[&str]) {
        self.place.apply(&[&["apply", "-f", "-"], options].concat(), &kube_prometheus()).await;
        self.place.kubectl(&["delete", "apiservice", APIS[1], APIS[4]]).await;
        self.place.kubectl(&["delete", "deployment", NAME, "-n", NAME]).await;
    }
}

#[test]
fn kube_prometheus_manifests_are_replaced_by_ours_and_come_back() {
    with_swap(|swap| async move {
        swap.place.apply(&["apply", "-f", "-"], &kube_prometheus()).await;
        swap.answers(USAGE).await;
        swap.settled(USAGE, STEADY).await;
        let two_steps = async {
            swap.apply_ours(&swap.kustomization("unregistered"), &[]).await;
            swap.apply_ours(&swap.kustomization("take-over"), &[]).await;
        };
        let report = swap.during(USAGE, "kubectl apply -k in two steps", two_steps).await;
        report.assert_no_gap();
        let ours = swap.kustomization("take-over");
        swap.shows_no_difference(&ours, &[]).await;
        swap.scales(USAGE).await;
        let report =
            swap.during(USAGE, "kubectl apply of the adapter's manifests", swap.apply_theirs(&[])).await;
        report.assert_no_gap();

        swap.during(USAGE, "server-side apply in one step", swap.apply_ours(&ours, &FLUX)).await;
        swap.shows_no_difference(&ours, &FLUX).await;
        swap.scales(USAGE).await;
        let report = swap.during(USAGE, "server-side apply of the adapter's", swap.apply_theirs(&FLUX)).await;
        report.assert_no_gap();
    });
}

/// The namespace is that of the other tests, too.
fn without_namespace() -> String {
    let text = kube_prometheus();
    text.split("\n---\n").filter(|it| !it.contains("kind: Namespace")).collect::<Vec<_>>().join("\n---\n")
}
