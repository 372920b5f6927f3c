//! The chart and the manifests for kustomize agree in what they share.

use crate::case::{UNVERIFIED, chart_path, object, objects, offline, values_file};
use serde_json::{Value, json};
use testbed::workspace;

/// Every API, and what is off by default.
const EVERYTHING: &str = r"
rules: {external: [{seriesQuery: a, metricsQuery: a}], resource: {window: 1m}}
networkPolicy: {enabled: true, strictEgress: true}
serviceMonitor: {enabled: true, serviceAccount: {name: prometheus-kube-prometheus-prometheus, namespace: monitoring}}
prometheusRule: {enabled: true}
dashboard: {enabled: true}
";

fn manifests(file: &str) -> Vec<Value> {
    objects(&std::fs::read_to_string(workspace::root().join("manifests").join(file)).unwrap())
}

fn only(file: &str) -> Value {
    let mut objects = manifests(file);
    assert_eq!(objects.len(), 1, "{file}");
    objects.remove(0)
}

/// What the chart makes of [`EVERYTHING`], with the names of the manifests.
async fn rendered(more: &[&str]) -> Vec<Value> {
    let (helm, dir) = offline("chart-kustomize").await;
    let (chart, file) = (chart_path(), values_file(dir.state(), EVERYTHING));
    let name = "metrics-apiserver";
    let mut args = vec!["template", name, &chart, "--namespace", name, "--kube-version", "1.37.0"];
    args.extend(["--values", &file]);
    args.extend(more);
    objects(&helm.run(&args).await.unwrap().success().unwrap())
}

/// The value without these keys.
fn without(value: &Value, keys: &[&str]) -> Value {
    let mut value = value.clone();
    value.as_object_mut().unwrap().retain(|key, _| !keys.contains(&key.as_str()));
    value
}

/// With the selector of the manifests, which has no instance.
fn without_instance(value: &Value) -> Value {
    let text = value.to_string();
    let instance = r#""app.kubernetes.io/instance":"metrics-apiserver","#;
    assert!(text.contains(instance), "{text}");
    serde_json::from_str(&text.replace(instance, "")).unwrap()
}

