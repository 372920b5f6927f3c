//! The files under `manifests/`: each is what its kind says, and what the documentation promises stands in them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::{HPAScalingRules, HorizontalPodAutoscaler};
use k8s_openapi::api::core::v1::{Container, Namespace, Probe, Service, ServiceAccount};
use k8s_openapi::api::flowcontrol::v1::FlowSchema;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding};
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use metrics_apiserver::config;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Its tables are compared with the manifests.
const OPERATIONS: &str = include_str!("../../../docs/operations.md");

/// One YAML document and where it stands.
struct Document {
    file: PathBuf,
    value: Value,
}

impl Document {
    fn text(&self, key: &str) -> &str {
        self.value[key].as_str().unwrap_or_default()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests")
}

fn yaml_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
}

fn parse(file: &Path) -> Vec<Document> {
    let text = fs::read_to_string(file).unwrap();
    // Each document stands alone, so that an error names its line near enough.
    let values = text.split("\n---\n").map(|part| {
        serde_saphyr::from_str(part).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    });
    values.map(|value| Document { file: file.to_owned(), value }).collect()
}

/// Every Kubernetes object under `manifests/`; kustomizations, the server's configuration and chart values are none.
fn objects() -> Vec<Document> {
    let mut files = Vec::new();
    yaml_files(&root(), &mut files);
    let other = ["kustomization.yaml", "config.yaml", "prometheus-values.yaml", "chart-values.yaml"];
    files.retain(|file| !other.iter().any(|name| file.ends_with(name)));
    files.iter().flat_map(|file| parse(file)).collect()
}

fn only<T: DeserializeOwned>(file: &str) -> T {
    let mut documents = parse(&root().join(file));
    assert_eq!(documents.len(), 1, "{file}");
    serde_json::from_value(documents.remove(0).value).unwrap()
}

fn all_of<T: DeserializeOwned>(kind: &str) -> Vec<T> {
    let documents = objects().into_iter().filter(|document| document.text("kind") == kind);
    documents.map(|document| serde_json::from_value(document.value).unwrap()).collect()
}

/// Reads as `T` and writes again: a field that `T` does not know would be lost.
fn survives<T: DeserializeOwned + Serialize>(document: &Document) {
    let file = document.file.display();
    let typed: T =
        serde_json::from_value(document.value.clone()).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut written = serde_json::to_value(typed).unwrap();
    keep_written(&mut written, &document.value);
    assert_eq!(written, document.value, "{file}: a field is unknown to its kind, or in the wrong place");
}

/// Some types write required lists even when they are empty and were not given: those say nothing.
fn keep_written(written: &mut Value, given: &Value) {
    match (written, given) {
        (Value::Object(written), Value::Object(given)) => {
            written.retain(|key, value| given.contains_key(key) || *value != json!([]));
            for (key, value) in written {
                keep_written(value, &given[key]);
            }
        }
        (Value::Array(written), Value::Array(given)) => {
            written.iter_mut().zip(given).for_each(|(written, given)| keep_written(written, given));
        }
        _ => {}
    }
}

#[test]
fn the_reviews_of_the_server_s_own_account_and_nothing_else_have_priority() {
    let schema: FlowSchema = only("base/flow-schema.yaml");
    let spec = schema.spec.unwrap();
    // A level that every cluster has.
    assert_eq!(spec.priority_level_configuration.name, "workload-high");
    assert!(spec.matching_precedence.unwrap() < 9000, "before the schema of all ServiceAccounts");
    let [rule] = &spec.rules.unwrap()[..] else { panic!("one rule") };
    let account: Deployment = only("base/deployment.yaml");
    let pod = account.spec.unwrap().template.spec.unwrap();
    let subjects: Vec<_> =
        rule.subjects.iter().map(|subject| subject.service_account.clone().unwrap()).collect();
    let [subject] = &subjects[..] else { panic!("one subject") };
    assert_eq!(Some(&subject.name), pod.service_account_name.as_ref());
    assert_eq!(Some(&subject.namespace), account.metadata.namespace.as_ref());
    let rules = rule.resource_rules.as_ref().unwrap();
    let kinds: Vec<_> = rules.iter().flat_map(|rule| rule.resources.clone()).collect();
    assert_eq!(kinds, ["tokenreviews", "subjectaccessreviews"]);
    assert!(rules.iter().all(|rule| rule.verbs == ["create"] && rule.cluster_scope == Some(true)));
}

