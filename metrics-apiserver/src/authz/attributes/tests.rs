//! Paths and methods with their attributes.

use super::*;

const EXTERNAL: &str = "/apis/external.metrics.k8s.io/v1beta1";
const CUSTOM: &str = "/apis/custom.metrics.k8s.io/v1beta2";
const METRICS: &str = "/apis/metrics.k8s.io/v1beta1";

/// `verb resource/subresource name@namespace`, with `-` for what is not there.
fn read(method: &str, target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match attributes_of(method, path, query) {
        Attributes::NonResource { verb, path } => format!("{verb} {path}"),
        Attributes::Resource { verb, resource, subresource, name, namespace, .. } => {
            let [subresource, name, namespace] =
                [subresource, name, namespace].map(|part| part.unwrap_or_else(|| "-".to_owned()));
            format!("{verb} {resource}/{subresource} {name}@{namespace}")
        }
    }
}

#[test]
fn a_path_means_what_kube_apiserver_reads_in_it() {
    let rows = [
        ("GET", format!("{EXTERNAL}/namespaces/ns/m"), "list m/- -@ns"),
        ("HEAD", format!("{EXTERNAL}/namespaces/ns/m"), "list m/- -@ns"),
        ("GET", format!("{EXTERNAL}/namespaces/ns/m/"), "list m/- -@ns"),
        ("GET", format!("{EXTERNAL}/m"), "list m/- -@-"),
        // As it is typed, though names of external metrics are case-insensitive.
        ("GET", format!("{EXTERNAL}/namespaces/ns/Queue_Depth"), "list Queue_Depth/- -@ns"),
        ("GET", format!("{EXTERNAL}/namespaces/ns"), "get namespaces/- ns@ns"),
        ("GET", format!("{EXTERNAL}/namespaces"), "list namespaces/- -@-"),
        ("GET", format!("{EXTERNAL}/namespaces/ns/status"), "get namespaces/status ns@ns"),
        ("GET", format!("{CUSTOM}/namespaces/ns/pods/%2A/m"), "get pods/m *@ns"),
        ("GET", format!("{CUSTOM}/namespaces/ns/pods/*/m"), "get pods/m *@ns"),
        ("GET", format!("{CUSTOM}/namespaces/ns/deployments.apps/web/m"), "get deployments.apps/m web@ns"),
        ("GET", format!("{CUSTOM}/namespaces/ns/metrics/m"), "get metrics/- m@ns"),
        ("GET", format!("{CUSTOM}/nodes/n/m"), "get nodes/m n@-"),
        ("GET", format!("{METRICS}/nodes"), "list nodes/- -@-"),
        ("GET", format!("{METRICS}/pods"), "list pods/- -@-"),
        ("GET", format!("{METRICS}/namespaces/ns/pods"), "list pods/- -@ns"),
        ("GET", format!("{METRICS}/namespaces/ns/pods/p"), "get pods/- p@ns"),
        ("GET", format!("{METRICS}/nodes/n"), "get nodes/- n@-"),
        ("POST", format!("{EXTERNAL}/namespaces/ns/m"), "create m/- -@ns"),
        ("PUT", format!("{EXTERNAL}/namespaces/ns/m/x"), "update m/- x@ns"),
        ("PATCH", format!("{EXTERNAL}/namespaces/ns/m/x"), "patch m/- x@ns"),
        ("DELETE", format!("{EXTERNAL}/namespaces/ns/m/x"), "delete m/- x@ns"),
        ("DELETE", format!("{EXTERNAL}/namespaces/ns/m"), "deletecollection m/- -@ns"),
        ("OPTIONS", format!("{EXTERNAL}/namespaces/ns/m"), " m/- -@ns"),
        ("GET", "/apis".to_owned(), "get /apis"),
        ("GET", "/apis/external.metrics.k8s.io".to_owned(), "get /apis/external.metrics.k8s.io"),
        ("GET", EXTERNAL.to_owned(), "get /apis/external.metrics.k8s.io/v1beta1"),
        ("GET", format!("{EXTERNAL}/"), "get /apis/external.metrics.k8s.io/v1beta1/"),
        ("HEAD", "/metrics".to_owned(), "head /metrics"),
        ("GET", "/%6detrics".to_owned(), "get /metrics"),
        ("GET", "/healthz/x?verbose".to_owned(), "get /healthz/x"),
        ("GET", "/".to_owned(), "get /"),
        ("GET", "/api/v1/pods".to_owned(), "get /api/v1/pods"),
    ];
    for (method, target, wanted) in rows {
        assert_eq!(read(method, &target), wanted, "{method} {target}");
    }
}

#[test]
fn group_and_version_are_taken_from_the_path() {
    let read = attributes_of("GET", &format!("{EXTERNAL}/namespaces/ns/m"), "");
    let Attributes::Resource { group, version, .. } = read else {
        panic!("no resource: {read:?}");
    };
    assert_eq!(group, "external.metrics.k8s.io");
    assert_eq!(version, "v1beta1");
}

#[test]
fn a_query_can_make_a_watch_or_narrow_a_list_to_one_name() {
    let rows = [
        ("watch=true", "watch m/- -@ns"),
        ("watch=1", "watch m/- -@ns"),
        ("watch", "watch m/- -@ns"),
        ("watch=false", "list m/- -@ns"),
        ("watch=0", "list m/- -@ns"),
        ("limit=1", "list m/- -@ns"),
        ("fieldSelector=metadata.name%3Dx", "list m/- x@ns"),
        ("fieldSelector=a%3Db,metadata.name%3D%3Dx&watch=true", "watch m/- x@ns"),
        ("fieldSelector=metadata.name%21%3Dx", "list m/- -@ns"),
        ("fieldSelector=metadata.name%3Dx%2Fy", "list m/- -@ns"),
        ("fieldSelector=metadata.name%3D..", "list m/- -@ns"),
    ];
    for (query, wanted) in rows {
        let target = format!("{EXTERNAL}/namespaces/ns/m?{query}");
        assert_eq!(read("GET", &target), wanted, "{query}");
    }
    let named = format!("{METRICS}/namespaces/ns/pods/p?watch=true");
    assert_eq!(read("GET", &named), "get pods/- p@ns");
}

#[test]
fn an_encoded_slash_cannot_move_a_request_into_another_namespace() {
    let target = format!("{EXTERNAL}/namespaces/a%2F..%2Fb/m");
    assert_eq!(read("GET", &target), "list m/- -@a/../b");
}
