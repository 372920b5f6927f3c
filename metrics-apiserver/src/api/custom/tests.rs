use jiff::Timestamp;

use super::*;
use crate::answer::CustomAnswer;
use crate::metric::{GroupResource, Labels, ObjectRef, Quantity, ResourceInfo, Scope, Selector, Value};

fn read(path: &str, query: &str) -> Result<Option<CustomRequest>, RequestError> {
    let segments: Vec<&str> = path.split('/').collect();
    let request = parse(CustomVersion::V1Beta1, &segments, &Parameters::parse(query))?;
    Ok(request.map(|request| match request {
        Request::Custom { request, .. } => request,
        other => panic!("{path} is {other:?}"),
    }))
}

/// Namespace, resource, object and metric of a path.
fn parts(path: &str) -> Option<[String; 4]> {
    let CustomRequest { resource, namespace, objects, metric, .. } = read(path, "").unwrap()?;
    let object = match objects {
        WantedObjects::Named(name) => name.to_string(),
        WantedObjects::Selected(selector) => format!("*{selector}"),
    };
    let namespace = namespace.map_or_else(String::new, |namespace| namespace.to_string());
    Some([namespace, resource.to_string(), object, metric.to_string()])
}

#[test]
fn every_form_of_a_path_names_namespace_resource_object_and_metric() {
    for (path, expected) in [
        ("namespaces/shop/pods/till-1/m", ["shop", "pods", "till-1", "m"]),
        ("namespaces/shop/pods/*/m", ["shop", "pods", "*", "m"]),
        (
            "namespaces/shop/deployments.apps/till/a:b-c.d|e",
            ["shop", "deployments.apps", "till", "a:b-c.d|e"],
        ),
        ("nodes/worker/m", ["", "nodes", "worker", "m"]),
        ("storageclasses.storage.k8s.io/*/m", ["", "storageclasses.storage.k8s.io", "*", "m"]),
        ("namespaces/shop/metrics/m", ["", "namespaces", "shop", "m"]),
        ("namespaces/*/metrics/m", ["", "namespaces", "*", "m"]),
        ("namespaces/shop/metrics/x/m", ["shop", "metrics", "x", "m"]),
    ] {
        assert_eq!(parts(path), Some(expected.map(str::to_owned)), "{path}");
    }
}

#[test]
fn other_paths_are_unknown_or_too_short() {
    for path in [
        "nodes",
        "nodes/worker",
        "namespaces/shop/pods/till-1",
        "namespaces/shop/pods/till-1/m/x",
        "nodes//m",
        "nodes/worker/",
        "namespaces/shop/status/x/m",
        "namespaces/shop/finalize/x/m",
    ] {
        assert_eq!(read(path, ""), Ok(None), "{path}");
    }
    assert_eq!(read("namespaces/shop/m", ""), Err(RequestError::ShortPath));
}

#[test]
fn one_selector_is_for_objects_and_one_for_series() {
    let query = "labelSelector=app%3Dtill&metricLabelSelector=verb+in+(GET,PUT)";
    let request = read("namespaces/shop/pods/*/m", query).unwrap().unwrap();
    assert_eq!(request.objects, WantedObjects::Selected("app=till".parse().unwrap()));
    assert_eq!(request.selector, "verb in (GET,PUT)".parse().unwrap());
    let named = read("namespaces/shop/pods/till-1/m", query).unwrap().unwrap();
    assert_eq!(named.objects, WantedObjects::Named("till-1".into()));
}

#[test]
fn a_field_selector_has_to_be_the_name_in_the_path() {
    let fields = |name: &str, selector: &str| {
        read(&format!("namespaces/shop/pods/{name}/m"), &format!("fieldSelector={selector}"))
    };
    assert!(fields("web", "metadata.name%3Dweb").is_ok());
    assert!(fields("web", "").is_ok());
    for (name, selector) in [
        ("web", "metadata.name%3Dapi"),
        ("web", "metadata.name!%3Dweb"),
        ("web", "metadata.namespace%3Dshop"),
        ("*", "metadata.name%3Dweb"),
    ] {
        assert_eq!(fields(name, selector), Err(RequestError::FieldName), "{name} {selector}");
    }
    assert!(matches!(fields("web", "spec.nodeName%3Dn"), Err(RequestError::FieldSelector(_))));
}

