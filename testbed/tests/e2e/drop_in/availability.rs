//! What may happen to the releases without an API being lost.

use super::{program, with_drop_in};
use serde_json::{Value, json};
use std::time::Duration;
use testbed::{Cluster, eventually};

/// The availability of an API is looked at when its registration changes; the rest is room for a busy machine.
const SOON: Duration = Duration::from_secs(60);
/// Shorter than the interval in which series are looked for.
const BACK: Duration = Duration::from_secs(45);
const READ: &str = "/apis/custom.metrics.k8s.io/v1beta1/namespaces/idle/pods/*/python_slots";
/// The only name that kube-apiserver checks in the chart's serving certificate.
const HOST: &str = "prometheus-adapter.adapter.svc";

#[test]
fn a_certificate_given_to_the_chart_is_served_and_verified() {
    with_drop_in(|drop_in| async move {
        let _damaged = drop_in.undamaged.write().await;
        let cluster = &drop_in.cluster;
        let folder = cluster.dir().subdir("chart-tls/var/run/serving-cert").unwrap();
        let identity = cluster.credentials().serving_ca.server(&[HOST, "localhost"]).unwrap();
        std::fs::write(folder.join("tls.crt"), identity.certificate).unwrap();
        std::fs::write(folder.join("tls.key"), identity.key).unwrap();

        // As the chart's value tls.enable does it.
        let mut release = drop_in.chart.clone();
        release.change("Deployment", |deployment| {
            let args = &mut deployment["spec"]["template"]["spec"]["containers"][0]["args"];
            let files = [
                "tls-cert-file=/var/run/serving-cert/tls.crt",
                "tls-private-key-file=/var/run/serving-cert/tls.key",
            ];
            for (at, file) in files.iter().enumerate() {
                args.as_array_mut().unwrap().insert(2 + at, Value::from(format!("--{file}")));
            }
        });
        let bundle = k8s_openapi::ByteString(cluster.credentials().serving_ca.pem().into_bytes());
        let bundle = serde_json::to_value(bundle).unwrap();
        release.change("APIService", |service| {
            service["spec"]["insecureSkipTLSVerify"] = json!(false);
            service["spec"]["caBundle"] = bundle.clone();
        });

        let pod =
            release.run(cluster, "chart-tls", &program().await, drop_in.prometheus.url()).await.unwrap();
        assert!(!pod.root().join("tmp/cert").exists(), "a pair of its own was not needed");
        release.register(cluster, &pod).await.unwrap();
        let read = eventually("a read by the new pod", SOON, async || {
            let list = drop_in.raw(READ).await?;
            anyhow::ensure!(pod.process.log_tail().contains("python_slots"), "the old pod was asked: {list}");
            Ok(Some(list))
        });
        assert_eq!(read.await.unwrap()["items"][0]["value"], "1");
        drop_in.available().await.unwrap();
        drop_in.chart.register(cluster, &drop_in.pods[0]).await.unwrap();
        drop_in.available().await.unwrap();
    });
}

#[test]
fn all_apis_become_available_while_prometheus_is_stopped_and_serve_when_it_is_back() {
    with_drop_in(|drop_in| async move {
        let _damaged = drop_in.undamaged.write().await;
        let (cluster, url) = (&drop_in.cluster, drop_in.prometheus.url());
        drop_in.prometheus.stop().await.unwrap();
        // One that starts now knows no series. It is registered anew, so that kube-apiserver looks again.
        let started = drop_in.chart.run(cluster, "chart-outage", &program().await, url).await.unwrap();
        for (release, pod) in [(&drop_in.chart, &started), (&drop_in.kube_prometheus, &drop_in.pods[1])] {
            release.unregister(cluster).await.unwrap();
            release.register(cluster, pod).await.unwrap();
        }
        drop_in.available().await.unwrap();
        cluster_is_well(cluster).await;
        // Until what was read before is too old.
        for args in [&["get", "--raw", READ][..], &["top", "pods", "-n", "idle"], &["top", "nodes"]] {
            let failed = eventually("a read to say why it fails", SOON, async || {
                let read = cluster.kubectl().run(args).await?;
                Ok((!read.status.success()).then_some(read.stderr))
            });
            let failed = failed.await.unwrap();
            assert!(failed.contains("prometheus is not reachable"), "{args:?}: {failed}");
        }

        drop_in.prometheus.start_again().await.unwrap();
        for path in [READ, "/apis/metrics.k8s.io/v1beta1/namespaces/idle/pods"] {
            let read = eventually("a read after the outage", BACK, async || {
                let list = drop_in.raw(path).await?;
                Ok((!list["items"].as_array().is_none_or(Vec::is_empty)).then_some(()))
            });
            read.await.unwrap();
        }
        let node = async || drop_in.raw("/apis/metrics.k8s.io/v1beta1/nodes/drop-in").await.map(Some);
        eventually("a node's usage after the outage", BACK, node).await.unwrap();
        drop_in.chart.register(cluster, &drop_in.pods[0]).await.unwrap();
        drop_in.available().await.unwrap();
    });
}

/// What depends on every API of a cluster: discovery, and the deletion of namespaces.
async fn cluster_is_well(cluster: &Cluster) {
    let resources = cluster.kubectl().run(&["api-resources", "--cached=false"]).await.unwrap();
    assert_eq!(resources.stderr, "");
    for args in [&["create", "namespace", "outage"][..], &["delete", "namespace", "outage", "--timeout=30s"]]
    {
        cluster.kubectl().run(args).await.unwrap().success().unwrap();
    }
}
