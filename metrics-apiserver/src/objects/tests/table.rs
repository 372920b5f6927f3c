//! The table of resources.

use serde_json::{Value, json};

use super::*;
use crate::testkit::{discovery, scrape, version};

fn group(name: &str, versions: &[Value]) -> Value {
    json!({"metadata": {"name": name}, "versions": versions})
}

fn core() -> Play {
    discovery(&[group("", &[version("v1", &[("pods", "Pod"), ("nodes", "Node")])])], "core")
}

/// The core group, and these.
fn cluster(groups: Vec<Value>) -> impl Fn(&str) -> Option<Play> {
    move |target| match target {
        "/api" => Some(core()),
        "/apis" => Some(discovery(&groups, "groups")),
        _ => None,
    }
}

/// The resources with their versions.
fn names(objects: &Objects) -> Vec<String> {
    let name = |info: &Arc<ResourceInfo>| format!("{}/{}", info.resource, info.version);
    objects.resources().all().iter().map(name).collect()
}

async fn until_names(fixture: &Fixture, expected: &[&str]) {
    eventually(async || names(&fixture.objects) == expected).await;
}

#[tokio::test]
async fn resources_come_in_the_order_of_the_api_server_each_in_the_first_version_that_has_it() {
    let versions = [
        version("v2", &[("scalers", "Scaler")]),
        version("v1", &[("scalers", "Scaler"), ("old", "Old"), ("virtual", "")]),
    ];
    let fixture = Fixture::new(cluster(vec![group("b.example", &versions), group("a.example", &[])]));
    until_names(&fixture, &["pods/v1", "nodes/v1", "scalers.b.example/v2", "old.b.example/v1"]).await;
    let resources = fixture.objects.resources();
    assert_eq!(&*resources.resolve("pod", None).unwrap().kind, "Pod");
    assert!(resources.resolve("virtual", None).is_none());
    let first = fixture.server.requests().remove(0);
    assert!(first.header("accept").unwrap().starts_with("application/json;g=apidiscovery.k8s.io;v=v2;"));
    assert!(first.header("if-none-match").is_none());
    assert!(scrape(&fixture.registry).contains("metrics_apiserver_objects_resources 4"));
}

#[tokio::test]
async fn resources_that_did_not_change_are_not_sent_again() {
    let fixture = Fixture::new(cluster(vec![]));
    until_names(&fixture, &["pods/v1", "nodes/v1"]).await;
    let changes = fixture.objects.changes();
    fixture.server.play(Play::Raw(b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec()));
    eventually(async || fixture.requests("/apis").len() >= 4).await;
    assert_eq!(fixture.server.last().header("if-none-match").map(|etag| etag.len() > 2), Some(true));
    assert_eq!(names(&fixture.objects), ["pods/v1", "nodes/v1"]);
    assert!(!changes.has_changed().unwrap());
}

#[tokio::test]
async fn a_custom_resource_comes_and_goes() {
    let fixture = Fixture::new(cluster(vec![]));
    until_names(&fixture, &["pods/v1", "nodes/v1"]).await;
    let mut changes = fixture.objects.changes();
    fixture.script(cluster(vec![group("example.com", &[version("v1", &[("queues", "Queue")])])]));
    changes.changed().await.unwrap();
    let generation = changes.borrow_and_update().generation;
    assert_eq!(names(&fixture.objects).last().unwrap(), "queues.example.com/v1");
    fixture.script(cluster(vec![]));
    changes.changed().await.unwrap();
    assert_eq!(changes.borrow().generation, generation + 1);
    assert_eq!(names(&fixture.objects), ["pods/v1", "nodes/v1"]);
}

#[tokio::test]
async fn a_group_that_is_unavailable_keeps_its_resources() {
    let fixture = Fixture::new(cluster(vec![group("example.com", &[version("v1", &[("queues", "Queue")])])]));
    until_names(&fixture, &["pods/v1", "nodes/v1", "queues.example.com/v1"]).await;
    let stale = json!({"version": "v1", "freshness": "Stale"});
    let new = group("new.example.com", &[version("v1", &[("topics", "Topic")])]);
    fixture.script(cluster(vec![group("example.com", &[stale]), new]));
    let all = ["pods/v1", "nodes/v1", "queues.example.com/v1", "topics.new.example.com/v1"];
    until_names(&fixture, &all).await;
}

#[tokio::test]
async fn an_api_server_without_aggregated_discovery_is_read_group_by_group() {
    let resource = |name: &str| json!({"name": name, "singularName": "", "namespaced": true, "kind": "Kind"});
    let list = move |names: &[&str]| {
        let resources: Vec<Value> = names.iter().map(|name| resource(name)).collect();
        Some(Play::json(200, json!({"kind": "APIResourceList", "resources": resources})))
    };
    let fixture = Fixture::new(move |target| match target {
        "/api" => Some(Play::json(200, json!({"kind": "APIVersions", "versions": ["v1"]}))),
        "/apis" => {
            let versions = json!([{"version": "v1beta1"}, {"version": "v1"}]);
            let apps = json!({"name": "apps", "versions": versions, "preferredVersion": {"version": "v1"}});
            let down = json!({"name": "down", "versions": [{"version": "v1"}]});
            Some(Play::json(200, json!({"kind": "APIGroupList", "groups": [down, apps]})))
        }
        "/api/v1" => list(&["pods", "pods/log"]),
        "/apis/apps/v1" => list(&["deployments"]),
        "/apis/apps/v1beta1" => list(&["deployments", "scales"]),
        _ => None,
    });
    until_names(&fixture, &["pods/v1", "deployments.apps/v1", "scales.apps/v1beta1"]).await;
}

#[tokio::test]
async fn resources_are_not_known_until_the_api_server_answers() {
    let fixture = Fixture::new(|_| Some(failure(503, "ServiceUnavailable")));
    eventually(async || fixture.requests("/api").len() >= 2).await;
    assert!(!fixture.objects.are_resources_known());
    fixture.script(cluster(vec![]));
    until_names(&fixture, &["pods/v1", "nodes/v1"]).await;
    assert!(fixture.objects.are_resources_known() && Objects::default().are_resources_known());
    assert!(scrape(&fixture.registry).contains(r#"discoveries_total{outcome="failure"}"#));
}

#[tokio::test]
async fn a_name_that_is_not_resolved_has_the_resources_read_again() {
    let options = Options::new(0.0, 0, Duration::from_secs(3_600));
    let fixture = Fixture::with(cluster(vec![]), options, Budget::default(), 100);
    until_names(&fixture, &["pods/v1", "nodes/v1"]).await;
    let before = fixture.requests("/apis").len();
    fixture.objects.unresolved();
    eventually(async || fixture.requests("/apis").len() > before).await;
}
