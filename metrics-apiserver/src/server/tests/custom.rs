//! Custom metrics, and what discovery lists of the metrics that there are.

use std::sync::Arc;

use serde_json::{Value, json};

use super::app::{App, BASE};
use crate::catalog::{Catalog, Discovered, FilePart};
use crate::testkit::series::{adapter_file, custom, external};

const CUSTOM: &str = "/apis/custom.metrics.k8s.io";
const AGGREGATED: &str = "Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList\r\n";

impl App {
    /// Serves these metrics of series from now on.
    fn serves(&self, metrics: impl IntoIterator<Item = Discovered>) {
        let metrics = metrics.into_iter().flatten().collect();
        self.catalog.replace(Catalog::merge(Arc::new(adapter_file()), metrics));
    }

    fn serves_nothing(&self) {
        self.catalog.replace(Catalog::merge(Arc::new(FilePart::default()), Discovered::new()));
    }

    /// The names and scopes that a list of resources has.
    fn resources(&self, path: &str) -> Vec<(String, bool)> {
        let list = self.get(path).json();
        assert_eq!(list["kind"], "APIResourceList", "{list}");
        let resource = |resource: &Value| {
            assert_eq!(resource["verbs"], json!(["get"]));
            (resource["name"].as_str().unwrap().to_owned(), resource["namespaced"].as_bool().unwrap())
        };
        list["resources"].as_array().unwrap().iter().map(resource).collect()
    }

    fn groups(&self) -> Vec<String> {
        let (listed, aggregated) = (self.get("/apis").json(), self.get_with("/apis", AGGREGATED).json());
        let names = |groups: &Value, name: fn(&Value) -> &Value| -> Vec<String> {
            groups.as_array().unwrap().iter().map(|group| name(group).as_str().unwrap().to_owned()).collect()
        };
        let legacy = names(&listed["groups"], |group| &group["name"]);
        assert_eq!(legacy, names(&aggregated["items"], |group| &group["metadata"]["name"]));
        legacy
    }
}

#[test]
fn a_pods_metric_is_read_in_both_versions() {
    let app = App::start();
    app.serves([custom("requests")]);
    let read = |version: &str| {
        let path = format!("{CUSTOM}/{version}/namespaces/shop/pods/*/requests?labelSelector=app%3Dtill");
        let response = app.get(&path);
        assert_eq!((response.code, response.header("content-type")), (200, Some("application/json")));
        let list = response.json();
        assert_eq!(list["apiVersion"], format!("custom.metrics.k8s.io/{version}"));
        let [item] = &list["items"].as_array().unwrap()[..] else { panic!("one pod has a value: {list}") };
        assert_eq!(item["describedObject"]["name"], "till-1");
        assert_eq!(item["value"], "2500m");
        item.clone()
    };
    assert_eq!(
        (&read("v1beta1")["metricName"], &read("v1beta1")["selector"]),
        (&json!("requests"), &json!(null))
    );
    assert_eq!(read("v1beta2")["metric"], json!({"name": "requests", "selector": null}));
}

#[test]
fn objects_of_every_scope_are_read_by_name() {
    let app = App::start();
    app.serves([custom("requests")]);
    let described = |path: &str| {
        let list = app.get(&format!("{CUSTOM}/v1beta1/{path}")).json();
        assert_eq!(list["items"].as_array().unwrap().len(), 1, "{path}: {list}");
        list["items"][0]["describedObject"].clone()
    };
    assert_eq!(
        described("namespaces/shop/deployments.apps/till/requests"),
        json!({"kind": "Deployment", "namespace": "shop", "name": "till", "apiVersion": "apps/v1"})
    );
    assert_eq!(
        described("nodes/worker/requests"),
        json!({"kind": "Node", "name": "worker", "apiVersion": "/v1"})
    );
    let namespace = json!({"kind": "Namespace", "name": "shop", "apiVersion": "/v1"});
    assert_eq!(described("namespaces/shop/metrics/requests"), namespace);
    assert_eq!(described("namespaces/*/metrics/requests"), namespace);
}