#[tokio::test]
async fn the_deployments_differ_only_in_names_paths_and_what_the_adapter_has() {
    let ours = rendered(&["--set", "certManager.enabled=true"]).await;
    let chart = &object(&ours, "Deployment", "metrics-apiserver")["spec"];
    let base = &only("base/deployment.yaml")["spec"];
    assert_eq!(chart["replicas"], base["replicas"]);
    assert_eq!(chart["strategy"], base["strategy"]);
    let (chart, base) = (&chart["template"], &base["template"]);
    let labels = base["metadata"]["labels"].as_object().unwrap();
    for (key, value) in labels.iter().filter(|(key, _)| !key.starts_with("app.kubernetes.io/")) {
        assert_eq!(chart["metadata"]["labels"][key], *value, "{key}");
    }
    assert_eq!(chart["metadata"]["annotations"], base["metadata"]["annotations"]);
    let (chart, base) = (&chart["spec"], &base["spec"]);
    let keys = ["containers", "volumes", "topologySpreadConstraints"];
    assert_eq!(without(chart, &keys), without(base, &keys));
    assert_eq!(without_instance(&chart["topologySpreadConstraints"]), base["topologySpreadConstraints"]);
    let (chart, base) = (&chart["containers"][0], &base["containers"][0]);
    // The chart knows the namespace; the manifests, which others change, take it from the environment.
    assert_eq!(chart["env"], Value::Null);
    assert_eq!(base["env"][0]["name"], "POD_NAMESPACE");
    let keys = ["args", "env", "volumeMounts"];
    assert_eq!(without(chart, &keys), without(base, &keys));
    let args = |value: &Value| -> Vec<String> {
        let text = value["args"].to_string().replace("/etc/metrics-apiserver-tls/", "/var/run/serving-cert/");
        let text = text.replace("/etc/metrics-apiserver/", "/etc/adapter/");
        let text = text.replace("$(POD_NAMESPACE)", "metrics-apiserver");
        serde_json::from_str(&text).unwrap()
    };
    let chart = args(chart);
    let missing: Vec<String> = args(base).into_iter().filter(|arg| !chart.contains(arg)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(
        chart.len(),
        args(base).len() + 3,
        "--prometheus-url, --metrics-relist-interval and --v: {chart:?}"
    );
}

#[tokio::test]
async fn the_roles_grant_the_same() {
    let ours = rendered(&["--set", UNVERIFIED]).await;
    let mut theirs = manifests("base/rbac.yaml");
    theirs.extend(manifests("components/custom-metrics/rbac.yaml"));
    theirs.extend(manifests("components/resource-metrics/rbac.yaml"));
    theirs.push(only("components/monitoring/cluster-role-binding.yaml"));
    // Names differ: compared are the rules of a role, and whom a binding gives which rules or which role of others.
    let granted = |objects: &[Value]| -> Vec<String> {
        let rules = |name: &Value| {
            let role = objects
                .iter()
                .find(|object| object["kind"] == "ClusterRole" && object["metadata"]["name"] == *name);
            role.map_or_else(|| name.clone(), |role| role["rules"].clone())
        };
        let mut granted: Vec<String> = Vec::new();
        for object in objects {
            let namespace = &object["metadata"]["namespace"];
            match object["kind"].as_str().unwrap() {
                "ClusterRole" => granted.push(format!("role {}", object["rules"])),
                "ClusterRoleBinding" | "RoleBinding" => granted.push(format!(
                    "{namespace} {} to {}",
                    rules(&object["roleRef"]["name"]),
                    object["subjects"]
                )),
                _ => {}
            }
        }
        granted.sort();
        granted
    };
    assert_eq!(granted(&ours), granted(&theirs));
}

#[tokio::test]
async fn services_budgets_policies_and_registrations_agree() {
    let ours = rendered(&["--set", "certManager.enabled=true"]).await;
    for file in [
        "base/service.yaml",
        "base/pod-disruption-budget.yaml",
        "base/network-policy.yaml",
        "base/flow-schema.yaml",
        "components/strict-egress/network-policy.yaml",
    ] {
        let theirs = only(file);
        let [kind, name] =
            [&theirs["kind"], &theirs["metadata"]["name"]].map(|value| value.as_str().unwrap());
        let spec = &object(&ours, kind, name)["spec"];
        let spec = if kind == "FlowSchema" { spec.clone() } else { without_instance(spec) };
        assert_eq!(spec, theirs["spec"], "{file}");
    }
    let account = object(&ours, "ServiceAccount", "metrics-apiserver");
    let token = "automountServiceAccountToken";
    assert_eq!(account[token], only("base/service-account.yaml")[token]);
    let mut registrations = manifests("components/custom-metrics/api-services.yaml");
    registrations.extend(manifests("components/resource-metrics/api-services.yaml"));
    registrations.push(only("base/api-service.yaml"));
    assert_eq!(ours.iter().filter(|object| object["kind"] == "APIService").count(), registrations.len());
    for registration in registrations {
        let name = registration["metadata"]["name"].as_str().unwrap();
        let spec = &object(&ours, "APIService", name)["spec"];
        // What components/take-over adds.
        let skip = "insecureSkipTLSVerify";
        assert_eq!(spec.get(skip), Some(&Value::Null), "{name}");
        assert_eq!(without(spec, &[skip]), registration["spec"], "{name}");
    }
}

#[tokio::test]
async fn the_values_for_minikube_serve_what_the_overlay_serves() {
    let (helm, _dir) = offline("chart-minikube").await;
    let values = workspace::root().join("manifests/overlays/minikube/chart-values.yaml");
    let (chart, values) = (chart_path(), values.to_str().unwrap().to_owned());
    let args = ["template", "metrics-apiserver", &chart, "--values", &values, "--set", UNVERIFIED];
    let objects = objects(&helm.run(&args).await.unwrap().success().unwrap());
    let config = &object(&objects, "ConfigMap", "metrics-apiserver")["data"]["config.yaml"];
    let config: Value = serde_saphyr::from_str(config.as_str().unwrap()).unwrap();
    assert_eq!(config, only("base/config.yaml"));
    let binding = object(&objects, "ClusterRoleBinding", "metrics-apiserver-metrics-reader");
    assert_eq!(binding["subjects"], only("components/monitoring/cluster-role-binding.yaml")["subjects"]);
}

#[tokio::test]
async fn the_monitors_the_alerts_and_the_dashboards_agree() {
    let ours = rendered(&["--set", "certManager.enabled=true"]).await;
    let dashboard = object(&ours, "ConfigMap", "metrics-apiserver-dashboard");
    let component = &only("components/grafana-dashboard/kustomization.yaml")["configMapGenerator"][0];
    assert_eq!(dashboard["metadata"]["name"], component["name"]);
    let label = &component["options"]["labels"]["grafana_dashboard"];
    assert_eq!(dashboard["metadata"]["labels"]["grafana_dashboard"], *label);
    let file = component["files"][0].as_str().unwrap();
    let path = workspace::root().join("manifests/components/grafana-dashboard").join(file);
    assert_eq!(dashboard["data"][file], std::fs::read_to_string(path).unwrap());
    let rules = &object(&ours, "PrometheusRule", "metrics-apiserver")["spec"];
    assert_eq!(*rules, only("components/monitoring/prometheus-rule.yaml")["spec"]);
    let mut monitor = only("components/monitoring/service-monitor.yaml")["spec"]["endpoints"][0].clone();
    // The Service has another name in most releases, and the Secret, too.
    monitor["relabelings"] = json!([{"targetLabel": "job", "replacement": "metrics-apiserver"}]);
    monitor["tlsConfig"]["ca"]["secret"]["name"] = json!("metrics-apiserver");
    assert_eq!(object(&ours, "ServiceMonitor", "metrics-apiserver")["spec"]["endpoints"], json!([monitor]));
}