#[test]
fn every_document_is_what_its_kind_says() {
    let documents = objects();
    assert!(documents.len() >= 18, "only {} documents found", documents.len());
    for document in &documents {
        match (document.text("apiVersion"), document.text("kind")) {
            ("v1", "Namespace") => survives::<Namespace>(document),
            ("v1", "ServiceAccount") => survives::<ServiceAccount>(document),
            ("v1", "Service") => survives::<Service>(document),
            ("apps/v1", "Deployment") => survives::<Deployment>(document),
            ("autoscaling/v2", "HorizontalPodAutoscaler") => survives::<HorizontalPodAutoscaler>(document),
            ("policy/v1", "PodDisruptionBudget") => survives::<PodDisruptionBudget>(document),
            ("networking.k8s.io/v1", "NetworkPolicy") => survives::<NetworkPolicy>(document),
            ("rbac.authorization.k8s.io/v1", "ClusterRole") => survives::<ClusterRole>(document),
            ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => {
                survives::<ClusterRoleBinding>(document);
            }
            ("rbac.authorization.k8s.io/v1", "RoleBinding") => survives::<RoleBinding>(document),
            ("flowcontrol.apiserver.k8s.io/v1", "FlowSchema") => survives::<FlowSchema>(document),
            ("apiregistration.k8s.io/v1", "APIService") => survives::<APIService>(document),
            // Custom resources: their schemas are not ours to have. They stand in components, which a cluster
            // without their definitions does not need.
            ("monitoring.coreos.com/v1", "PodMonitor" | "ServiceMonitor" | "PrometheusRule")
            | ("cert-manager.io/v1", "Issuer" | "Certificate") => {
                assert!(document.file.starts_with(root().join("components")), "{}", document.file.display());
            }
            (version, kind) => panic!("{}: unknown kind {version} {kind}", document.file.display()),
        }
    }
}

#[test]
fn every_file_is_listed_by_the_kustomization_beside_it() {
    let mut files = Vec::new();
    yaml_files(&root(), &mut files);
    // A chart's values are not kustomize's.
    let other = ["kustomization.yaml", "prometheus-values.yaml", "chart-values.yaml"];
    files.retain(|file| !other.iter().any(|name| file.ends_with(name)));
    for file in files {
        let kustomization = fs::read_to_string(file.with_file_name("kustomization.yaml")).unwrap();
        let entry = format!("- {}", file.file_name().unwrap().to_str().unwrap());
        assert!(kustomization.lines().any(|line| line.trim() == entry), "{} is not applied", file.display());
    }
}

#[test]
fn the_hpa_waits_240_s_before_it_grows_and_300_s_before_it_shrinks() {
    let hpa: HorizontalPodAutoscaler = only("inference/hpa.yaml");
    let behavior = hpa.spec.unwrap().behavior.unwrap();
    let window = |rules: Option<HPAScalingRules>| rules.unwrap().stabilization_window_seconds;
    assert_eq!(window(behavior.scale_up), Some(240));
    assert_eq!(window(behavior.scale_down), Some(300));
}

#[test]
fn the_hpa_asks_for_a_metric_that_is_configured_and_selects_the_pods_label() {
    let hpa: HorizontalPodAutoscaler = only("inference/hpa.yaml");
    let deployment: Deployment = only("inference/deployment.yaml");
    let metric = hpa.spec.unwrap().metrics.unwrap().remove(0).external.unwrap().metric;
    for file in ["base/config.yaml", "overlays/demo/config.yaml"] {
        let config = config::load(&root().join(file), None).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(config.warnings, [""; 0], "{file}");
        let names: Vec<&str> = config.rules.iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(names, [metric.name.as_str()], "{file}");
    }
    let pods = deployment.spec.unwrap().template.metadata.unwrap().labels.unwrap();
    assert_eq!(metric.selector.unwrap().match_labels.unwrap(), pods);
}

