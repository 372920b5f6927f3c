//! The release of prometheus-adapter's chart becomes one of this chart, and goes back again.

use crate::{
    case::{NAMESPACE, chart_path, folder, values_file},
    cluster::Place,
};
use serde_json::Value;
use testbed::{Helm, User};

const RELEASE: &str = "prometheus-adapter";
/// Values of the adapter's chart.
const VALUES: &str = "
prometheus: {url: http://prometheus-operated.monitoring.svc, port: 9090}
rules: {external: [{seriesQuery: queue_depth, resources: {namespaced: false}, metricsQuery: max(<<.Series>>)}]}
";

impl Place {
    async fn field(&self, kind: &str, name: &str, path: &str) -> Value {
        let args = ["get", kind, name, "--namespace", NAMESPACE, "--ignore-not-found", "-o", "json"];
        let text = self.kubectl.run(&args).await.unwrap().success().unwrap();
        let object: Value = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
        object.pointer(path).cloned().unwrap_or_default()
    }

    /// What shows whether the Deployment or the Service was made anew.
    async fn uids(&self) -> [Value; 2] {
        let uid = "/metadata/uid";
        [self.field("deployment", RELEASE, uid).await, self.field("service", RELEASE, uid).await]
    }

    /// Whether kube-apiserver verifies the server behind the API, and the image of its pods.
    async fn state(&self) -> (Vec<bool>, String) {
        let mut verified = Vec::new();
        for api in ["v1beta1.custom.metrics.k8s.io", "v1beta1.external.metrics.k8s.io"] {
            assert_eq!(self.field("apiservice", api, "/spec/service/name").await, RELEASE);
            verified.push(self.field("apiservice", api, "/spec/caBundle").await.is_string());
            let is_skipped = self.field("apiservice", api, "/spec/insecureSkipTLSVerify").await == true;
            assert_ne!(verified.last(), Some(&is_skipped), "{api}");
        }
        let image = "/spec/template/spec/containers/0/image";
        let image = self.field("deployment", RELEASE, image).await.as_str().unwrap().to_owned();
        let second = self.field("deployment", RELEASE, "/spec/template/spec/containers/1").await;
        assert_eq!(second, Value::Null, "one container took the place of the other");
        (verified, image)
    }
}

#[tokio::test]
async fn a_release_of_the_adapters_chart_is_upgraded_in_place_and_rolled_back() {
    let mut place = Place::new("chart-takeover").await;
    upgrade_and_roll_back(&place).await;
    place.helm(&["uninstall", RELEASE, "--namespace", NAMESPACE, "--wait"]).await;
    let (home, kubeconfig) = (place.cluster.dir().state(), place.cluster.kubeconfig(User::Admin));
    place.helm = Helm::find_3(home, Some(kubeconfig)).await.unwrap();
    upgrade_and_roll_back(&place).await;
}

async fn upgrade_and_roll_back(place: &Place) {
    let (adapter, chart) = (folder().join("adapter"), chart_path());
    let values = values_file(place.cluster.dir().state(), VALUES);
    let release = |command, chart| [command, RELEASE, chart, "--namespace", NAMESPACE, "--values", &values];
    place.helm(&release("install", adapter.to_str().unwrap())).await;
    let before = place.state().await;
    assert_eq!(before, (vec![false; 2], "registry.example.com/prometheus-adapter:v0.12.0".to_owned()));
    let uids = place.uids().await;
    upgrade_in_two_steps(place, &release("upgrade", &chart)).await;
    assert_eq!(place.uids().await, uids, "the Deployment and the Service are the same");
    place.helm(&["rollback", RELEASE, "1", "--namespace", NAMESPACE]).await;
    assert_eq!(place.state().await, before);
    assert_eq!(place.field("apiservice", "v1beta2.custom.metrics.k8s.io", "/spec").await, Value::Null);
}

/// First with the certificate not verified, then verified.
async fn upgrade_in_two_steps(place: &Place, upgrade: &[&str]) {
    let ports = place.field("service", RELEASE, "/spec/ports").await;
    let unverified = [upgrade, &["--set", "tls.generated.verify=false"]].concat();
    place.helm(&unverified).await;
    assert_eq!(place.state().await, (vec![false; 2], "metrics-apiserver:0.1.0".to_owned()));
    // A port of another name has no endpoints until there is another EndpointSlice, and the APIs are unavailable.
    assert_eq!(place.field("service", RELEASE, "/spec/ports").await, ports);
    let pods = place.field("deployment", RELEASE, "/spec/template").await;
    let secret = "prometheus-adapter-serving-cert";
    assert!(pods.to_string().contains(secret), "the new pods have the certificate already");
    let certificate = place.field("secret", secret, "/data").await;

    let verified = [upgrade, &["--set", "tls.generated.verify=true"]].concat();
    place.helm(&verified).await;
    assert_eq!(place.state().await, (vec![true; 2], "metrics-apiserver:0.1.0".to_owned()));
    assert!(place.field("apiservice", "v1beta2.custom.metrics.k8s.io", "/spec/caBundle").await.is_string());
    assert_eq!(place.field("secret", secret, "/data").await, certificate);
    assert_eq!(place.field("deployment", RELEASE, "/spec/template").await, pods, "no pod is replaced");
    let selector = "/spec/selector/app.kubernetes.io~1instance";
    assert_eq!(place.field("service", RELEASE, selector).await, RELEASE);
}

#[tokio::test]
async fn an_api_that_another_provider_took_comes_back_as_the_runbook_says() {
    let place = Place::new("chart-registration-lost").await;
    let chart = chart_path();
    let args = |command| [command, RELEASE, &*chart, "--namespace", NAMESPACE];
    place.helm(&args("install")).await;
    let api = "v1beta1.custom.metrics.k8s.io";
    let ours = place.field("apiservice", api, "/spec").await;
    let patch = r#"{"spec":{"service":{"name":"keda-metrics-apiserver","namespace":"keda"}}}"#;
    let patch = ["patch", "apiservice", api, "--type=merge", "--patch", patch];
    place.kubectl.run(&patch).await.unwrap().success().unwrap();
    assert_eq!(place.field("apiservice", api, "/spec/service/namespace").await, "keda");
    place.kubectl.run(&["delete", "apiservice", api]).await.unwrap().success().unwrap();
    place.helm(&args("upgrade")).await;
    assert_eq!(place.field("apiservice", api, "/spec").await, ours);
}
