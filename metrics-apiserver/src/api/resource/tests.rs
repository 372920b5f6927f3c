//! Requests for usage, and the bodies that answer them, as metrics-server and prometheus-adapter write them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::answer::{ContainerUsage, ObjectUsage, Usage, UsageAnswer, Used};
use crate::api::TableVersion;
use crate::metric::{Format, Labels, Quantity};
use crate::objects::Object;

fn parsed(path: &str, query: &str) -> Result<Option<Request>, RequestError> {
    let segments: Vec<&str> = path.split('/').collect();
    (GROUP.versions[0].parse)(&segments, &Parameters::parse(query))
}

fn usage_request(path: &str, query: &str) -> UsageRequest {
    match parsed(path, query) {
        Ok(Some(Request::Usage { version: UsageVersion::V1Beta1, request })) => request,
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn pods_and_nodes_can_be_listed_and_read() {
    let shop = || Some(Namespace::parse("shop").unwrap());
    for (path, target, name) in [
        ("nodes", UsageTarget::Nodes, None),
        ("nodes/n1.example", UsageTarget::Nodes, Some("n1.example")),
        ("pods", UsageTarget::Pods(None), None),
        ("namespaces/shop/pods", UsageTarget::Pods(shop()), None),
        ("namespaces/shop/pods/web-1", UsageTarget::Pods(shop()), Some("web-1")),
    ] {
        let request = usage_request(path, "");
        assert_eq!((request.target, request.name.as_deref()), (target, name), "{path}");
    }
    for path in ["services", "pods/web-1", "namespaces/shop", "namespaces/shop/nodes", "nodes/", "nodes/n1/x"]
    {
        assert_eq!(parsed(path, ""), Ok(None), "{path}");
    }
}

#[test]
fn a_list_is_narrowed_by_labels_and_fields_and_nothing_is_watched() {
    let request =
        usage_request("pods", "labelSelector=app%3Dweb&fieldSelector=metadata.name%3Dweb-1&limit=500");
    assert_eq!(request.labels.to_string(), "app=web");
    assert!(request.fields.matches("web-1", Some("shop")) && !request.fields.matches("web-2", Some("shop")));
    let request = usage_request("nodes/n1", "labelSelector=a%20in%20(");
    assert_eq!(request.labels.to_string(), "", "a get has no selector");
    assert!(matches!(parsed("pods", "labelSelector=a%20in%20("), Err(RequestError::Selector(_))));
    assert!(matches!(parsed("pods", "fieldSelector=spec.nodeName%3Dn"), Err(RequestError::FieldSelector(_))));
    let watch = RequestError::Watch { resource: "nodes", group: "metrics.k8s.io" };
    assert_eq!(parsed("nodes", "watch=1"), Err(watch));
}

fn amounts(cpu: i64, memory: i64) -> Usage {
    Usage { cpu: Quantity::new(cpu, Format::Milli), memory: Quantity::new(memory * 1000, Format::Binary) }
}

fn object(namespace: Option<&str>, name: &str, used: Used) -> ObjectUsage {
    let namespace = namespace.map(|namespace| Namespace::parse(namespace).unwrap());
    let labels = if name == "web-1" { [("app", "web")].into_iter().collect() } else { Labels::new() };
    let object = Arc::new(Object { namespace, name: name.into(), labels });
    ObjectUsage { object, timestamp: "2026-11-24T03:51:07.987Z".parse().unwrap(), used }
}

fn pod() -> ObjectUsage {
    let containers = [("main", amounts(250, 64 << 20)), ("side", amounts(1_000, 3_100))]
        .map(|(name, usage)| ContainerUsage { name: name.into(), usage });
    object(Some("shop"), "web-1", Used::Pod(containers.into()))
}

fn answer(is_single: bool, items: Vec<ObjectUsage>) -> UsageAnswer {
    let is_of_pods = items.first().is_none_or(|item| item.object.namespace.is_some());
    UsageAnswer { is_of_pods, is_single, window: Duration::from_secs(300), items }
}

fn written(version: UsageVersion, answer: &UsageAnswer) -> String {
    let now: Timestamp = "2026-11-24T03:51:19.5Z".parse().unwrap();
    let body = usage(version, answer, now);
    let about = usage_bytes(answer);
    assert!(about + 160 > body.len(), "{about} bytes are about {}", body.len());
    String::from_utf8(body).unwrap()
}

const POD: &str = concat!(
    r#""metadata":{"name":"web-1","namespace":"shop","creationTimestamp":"2026-11-24T03:51:19Z","#,
    r#""labels":{"app":"web"}},"#,
    r#""timestamp":"2026-11-24T03:51:07Z","window":"5m0s","containers":["#,
    r#"{"name":"main","usage":{"cpu":"250m","memory":"64Mi"}},{"name":"side","usage":{"cpu":"1","memory":"3100"}}]}"#,
);

#[test]
fn bodies_have_the_fields_in_go_s_order() {
    let list = written(UsageVersion::V1Beta1, &answer(false, vec![pod()]));
    let start = r#"{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{},"items":[{"#;
    assert_eq!(list, format!("{start}{POD}]}}\n"));
    let one = written(UsageVersion::V1, &answer(true, vec![pod()]));
    assert_eq!(one, format!("{{\"kind\":\"PodMetrics\",\"apiVersion\":\"metrics.k8s.io/v1\",{POD}\n"));
    let node = object(None, "n1", Used::Node(amounts(1_500, 2 << 30)));
    assert_eq!(
        written(UsageVersion::V1Beta1, &answer(true, vec![node])),
        concat!(
            r#"{"kind":"NodeMetrics","apiVersion":"metrics.k8s.io/v1beta1","#,
            r#""metadata":{"name":"n1","creationTimestamp":"2026-11-24T03:51:19Z"},"#,
            r#""timestamp":"2026-11-24T03:51:07Z","window":"5m0s","usage":{"cpu":"1500m","memory":"2Gi"}}"#,
            "\n"
        )
    );
    assert!(written(UsageVersion::V1, &answer(false, vec![])).ends_with("\"items\":[]}\n"));
}

#[test]
fn a_table_adds_up_the_containers_of_a_pod() {
    let now = "2026-11-24T03:51:19.5Z".parse().unwrap();
    let table = table(TableVersion::V1, &answer(false, vec![pod()]), now);
    let table: serde_json::Value = serde_json::from_slice(&table).unwrap();
    let names: Vec<_> = table["columnDefinitions"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["Name", "cpu", "memory", "Window"]);
    assert_eq!(table["rows"][0]["cells"], serde_json::json!(["web-1", "1250m", "67111964", "5m0s"]));
    let metadata = &table["rows"][0]["object"]["metadata"];
    assert_eq!((&metadata["namespace"], &metadata["labels"]["app"]), (&"shop".into(), &"web".into()));
    assert_eq!(metadata["creationTimestamp"], "2026-11-24T03:51:19Z");
}