#[test]
fn a_custom_metric_that_cannot_be_read_has_prometheus_adapters_status() {
    let app = App::start();
    app.serves([custom("requests"), custom("down")]);
    let read = |rest: &str| app.get(&format!("{CUSTOM}/v1beta2/{rest}")).failure();
    let nothing = "the server could not find the metric";
    for (path, code, reason, message) in [
        ("namespaces/shop/pods/web/requests", 404, "NotFound", format!("{nothing} requests for pods web")),
        ("namespaces/shop/pods/*/typo", 404, "NotFound", format!("{nothing} typo for pods")),
        (
            "namespaces/shop/pods/*/requests?labelSelector=a%3Dnone",
            404,
            "NotFound",
            format!("{nothing} requests for pods"),
        ),
        ("namespaces/shop/requests", 400, "BadRequest", "invalid request path".to_owned()),
        (
            "namespaces/shop/pods/requests",
            404,
            "NotFound",
            "the server could not find the requested resource".to_owned(),
        ),
        (
            "namespaces/shop/pods/*/requests?watch=1",
            405,
            "MethodNotAllowed",
            "watch is not supported on resources of kind \"custommetrics.custom.metrics.k8s.io\"".to_owned(),
        ),
    ] {
        assert_eq!(read(path), (code, reason.to_owned(), message), "{path}");
    }
    let (code, _, message) = read("namespaces/shop/pots/*/requests");
    assert!(
        code == 500 && message.starts_with("Internal error occurred: unable to list matching resources: ")
    );
    let (code, _, message) = read("namespaces/shop/pods/*/down");
    assert!(code == 503 && message.starts_with("unable to fetch metrics: "), "{code} {message}");
    let (code, _, message) = read("namespaces/shop/pods/*/requests?metricLabelSelector=a+in+(");
    assert!(code == 400 && message.starts_with("unable to parse metricLabelSelector: "), "{code} {message}");
    let bob = app.request("GET", &format!("{CUSTOM}/v1beta2/nodes/n/requests"), "X-Remote-User: bob\r\n");
    assert_eq!(bob.failure().0, 403);
}

#[test]
fn the_resource_list_names_the_metrics_and_follows_the_catalog() {
    let app = App::start();
    app.serves([custom("requests"), external("queue")]);
    let metrics = [
        ("deployments.apps/requests", true),
        ("namespaces/requests", false),
        ("nodes/requests", false),
        ("pods/requests", true),
    ];
    let named = |name: &str, is_namespaced| (name.to_owned(), is_namespaced);
    for version in ["v1beta1", "v1beta2"] {
        let mut listed = app.resources(&format!("{CUSTOM}/{version}"));
        listed.sort();
        assert_eq!(listed, metrics.map(|(name, is_namespaced)| named(name, is_namespaced)));
    }
    assert_eq!(app.resources(BASE), [named("queue", true)]);
    app.serves([]);
    assert_eq!(app.resources(&format!("{CUSTOM}/v1beta1")), [named("custommetrics", true)]);
    assert_eq!(app.resources(BASE), [named("externalmetrics", true)], "no series yet, and available");
}

#[test]
fn aggregated_discovery_stays_small_and_the_same() {
    let app = App::start();
    app.serves([]);
    let before = app.get_with("/apis", AGGREGATED);
    app.serves([custom("requests"), external("queue")]);
    let after = app.get_with("/apis", AGGREGATED);
    assert_eq!((&before.body, before.header("etag")), (&after.body, after.header("etag")));
    let list = after.json();
    for (group, versions, resource) in [(0, 1, "externalmetrics"), (1, 2, "custommetrics")] {
        let listed = list["items"][group]["versions"].as_array().unwrap();
        assert_eq!((listed.len(), &listed[0]["resources"][0]["resource"]), (versions, &json!(resource)));
        assert_eq!(listed[0]["resources"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn only_groups_with_rules_are_listed_but_one_that_was_served_still_answers() {
    let app = App::start();
    assert_eq!(app.groups(), ["external.metrics.k8s.io"]);
    for path in [CUSTOM.to_owned(), format!("{CUSTOM}/v1beta1")] {
        assert_eq!(app.get(&path).failure().0, 404, "it was never served: {path}");
    }
    app.serves([custom("requests")]);
    assert_eq!(app.groups(), ["external.metrics.k8s.io", "custom.metrics.k8s.io"]);
    let group = app.get(CUSTOM).json();
    assert_eq!(group["preferredVersion"]["version"], "v1beta1");
    app.serves_nothing();
    assert!(app.groups().is_empty());
    for version in ["v1beta1", "v1beta2"] {
        let list = format!("{CUSTOM}/{version}");
        assert_eq!(app.resources(&list), [("custommetrics".to_owned(), true)]);
        let read = app.get(&format!("{list}/namespaces/shop/pods/*/requests")).failure();
        assert_eq!((read.0, &*read.1), (404, "NotFound"));
        let url = app.get("/openapi/v3").json()["paths"][&list[1..]]["serverRelativeURL"].clone();
        assert_eq!(app.get(url.as_str().unwrap()).json()["info"]["version"], version);
    }
}
