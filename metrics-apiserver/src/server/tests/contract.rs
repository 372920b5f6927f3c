//! What kube-apiserver, the HPA controller and kubectl expect of each path.

use serde_json::json;

use super::app::{App, BASE, Setup};

const TABLE: &str = "Accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json\r\n";
const AGGREGATED: &str = "Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList\r\n";

#[test]
fn a_read_answers_the_value_of_the_namespace_and_the_selector() {
    let app = App::start();
    let response = app.get(&format!("{BASE}/namespaces/shop/queue_depth?labelSelector=app%3Dtill"));
    assert_eq!(response.code, 200, "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/json"));
    let list = response.json();
    assert_eq!(
        (&list["kind"], list["items"].as_array().unwrap().len()),
        (&json!("ExternalMetricValueList"), 1)
    );
    let item = &list["items"][0];
    assert_eq!(item["value"], "2500m");
    assert_eq!(item["metricName"], "Queue_Depth", "as the operator wrote it, whatever case the path has");
    let asked = item["metricLabels"]["asked"].as_str().unwrap();
    assert!(asked.contains("namespace=\"shop\"") && asked.contains("app=\"till\""), "{asked}");
    assert!(response.body.ends_with("}\n") && !response.body.contains("\n "), "one line: {}", response.body);
}

#[test]
fn names_are_percent_decoded_once() {
    let app = App::start();
    assert_eq!(app.get(&format!("{BASE}/namespaces/shop/job:rate")).code, 200);
    assert_eq!(app.get(&format!("{BASE}/namespaces/shop/job%3Arate")).code, 200);
    assert_eq!(app.get(&format!("{BASE}/namespaces/shop/%71ueue_depth")).code, 200);
    let (code, _, message) = app.get(&format!("{BASE}/namespaces/shop/%2A")).failure();
    assert!(code == 404 && message.contains("`*`"), "{message}");
    for bad in ["a%2Fb", "a%252Fb", "%ff", "."] {
        let (code, reason, _) = app.get(&format!("{BASE}/namespaces/shop/{bad}")).failure();
        assert_eq!((code, &*reason), (400, "BadRequest"), "{bad}");
    }
    assert_eq!(app.get(&format!("{BASE}/namespaces/SHOP/queue_depth")).failure().0, 400);
}

#[test]
fn what_cannot_be_answered_is_a_status_that_says_why() {
    let app = App::start();
    let read = |rest: &str| app.get(&format!("{BASE}/namespaces/shop/{rest}")).failure();
    let (code, reason, message) = read("no_such_metric");
    assert_eq!((code, &*reason), (404, "NotFound"));
    assert!(message.contains("`no_such_metric`"), "{message}");
    let (code, reason, message) = read("queue_depth?labelSelector=a%20in%20(");
    assert_eq!((code, &*reason), (400, "BadRequest"));
    assert!(message.starts_with("unable to parse labelSelector: "), "{message}");
    assert_eq!(read("queue_depth?timeout=soon").2, "invalid timeout specified in the request URL");
    let (code, reason, message) = read("down");
    assert_eq!((code, &*reason), (503, "ServiceUnavailable"));
    assert!(!message.contains("secret"), "{message}");
    let (code, _, message) = read("empty");
    assert!(code == 404 && message.contains("no data"), "{message}");
    let (code, reason, message) = read("queue_depth?watch=true");
    assert_eq!((code, &*reason), (405, "MethodNotAllowed"));
    assert_eq!(
        message,
        "watch is not supported on resources of kind \"externalmetrics.external.metrics.k8s.io\""
    );
    for path in
        ["/api", "/apis/other", &format!("{BASE}/queue_depth"), &format!("{BASE}/namespaces/shop/a/b")]
    {
        let (code, reason, message) = app.get(path).failure();
        assert_eq!(
            (code, &*reason, &*message),
            (404, "NotFound", "the server could not find the requested resource")
        );
    }
}

#[test]
fn a_slow_prometheus_ends_the_read_at_the_deadline_or_the_clients_own_timeout() {
    let app = App::with(&Setup { read_deadline: std::time::Duration::from_millis(50), ..Setup::default() });
    let (code, reason, _) = app.get(&format!("{BASE}/namespaces/shop/slow")).failure();
    assert_eq!((code, &*reason), (504, "Timeout"));
    let app = App::start();
    let (code, reason, _) = app.get(&format!("{BASE}/namespaces/shop/slow?timeout=50ms")).failure();
    assert_eq!((code, &*reason), (504, "Timeout"));
}

#[test]
fn the_wanted_form_is_served_and_none_other() {
    let app = App::start();
    let read = format!("{BASE}/namespaces/shop/queue_depth");
    let table = app.get_with(&read, TABLE).json();
    assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    assert_eq!(table["rows"][0]["cells"][1], "2500m");
    assert_eq!(table["rows"][0]["object"]["metadata"]["namespace"], "shop");
    let hpa = app.get_with(&read, "Accept: application/vnd.kubernetes.protobuf, */*\r\n");
    assert_eq!(hpa.json()["kind"], "ExternalMetricValueList");
    let (code, reason, message) = app.get_with(&read, "Accept: text/html\r\n").failure();
    assert_eq!((code, &*reason), (406, "NotAcceptable"));
    assert!(message.contains("application/json"), "{message}");
    for pretty in [app.get(&format!("{read}?pretty=1")), app.get_with(&read, "User-Agent: curl/8\r\n")] {
        assert!(
            pretty.body.contains("\n  \"kind\"") || pretty.body.starts_with("{\n  \"kind\""),
            "{}",
            pretty.body
        );
    }
}