/// The roles that a file's bindings grant to the server, and where.
fn granted(documents: &[Document]) -> BTreeSet<String> {
    let ours = |kind: &str, name: &str| (kind == "ServiceAccount") && name == "metrics-apiserver";
    let mut granted = BTreeSet::new();
    for document in documents {
        let value = document.value.clone();
        match document.text("kind") {
            "ClusterRoleBinding" => {
                let binding: ClusterRoleBinding = serde_json::from_value(value).unwrap();
                if binding.subjects.unwrap().iter().any(|subject| ours(&subject.kind, &subject.name)) {
                    granted.insert(format!("everywhere {}", binding.role_ref.name));
                }
            }
            "RoleBinding" => {
                let binding: RoleBinding = serde_json::from_value(value).unwrap();
                if binding.subjects.unwrap().iter().any(|subject| ours(&subject.kind, &subject.name)) {
                    granted.insert(format!(
                        "{} {}",
                        binding.metadata.namespace.unwrap(),
                        binding.role_ref.name
                    ));
                }
            }
            _ => {}
        }
    }
    granted
}

#[test]
fn the_server_may_delegate_and_a_component_lets_it_watch_objects() {
    for (file, expected) in [
        (
            "base/rbac.yaml",
            &[
                "everywhere metrics-apiserver-registration",
                "everywhere system:auth-delegator",
                "kube-system extension-apiserver-authentication-reader",
            ][..],
        ),
        ("components/custom-metrics/rbac.yaml", &["everywhere metrics-apiserver-custom-metrics"]),
        ("components/resource-metrics/rbac.yaml", &["everywhere metrics-apiserver-resource-metrics"]),
    ] {
        let expected = expected.iter().map(ToString::to_string).collect();
        assert_eq!(granted(&parse(&root().join(file))), expected, "{file}");
    }
    let all = granted(&objects());
    assert_eq!(all.len(), 5, "nothing else grants it anything: {all:?}");
}

#[test]
fn the_roles_shipped_only_read() {
    let rules = all_of::<ClusterRole>("ClusterRole").into_iter().flat_map(|role| role.rules.unwrap());
    for rule in rules {
        let verbs: BTreeSet<&str> = rule.verbs.iter().map(String::as_str).collect();
        assert!(verbs.is_subset(&BTreeSet::from(["get", "list", "watch"])), "{rule:?}");
        let is_core = rule.api_groups.iter().flatten().any(String::is_empty);
        let is_secret = |resource: &String| ["*", "secrets", "configmaps"].contains(&resource.as_str());
        assert!(!is_core || !rule.resources.iter().flatten().any(is_secret), "{rule:?}");
    }
}

