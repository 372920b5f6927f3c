//! The API's documents and answers: through the real kube-apiserver with the real kubectl, and directly.

use crate::{
    direct::{BASE, Caller, front_proxy},
    fixture::{EVERYWHERE, Fixture, STEADY, STEADY_NAMESPACE, with_fixture},
};
use serde_json::{Value, json};
use std::time::Duration;
use testbed::{eventually, kubectl::Output};

/// kube-apiserver collects discovery and OpenAPI documents in the background.
const COLLECTED: Duration = Duration::from_secs(60);
const GROUP: &str = "/apis/external.metrics.k8s.io";
const OPENAPI: &str = "/openapi/v3/apis/external.metrics.k8s.io/v1beta1";
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

async fn kubectl(fixture: &Fixture, args: &[&str]) -> Output {
    fixture.cluster.kubectl().run(args).await.unwrap()
}

async fn raw(fixture: &Fixture, path: &str) -> anyhow::Result<Value> {
    let text = fixture.cluster.kubectl().run(&["get", "--raw", path]).await?.success()?;
    Ok(serde_json::from_str(&text)?)
}

/// A caller with the rights of `system:masters`, as kube-apiserver passes such a user on.
fn admin(fixture: &Fixture) -> Caller {
    let identity = front_proxy(&fixture.cluster);
    Caller::new(&fixture.server.url(), fixture.server.ca(), Some(&identity), true).for_admin()
}

#[test]
fn kubectl_lists_the_api_among_the_clusters_resources() {
    with_fixture(|fixture| async move {
        let listed = eventually("the API among the resources", COLLECTED, || async {
            let output = fixture.cluster.kubectl().run(&["api-resources"]).await?;
            let text = output.success()?;
            Ok(text.contains("external.metrics.k8s.io/v1beta1").then_some(text))
        });
        let listed = listed.await.unwrap();
        let line = listed.lines().find(|line| line.contains("external.metrics.k8s.io/v1beta1")).unwrap();
        assert!(line.contains("true") && line.contains("ExternalMetricValueList"), "{line}");
        let group = ["api-resources", "--api-group=external.metrics.k8s.io", "--cached=false", "-o", "name"];
        let output = kubectl(&fixture, &group).await;
        assert!(output.stderr.is_empty(), "{}", output.stderr);
        assert!(output.success().unwrap().contains("external.metrics.k8s.io"));
    });
}

#[test]
fn every_discovery_and_openapi_path_is_served_through_kube_apiserver() {
    with_fixture(|fixture| async move {
        let group = raw(&fixture, GROUP).await.unwrap();
        assert_eq!(group["preferredVersion"]["groupVersion"], "external.metrics.k8s.io/v1beta1", "{group}");
        let resources = raw(&fixture, BASE).await.unwrap();
        assert_eq!(resources["kind"], "APIResourceList", "{resources}");
        assert_eq!(resources["resources"][0]["verbs"], json!(["get"]), "{resources}");
        let groups = raw(&fixture, "/apis").await.unwrap();
        assert!(groups["groups"].as_array().unwrap().iter().any(|g| g["name"] == "external.metrics.k8s.io"));
        let openapi = eventually("the OpenAPI v3 document", COLLECTED, || async {
            let index = raw(&fixture, "/openapi/v3").await?;
            let known = index["paths"].get("apis/external.metrics.k8s.io/v1beta1").is_some();
            Ok(if known { Some(raw(&fixture, OPENAPI).await?) } else { None })
        });
        let openapi = openapi.await.unwrap();
        assert!(openapi["openapi"].as_str().unwrap().starts_with("3.0"), "{openapi}");
        assert_eq!(raw(&fixture, "/openapi/v2").await.unwrap()["swagger"], "2.0");
    });
}

