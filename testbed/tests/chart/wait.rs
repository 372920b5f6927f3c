//! `helm install --wait` ends when the pods are ready to answer, and not before.

use crate::{
    case::{NAMESPACE, chart_path, values_file},
    cluster::Place,
};
use std::time::Duration;
use testbed::{Node, eventually, node, workspace};

const RELEASE: &str = "metrics-apiserver";

/// How `helm install --wait` ends.
async fn install(place: &Place, timeout: &str, more: &[&str]) -> testbed::helm::Output {
    let chart = chart_path();
    let args = ["install", RELEASE, &chart, "--namespace", NAMESPACE, "--wait", "--timeout", timeout];
    place.helm.run(&[&args[..], more].concat()).await.unwrap()
}

#[tokio::test]
async fn an_installation_that_waits_fails_while_no_pod_is_ready() {
    // There is no node here, so no pod ever starts.
    let place = Place::new("chart-wait").await;
    let installed = install(&place, "10s", &[]).await;
    assert!(!installed.status.success(), "{}", installed.stdout);
    assert!(installed.stderr.contains("deadline"), "{}", installed.stderr);
}

/// Nothing answers queries, which no pod needs to be ready.
const VALUES: &str = "
prometheus: {url: http://127.0.0.1, port: 9}
metrics: [{name: a, query: up}]
rules: {default: false}
";

#[tokio::test]
async fn an_installation_that_waits_ends_with_pods_that_are_ready_and_see_their_registration() {
    let place = Place::new("chart-wait-ready").await;
    let values = values_file(place.cluster.dir().state(), VALUES);
    let server = workspace::binary("metrics-apiserver").await.unwrap();
    let logs = place.cluster.dir().logs().to_owned();
    let options = node::Options {
        name: "chart".to_owned(),
        images: node::Images::from([(
            format!("{RELEASE}:{}", env!("CARGO_PKG_VERSION")),
            node::Image::api_server(server),
        )]),
        logs: logs.clone(),
    };
    let node = Node::start(&place.cluster, options).await.unwrap();
    let installed = install(&place, "120s", &["--values", &values]).await;
    installed.success().unwrap();
    let ready = ["get", "deployment", RELEASE, "-n", NAMESPACE, "-o", "jsonpath={.status.readyReplicas}"];
    assert_eq!(place.kubectl.run(&ready).await.unwrap().success().unwrap(), "2");

    let log = || {
        let files = std::fs::read_dir(&logs).unwrap().map(|entry| entry.unwrap().path());
        let files = files.filter(|file| file.to_string_lossy().contains(&format!("{NAMESPACE}_{RELEASE}-")));
        files.map(|file| std::fs::read_to_string(file).unwrap()).collect::<String>()
    };
    assert!(!log().contains("APIService"), "{}", log());
    // The server looks again within half a minute, and says whose the API is then.
    let patch = r#"{"spec":{"service":{"name":"keda-metrics-apiserver","namespace":"keda"}}}"#;
    let api = "v1beta1.external.metrics.k8s.io";
    let patch = ["patch", "apiservice", api, "--type=merge", "--patch", patch];
    place.kubectl.run(&patch).await.unwrap().success().unwrap();
    let expected =
        format!("APIService {api} leads to keda/keda-metrics-apiserver, not to {NAMESPACE}/{RELEASE}");
    let said = eventually("the log to name the other provider", Duration::from_secs(60), || async {
        Ok(log().contains(&expected).then_some(()))
    });
    said.await.unwrap();
    node.shutdown().await.unwrap();
}