#[test]
fn the_server_may_get_exactly_the_api_services_that_are_registered_beside_the_right() {
    for folder in ["base", "components/custom-metrics", "components/resource-metrics"] {
        let roles = parse(&root().join(folder).join("rbac.yaml"));
        let roles = roles.into_iter().filter(|document| document.text("kind") == "ClusterRole");
        let rules = roles.flat_map(|document| {
            serde_json::from_value::<ClusterRole>(document.value).unwrap().rules.unwrap()
        });
        let is_registration = |group: &String| group == "apiregistration.k8s.io";
        let mut rules = rules.filter(|rule| rule.api_groups.iter().flatten().any(is_registration));
        let rule = rules.next().unwrap();
        assert_eq!(rule.verbs, ["get"], "{folder}");
        let granted: BTreeSet<String> = rule.resource_names.unwrap().into_iter().collect();
        let mut files = Vec::new();
        yaml_files(&root().join(folder), &mut files);
        let registered =
            files.iter().filter(|file| !file.ends_with("config.yaml")).flat_map(|file| parse(file));
        let registered = registered.filter(|document| document.text("kind") == "APIService");
        let registered: BTreeSet<String> = registered
            .map(|document| document.value["metadata"]["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(granted, registered, "{folder}");
        assert!(rules.next().is_none(), "{folder}");
    }
}

#[test]
fn only_the_hpa_controller_is_bound_to_read_metrics() {
    let bindings = all_of::<ClusterRoleBinding>("ClusterRoleBinding").into_iter();
    let readers: Vec<_> =
        bindings.filter(|binding| binding.role_ref.name.ends_with("metrics-reader")).collect();
    let names: Vec<String> = readers
        .into_iter()
        .filter(|binding| binding.role_ref.name != "metrics-apiserver-metrics-reader")
        .flat_map(|binding| binding.subjects.unwrap())
        .map(|subject| subject.name)
        .collect();
    assert_eq!(names, ["horizontal-pod-autoscaler", "system:kube-controller-manager"].repeat(2));
}

/// The container, its pod's grace and whether the pod is locked down: no root, no writes, no capability.
fn locked_down(deployment: Deployment) -> (Container, i64) {
    let mut pod = deployment.spec.unwrap().template.spec.unwrap();
    let pod_context = pod.security_context.unwrap();
    assert_eq!(pod_context.run_as_non_root, Some(true));
    // OpenShift's restricted-v2 refuses ids that are not of the namespace's range.
    assert_eq!((pod_context.run_as_user, pod_context.run_as_group, pod_context.fs_group), (None, None, None));
    assert_eq!(pod_context.seccomp_profile.unwrap().type_, "RuntimeDefault");
    let container = pod.containers.remove(0);
    assert!(pod.containers.is_empty());
    let context = container.security_context.clone().unwrap();
    assert_eq!((context.run_as_user, context.run_as_group), (None, None));
    assert_eq!(context.read_only_root_filesystem, Some(true));
    assert_eq!(context.allow_privilege_escalation, Some(false));
    assert_eq!(context.capabilities.unwrap().drop.unwrap(), ["ALL"]);
    assert!(container.resources.as_ref().unwrap().limits.as_ref().unwrap().contains_key("memory"));
    (container, pod.termination_grace_period_seconds.unwrap())
}

/// The whole seconds of a flag such as `--shutdown-delay-duration=10s`.
fn seconds(container: &Container, flag: &str) -> i64 {
    let arguments = container.args.as_ref().unwrap();
    let value = arguments.iter().find_map(|argument| argument.strip_prefix(&format!("{flag}="))).unwrap();
    value.strip_suffix('s').unwrap().parse().unwrap()
}

fn probed(probe: Option<&Probe>) -> String {
    let get = probe.unwrap().http_get.as_ref().unwrap();
    format!("{} {}", get.scheme.as_deref().unwrap_or("HTTP"), get.path.as_deref().unwrap())
}

#[test]
fn the_server_runs_twice_locked_down_and_leaves_in_peace() {
    let deployment: Deployment = only("base/deployment.yaml");
    let spec = deployment.spec.clone().unwrap();
    assert!(spec.replicas >= Some(2));
    let rolling = serde_json::to_value(spec.strategy.unwrap().rolling_update.unwrap()).unwrap();
    assert_eq!(rolling["maxUnavailable"], 0);
    let (container, grace) = locked_down(deployment);
    assert_eq!(probed(container.readiness_probe.as_ref()), "HTTPS /readyz");
    assert_eq!(probed(container.liveness_probe.as_ref()), "HTTPS /livez");
    assert_eq!(probed(container.startup_probe.as_ref()), "HTTPS /livez");
    assert!(
        grace > seconds(&container, "--shutdown-delay-duration") + seconds(&container, "--request-timeout")
    );
}

#[test]
fn a_changed_configuration_reaches_the_pods_that_run() {
    for file in ["base/kustomization.yaml", "overlays/demo/kustomization.yaml"] {
        let kustomization = parse(&root().join(file)).remove(0).value;
        let generator = &kustomization["configMapGenerator"][0];
        assert_eq!(generator["name"], "metrics-apiserver-config", "{file}");
        assert_eq!(generator["options"]["disableNameSuffixHash"], true, "{file}");
    }
    let (container, _) = locked_down(only("base/deployment.yaml"));
    let mounts = container.volume_mounts.unwrap();
    let mount = mounts.iter().find(|mount| mount.name == "config").unwrap();
    assert_eq!(mount.sub_path, None, "kubelet never changes a file that is mounted alone");
    let flag = format!("--config={}/config.yaml", mount.mount_path);
    assert!(container.args.unwrap().contains(&flag), "{flag}");
}

#[test]
fn the_inference_service_runs_locked_down_and_finishes_its_queue() {
    let deployment: Deployment = only("inference/deployment.yaml");
    assert_eq!(deployment.spec.as_ref().unwrap().replicas, None, "the number is the HPA's");
    let (container, grace) = locked_down(deployment);
    let sleep =
        container.lifecycle.as_ref().unwrap().pre_stop.as_ref().unwrap().sleep.as_ref().unwrap().seconds;
    assert!(grace > seconds(&container, "--drain-timeout") + sleep);
    assert_eq!(probed(container.readiness_probe.as_ref()), "HTTP /readyz");
}

/// `USER` of an image.
fn user(dockerfile: &str) -> String {
    let text = fs::read_to_string(root().join("..").join(dockerfile)).unwrap();
    text.lines().find_map(|line| line.strip_prefix("USER ")).unwrap().to_owned()
}

#[test]
fn the_images_users_are_numeric_and_the_servers_group_may_read_mounted_secrets() {
    for dockerfile in ["Dockerfile.apiserver", "Dockerfile.inference"] {
        let user = user(dockerfile);
        let (uid, gid) = user.split_once(':').unwrap();
        assert!(uid.parse::<u32>().unwrap() > 0, "{dockerfile}: the kubelet compares it for runAsNonRoot");
        gid.parse::<u32>().unwrap();
    }
    // Without fsGroup the kubelet leaves the files of Secrets to root:root.
    assert!(user("Dockerfile.apiserver").ends_with(":0"));
    let pod = only::<Deployment>("base/deployment.yaml").spec.unwrap().template.spec.unwrap();
    let mut secrets = pod.volumes.unwrap().into_iter().filter_map(|volume| volume.secret);
    assert_eq!(secrets.next().unwrap().default_mode, Some(0o440));
}

#[test]
fn the_pods_opt_out_of_every_mesh_that_the_documentation_names() {
    let deployment: Deployment = only("base/deployment.yaml");
    let metadata = deployment.spec.unwrap().template.metadata.unwrap();
    let pairs: Vec<_> = metadata.labels.into_iter().chain(metadata.annotations).flatten().collect();
    for (key, value) in [
        ("sidecar.istio.io/inject", "false"),
        ("istio.io/dataplane-mode", "none"),
        ("kuma.io/sidecar-injection", "disabled"),
        ("linkerd.io/inject", "disabled"),
        ("consul.hashicorp.com/connect-inject", "false"),
    ] {
        assert!(pairs.contains(&(key.to_owned(), value.to_owned())), "{key}");
        assert!(OPERATIONS.contains(&format!("`{key}")), "{key} is not documented");
    }
}

#[test]
fn only_the_component_restricts_egress_and_to_the_ports_in_the_documentation() {
    let base: NetworkPolicy = only("base/network-policy.yaml");
    let spec = base.spec.unwrap();
    assert_eq!(spec.policy_types.unwrap(), ["Ingress"]);
    assert_eq!(spec.egress, None);
    let strict: NetworkPolicy = only("components/strict-egress/network-policy.yaml");
    let spec = strict.spec.unwrap();
    assert_eq!(spec.policy_types.unwrap(), ["Egress"]);
    let ports = spec.egress.unwrap().into_iter().flat_map(|rule| rule.ports.unwrap());
    let allowed: BTreeSet<String> = ports
        .map(|port| {
            let number = serde_json::to_value(port.port.unwrap()).unwrap();
            format!("{} {number}", port.protocol.unwrap())
        })
        .collect();
    let (_, table) = OPERATIONS.split_once("| egress to | port | where |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let documented: BTreeSet<String> = rows
        .flat_map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let protocols: &[&str] = if cells[1] == "DNS" { &["UDP", "TCP"] } else { &["TCP"] };
            protocols.iter().map(|protocol| format!("{protocol} {}", cells[2])).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(allowed, documented);
}

#[test]
fn every_api_service_leads_to_the_service_and_trusts_nobody_unverified() {
    let service: Service = only("base/service.yaml");
    let registrations = all_of::<APIService>("APIService");
    assert_eq!(registrations.len(), 5);
    for registration in registrations {
        let (name, spec) = (registration.metadata.name.unwrap(), registration.spec.unwrap());
        assert_eq!(name, format!("{}.{}", spec.version.unwrap(), spec.group.unwrap()));
        // Not even `false`: kube-apiserver drops it, and GitOps tools would see a difference forever.
        assert_eq!(spec.insecure_skip_tls_verify, None, "{name}");
        let target = spec.service.unwrap();
        assert_eq!(target.name, service.metadata.name, "{name}");
        assert_eq!(target.namespace, service.metadata.namespace, "{name}");
        assert_eq!(
            target.port,
            Some(service.spec.as_ref().unwrap().ports.as_ref().unwrap()[0].port),
            "{name}"
        );
    }
}

#[test]
fn prometheus_is_led_to_the_servers_metrics_and_may_read_nothing_else() {
    let monitor = only::<Value>("components/monitoring/service-monitor.yaml");
    let service: Service = only("base/service.yaml");
    let endpoint = &monitor["spec"]["endpoints"][0];
    let name = service.metadata.name.unwrap();
    let host = format!("{name}.{}.svc", service.metadata.namespace.unwrap());
    assert_eq!(endpoint["tlsConfig"]["serverName"], host);
    let ports = service.spec.unwrap().ports.unwrap();
    assert_eq!(endpoint["port"].as_str(), ports[0].name.as_deref());
    // The base labels its Service, and no other, with what is selected.
    let labels = &parse(&root().join("base/kustomization.yaml")).remove(0).value["labels"][0]["pairs"];
    for (label, value) in monitor["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&labels[label], value);
    }
    let pod = only::<Deployment>("base/deployment.yaml").spec.unwrap().template.spec.unwrap();
    let mut secrets = pod.volumes.unwrap().into_iter().filter_map(|volume| volume.secret);
    let secret = &endpoint["tlsConfig"]["ca"]["secret"];
    assert_eq!(secret["name"].as_str(), secrets.next().unwrap().secret_name.as_deref());

    let binding: ClusterRoleBinding = only("components/monitoring/cluster-role-binding.yaml");
    assert_eq!(binding.role_ref.name, "metrics-apiserver-metrics-reader");
}

#[test]
fn every_alert_and_every_metric_it_looks_at_is_documented() {
    let documentation = include_str!("../../../docs/metrics.md");
    let rules = only::<Value>("components/monitoring/prometheus-rule.yaml");
    let rules = rules["spec"]["groups"][0]["rules"].as_array().unwrap();
    let rows: Vec<&str> = documentation.lines().filter_map(|line| line.strip_prefix("| `External")).collect();
    let alerts: Vec<&str> = rules.iter().map(|rule| rule["alert"].as_str().unwrap()).collect();
    let documented: Vec<String> =
        rows.iter().map(|row| format!("External{}", row.split('`').next().unwrap())).collect();
    assert_eq!(documented, alerts, "in this order");
    for rule in rules {
        let words = rule["expr"].as_str().unwrap().split(|c: char| !c.is_alphanumeric() && c != '_');
        for metric in words.filter(|word| word.starts_with("metrics_apiserver_")) {
            let metric = metric.strip_suffix("_bucket").unwrap_or(metric);
            assert!(documentation.contains(&format!("| `{metric}` |")), "{}: {metric}", rule["alert"]);
        }
    }
}