#[test]
fn what_is_wrong_with_a_request_is_the_clients_error() {
    let error = |path: &str, query: &str| read(path, query).unwrap_err();
    let pods = "namespaces/shop/pods/*/m";
    assert!(matches!(error(pods, "labelSelector=a+in+("), RequestError::Selector(_)));
    assert!(matches!(error(pods, "metricLabelSelector=a+in+("), RequestError::MetricSelector(_)));
    assert!(matches!(error(pods, "watch=true"), RequestError::Watch { resource: "custommetrics", .. }));
    assert!(matches!(error("namespaces/SHOP/pods/*/m", ""), RequestError::Namespace(_)));
    assert!(matches!(error("namespaces/shop/pods/*/a%b", ""), RequestError::Metric(_)));
}

fn info(resource: &str, group: &str, kind: &str, scope: Scope) -> ResourceInfo {
    ResourceInfo {
        resource: GroupResource { resource: resource.into(), group: group.into() },
        singular: kind.to_lowercase().into(),
        kind: kind.into(),
        version: "v1".into(),
        scope,
    }
}

fn answer(info: ResourceInfo, namespace: Option<&str>, values: &[(&str, i64)]) -> CustomAnswer {
    let value = |(name, milli): &(&str, i64)| {
        let object = ObjectRef {
            resource: info.resource.clone(),
            namespace: namespace.map(|namespace| Namespace::parse(namespace).unwrap()),
            name: (*name).into(),
        };
        let quantity = Quantity::from_milli(*milli);
        (object, Value { quantity, labels: Labels::new(), timestamp: Timestamp::UNIX_EPOCH })
    };
    let values = values.iter().map(value).collect();
    CustomAnswer { resource: info.into(), values }
}

fn encoded(version: CustomVersion, path: &str, selector: &str, answer: &CustomAnswer) -> String {
    let mut request = read(path, "").unwrap().unwrap();
    request.selector = selector.parse::<Selector>().unwrap();
    let body = value_list(version, &request, answer, "2024-01-02T03:04:05.9Z".parse().unwrap());
    let about = value_list_bytes(&request, answer);
    assert!(about >= body.len() && about < body.len() + 100 + body.len() / 2, "{about}, not {}", body.len());
    String::from_utf8(body).unwrap()
}

#[test]
fn a_list_of_v1beta1_is_what_prometheus_adapter_writes() {
    let pods = answer(info("pods", "", "Pod", Scope::Namespaced), Some("ns"), &[("p", 500)]);
    assert_eq!(
        encoded(CustomVersion::V1Beta1, "namespaces/ns/pods/p/m", "", &pods),
        concat!(
            r#"{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta1","metadata":{},"items":["#,
            r#"{"describedObject":{"kind":"Pod","namespace":"ns","name":"p","apiVersion":"/v1"},"metricName":"m","#,
            r#""timestamp":"2024-01-02T03:04:05Z","value":"500m","selector":null}]}"#,
            "\n"
        )
    );
}

#[test]
fn a_list_of_v1beta2_has_the_metric_and_its_selector_in_one_field() {
    let info = info("deployments", "apps", "Deployment", Scope::Namespaced);
    let deployments = answer(info, Some("ns"), &[("a", 1_000_000), ("b", -1)]);
    let selector = "a=b,c in (e,d),f!=g,h,!i,j notin (k)";
    let selected = concat!(
        r#"{"matchLabels":{"a":"b"},"matchExpressions":[{"key":"c","operator":"In","values":["d","e"]},"#,
        r#"{"key":"f","operator":"NotIn","values":["g"]},{"key":"h","operator":"Exists"},"#,
        r#"{"key":"i","operator":"DoesNotExist"},{"key":"j","operator":"NotIn","values":["k"]}]}"#,
    );
    let item = |name: &str, value: &str| {
        format!(
            "{{\"describedObject\":{{\"kind\":\"Deployment\",\"namespace\":\"ns\",\"name\":\"{name}\",\
             \"apiVersion\":\"apps/v1\"}},\"metric\":{{\"name\":\"m\",\"selector\":{selected}}},\
             \"timestamp\":\"2024-01-02T03:04:05Z\",\"value\":\"{value}\"}}"
        )
    };
    let list = encoded(CustomVersion::V1Beta2, "namespaces/ns/deployments.apps/*/m", selector, &deployments);
    assert_eq!(
        list,
        format!(
            "{{\"kind\":\"MetricValueList\",\"apiVersion\":\"custom.metrics.k8s.io/v1beta2\",\"metadata\":{{}},\
             \"items\":[{},{}]}}\n",
            item("a", "1k"),
            item("b", "-1m")
        )
    );
}