#[test]
fn every_document_is_served_directly_and_aggregated_discovery_saves_its_body() {
    with_fixture(|fixture| async move {
        let admin = admin(&fixture);
        for (path, key, expected) in [
            ("/apis", "kind", "APIGroupList"),
            (GROUP, "kind", "APIGroup"),
            (BASE, "kind", "APIResourceList"),
            ("/openapi/v2", "swagger", "2.0"),
            (OPENAPI, "openapi", "3.0.0"),
            ("/version", "compiler", "rustc"),
        ] {
            let answer = admin.get(path).await;
            assert_eq!((answer.code, &answer.json()[key]), (200, &json!(expected)), "{path}");
        }
        let index = admin.get("/openapi/v3").await.json();
        let url = index["paths"]["apis/external.metrics.k8s.io/v1beta1"]["serverRelativeURL"].as_str();
        assert_eq!(admin.get(url.unwrap()).await.code, 200);
        let discovery = admin.clone().with("accept", AGGREGATED);
        let first = discovery.get("/apis").await;
        assert_eq!(first.json()["kind"], "APIGroupDiscoveryList", "{first:?}");
        let etag = first.etag.unwrap();
        let second = discovery.with("if-none-match", &etag).get("/apis").await;
        assert_eq!((second.code, &*second.body, second.etag), (304, "", Some(etag)));
    });
}

#[test]
fn health_and_metrics_are_served_to_those_who_may_see_them() {
    with_fixture(|fixture| async move {
        let nobody = Caller::new(&fixture.server.url(), fixture.server.ca(), None, true);
        for path in ["/healthz", "/livez"] {
            assert_eq!(&*nobody.get(path).await.body, "ok");
        }
        let ready = nobody.get("/readyz?verbose").await;
        assert!(ready.code == 200 && ready.body.ends_with("readyz check passed\n"), "{ready:?}");
        assert!(ready.body.contains("[+]authentication-config ok\n"), "{ready:?}");
        nobody.get("/metrics").await.refused(403, "Forbidden");
        let metrics = admin(&fixture).get("/metrics").await;
        assert_eq!(metrics.code, 200);
        assert!(metrics.body.contains("metrics_apiserver_http_requests_total{"), "{}", metrics.body);
    });
}

#[test]
fn what_cannot_be_answered_is_said_through_kube_apiserver() {
    with_fixture(|fixture| async move {
        let path = |rest: &str| format!("{BASE}/namespaces/{STEADY_NAMESPACE}/{rest}");
        let unknown = kubectl(&fixture, &["get", "--raw", &path("no_such_metric")]).await;
        assert!(!unknown.status.success());
        assert!(
            unknown.stderr.contains("NotFound") && unknown.stderr.contains("no_such_metric"),
            "{}",
            unknown.stderr
        );
        let bad = path(&format!("{EVERYWHERE}?labelSelector=a%20in%20("));
        let bad = kubectl(&fixture, &["get", "--raw", &bad]).await;
        assert!(
            bad.stderr.contains("BadRequest") && bad.stderr.contains("unable to parse labelSelector"),
            "{}",
            bad.stderr
        );
        let admin = admin(&fixture);
        let message = admin.get(&path("no_such_metric")).await.refused(404, "NotFound");
        assert!(message.contains("no_such_metric"), "{message}");
        admin.get(&path(&format!("{EVERYWHERE}?labelSelector=a%20in%20("))).await.refused(400, "BadRequest");
        let watch = path(&format!("{EVERYWHERE}?watch=true"));
        admin.get(&watch).await.refused(405, "MethodNotAllowed");
        let watch = kubectl(&fixture, &["get", "--raw", &watch]).await;
        assert!(watch.stderr.contains("MethodNotAllowed"), "{}", watch.stderr);
    });
}

#[test]
fn a_table_comes_through_kube_apiserver_and_kubectl_get_asks_us() {
    with_fixture(|fixture| async move {
        // kubectl takes its types from discovery, where one name stands for every metric: so the Table of a metric is
        // asked for with kubectl's own header, and `kubectl get` of that name asks for a metric that is called so.
        let cluster_ca = &fixture.cluster.credentials().cluster_ca;
        let admin = cluster_ca.client("admin", Some("system:masters")).unwrap();
        let path = format!("{BASE}/namespaces/{STEADY_NAMESPACE}/{STEADY}?labelSelector=queue%3Dorders");
        let table = Caller::new(fixture.cluster.url(), &cluster_ca.pem(), Some(&admin), true)
            .with("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
            .get(&path)
            .await
            .json();
        assert_eq!(table["kind"], "Table", "{table}");
        let cells = &table["rows"][0]["cells"];
        assert_eq!((&cells[0], &cells[1]), (&json!(STEADY), &json!("2625m")), "{table}");
        let get = kubectl(&fixture, &["get", "externalmetrics", "-n", STEADY_NAMESPACE]).await;
        assert!(!get.status.success() && get.stderr.contains("`externalmetrics`"), "{get:?}");
    });
}