#[test]
fn discovery_and_documents_are_served_from_memory() {
    let app = App::start();
    for (path, key, expected) in [
        ("/apis", "kind", "APIGroupList"),
        ("/apis/", "kind", "APIGroupList"),
        ("/apis/external.metrics.k8s.io", "kind", "APIGroup"),
        (BASE, "kind", "APIResourceList"),
        (&*format!("{BASE}/?timeout=32s"), "kind", "APIResourceList"),
        ("/openapi/v2", "swagger", "2.0"),
        ("/openapi/v3/apis/external.metrics.k8s.io/v1beta1", "openapi", "3.0.0"),
        ("/version", "compiler", "rustc"),
    ] {
        let response = app.get(path);
        assert_eq!((response.code, &response.json()[key]), (200, &json!(expected)), "{path}");
    }
    assert!(app.get("/").json()["paths"].as_array().unwrap().contains(&json!("/apis")));
    let index = app.get("/openapi/v3").json();
    let url = index["paths"]["apis/external.metrics.k8s.io/v1beta1"]["serverRelativeURL"].as_str().unwrap();
    let current = app.get(url);
    assert_eq!(current.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(
        app.get("/openapi/v3/apis/external.metrics.k8s.io/v1beta1?hash=OLD").code,
        200,
        "never a redirect"
    );
}

#[test]
fn aggregated_discovery_has_its_type_and_a_tag_that_saves_the_body() {
    let app = App::start();
    let first = app.get_with("/apis", AGGREGATED);
    assert_eq!(
        first.header("content-type"),
        Some("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
    );
    assert_eq!(first.json()["items"][0]["versions"][0]["resources"][0]["resource"], "externalmetrics");
    assert_eq!((first.header("vary"), first.header("cache-control")), (Some("Accept"), Some("public")));
    let etag = first.header("etag").unwrap();
    let second = app.get_with("/apis", &format!("{AGGREGATED}If-None-Match: {etag}\r\n"));
    assert_eq!((second.code, &*second.body), (304, ""));
    assert_eq!(second.header("etag"), Some(etag));
    let other = app.get_with("/apis", &format!("{AGGREGATED}If-None-Match: \"x\"\r\n"));
    assert_eq!(other.code, 200);
}

#[test]
fn probes_are_open_to_all_and_follow_the_shutdown() {
    let app = App::start();
    for path in ["/healthz", "/livez", "/readyz"] {
        let response = app.request("GET", path, "");
        assert_eq!((response.code, &*response.body), (200, "ok"), "{path}");
        assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    }
    let passed = "[+]ping ok\n[+]log ok\n[+]authentication-config ok\n[+]configuration ok\n[+]shutdown ok\n";
    assert_eq!(app.get("/readyz?verbose").body, format!("{passed}readyz check passed\n"));
    assert_eq!(app.get("/readyz/configuration").body, "ok");
    assert_eq!(app.get("/readyz/nothing").failure().0, 404);
    app.readiness.shutting_down();
    let failed = app.get("/readyz");
    assert_eq!(failed.code, 500);
    assert!(
        failed.body.ends_with("[-]shutdown failed: reason withheld\nreadyz check failed\n"),
        "{}",
        failed.body
    );
    assert_eq!(app.get("/readyz/shutdown").body, "internal server error: process is shutting down\n");
    assert_eq!(app.get("/readyz?exclude=shutdown").code, 200);
    assert_eq!((app.get("/livez").code, app.get("/healthz").code), (200, 200));
    let kept = app.raw("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(kept.header("connection"), Some("close"), "a caller that would stay is told to leave");
}

#[test]
fn every_answer_carries_the_audit_id_and_the_common_headers() {
    let app = App::start();
    for path in ["/version", "/nothing", "/readyz", "/metrics"] {
        let response = app.get_with(path, "Audit-ID: 0c1d\r\n");
        assert_eq!(response.header("audit-id"), Some("0c1d"), "{path}");
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(response.header("cache-control"), Some("no-cache, private"), "{path}");
    }
    let made = app.get("/version");
    assert_eq!(made.header("audit-id").map(str::len), Some(36));
    let too_long = app.get_with("/version", &format!("Audit-ID: {}\r\n", "x".repeat(65)));
    assert_eq!(too_long.header("audit-id").map(str::len), Some(36));
}

#[test]
fn metrics_count_requests_without_names_from_outside() {
    let app = App::start();
    app.get(&format!("{BASE}/namespaces/shop/queue_depth"));
    app.get(&format!("{BASE}/namespaces/shop/invented"));
    app.request("BREW", "/invented", "X-Remote-User: alice\r\n");
    let response = app.get("/metrics");
    assert_eq!(
        response.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let count = |labels: &str| {
        response.body.contains(&format!("metrics_apiserver_http_requests_total{{{labels}}} 1\n"))
    };
    assert!(count("verb=\"GET\",resource=\"externalmetrics\",code=\"200\""), "{}", response.body);
    assert!(count("verb=\"GET\",resource=\"externalmetrics\",code=\"404\""), "{}", response.body);
    assert!(count("verb=\"other\",resource=\"unknown\",code=\"405\""), "{}", response.body);
    assert!(!response.body.contains("invented") && response.body.ends_with("# EOF\n"));
    assert_eq!(app.request("GET", "/metrics", "X-Remote-User: bob\r\n").failure().0, 403);
}