#[test]
fn a_cluster_scoped_object_has_no_namespace_and_a_list_may_be_empty() {
    let nodes = answer(info("nodes", "", "Node", Scope::Cluster), None, &[("worker", 0)]);
    let list = encoded(CustomVersion::V1Beta1, "nodes/*/m", "", &nodes);
    assert!(list.contains(r#"{"kind":"Node","name":"worker","apiVersion":"/v1"}"#), "{list}");
    let none = answer(info("nodes", "", "Node", Scope::Cluster), None, &[]);
    assert!(encoded(CustomVersion::V1Beta2, "nodes/*/m", "", &none).ends_with("\"items\":[]}\n"));
}

#[test]
fn a_table_has_a_row_for_each_object() {
    let pods = answer(info("pods", "", "Pod", Scope::Namespaced), Some("ns"), &[("p", 500), ("q", 1000)]);
    let request = read("namespaces/ns/pods/*/m", "").unwrap().unwrap();
    let table = table(crate::api::TableVersion::V1, &request, &pods);
    let table: serde_json::Value = serde_json::from_slice(&table).unwrap();
    assert_eq!(table["rows"][0]["cells"], serde_json::json!(["p", "Pod", "m", "500m"]));
    assert_eq!(table["rows"][1]["object"]["metadata"]["namespace"], "ns");
}

#[test]
fn a_resource_list_is_cut_off_at_its_limit_and_then_begins_with_the_groups_own_resource() {
    use std::sync::Arc;

    use crate::api::{Documents, GROUPS};
    use crate::catalog::Catalog;
    use crate::testkit::series::{adapter_file, custom};

    let catalog = Catalog::merge(Arc::new(adapter_file()), custom("m"));
    let names = |metrics_max: usize| {
        let documents = Documents::of(GROUPS, &catalog, metrics_max, None);
        let list = documents.at(&["apis", "custom.metrics.k8s.io", "v1beta2"]).unwrap().body.clone();
        let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
        let names = list["resources"].as_array().unwrap().iter().map(|resource| resource["name"].clone());
        names.map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(4), ["deployments.apps/m", "namespaces/m", "nodes/m", "pods/m"]);
    assert_eq!(names(3), ["custommetrics", "deployments.apps/m", "namespaces/m", "nodes/m"]);
    assert_eq!(names(0), ["custommetrics"]);
}

#[test]
fn all_metrics_of_a_resource_are_listed_with_one_scope() {
    use std::sync::Arc;

    use crate::catalog::Catalog;
    use crate::metric::MetricId;
    use crate::testkit::series::{adapter_file, custom};

    let mut metrics = custom("a");
    let (_, rule) = metrics.first_key_value().unwrap();
    let id = |scope, name: &str| MetricId::Custom {
        resource: GroupResource { resource: "pods".into(), group: "".into() },
        scope,
        name: MetricName::parse(name).unwrap(),
    };
    let rule = Arc::clone(rule);
    metrics.insert(id(Scope::Cluster, "b"), rule);
    let catalog = Catalog::merge(Arc::new(adapter_file()), metrics);
    let pods = (GROUP.metrics)(&catalog).unwrap().filter(|metric| metric.name.starts_with("pods/"));
    let pods: Vec<_> = pods.map(|metric| (metric.name, metric.is_namespaced)).collect();
    assert_eq!(pods, [("pods/a".to_owned(), true), ("pods/b".to_owned(), true)]);
}
