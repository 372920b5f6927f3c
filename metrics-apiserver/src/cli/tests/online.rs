//! `check --online` against a fake Prometheus and a fake Kubernetes API.

use rcgen::ExtendedKeyUsagePurpose;
use serde_json::{Value, json};

use super::command;
use crate::cli::{Command, Verdict, check_online};
use crate::testkit::http::{ok, reply};
use crate::testkit::{Ca, Play, Proxy, Request, Server, Wanted, discovery, failure, version};

/// Runs the check of a configuration.
async fn checked(config: &str, args: &[&str], cluster: Option<&Server>) -> (Verdict, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    std::fs::write(&path, config).unwrap();
    let file = format!("--config={}", path.display());
    let arguments = [&["check", "--online", &file], args].concat();
    let Ok(Command::Check(args)) = command(&arguments) else { panic!("{args:?}") };
    assert!(args.is_online());
    let client = cluster.map(|cluster| Ok(cluster.client()));
    let mut out = Vec::new();
    let verdict = check_online(&args, client.as_ref(), &mut out, &mut Vec::new()).await.unwrap();
    (verdict, String::from_utf8(out).unwrap())
}

pub(super) fn native(url: &str) -> String {
    format!("backends: {{default: {{url: \"{url}\"}}}}\nmetrics:\n- {{name: queue, query: queue_depth}}\n")
}

/// A Prometheus: one sample for everything, except that it refuses what contains `refused`.
pub(super) fn prometheus(request: &Request) -> Play {
    let line = request.line.as_str();
    if line.contains("buildinfo") {
        let build = json!({"version": "3.5.0", "revision": "a", "goVersion": "go1.24"});
        return Play::json(200, json!({"status": "success", "data": build}));
    }
    if line.contains("api/v1/series") {
        return Play::json(200, json!({"status": "success", "data": [{"__name__": "http_requests_total"}]}));
    }
    if line.contains("refused") {
        let error =
            json!({"status": "error", "errorType": "bad_data", "error": "parse error: no such function"});
        return Play::json(400, error);
    }
    let vector = json!({"resultType": "vector", "result": [{"metric": {}, "value": [0, "2.5"]}]});
    Play::json(200, json!({"status": "success", "data": vector}))
}

#[track_caller]
pub(super) fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part}\nnot in\n{text}");
    }
}

#[tokio::test]
async fn a_backend_that_answers_is_shown_with_its_engine_and_the_first_query_of_each_rule() {
    let server = Server::start(prometheus);
    let (verdict, text) = checked(&native(&server.url), &["--namespace=shop"], None).await;
    assert_eq!(verdict, Verdict::Passed, "{text}");
    let reachable = format!(
        "ok       backends.default.reachable: {}/ answers a query with 200, application/json\n",
        server.url
    );
    has(
        &text,
        &[
            &reachable,
            "ok       backends.default.engine: Prometheus, version 3.5.0\n",
            "ok       metrics.queue.query: answered, 1 series\n",
            "skipped  kubernetes: not in a cluster, and no --kubeconfig\n",
            "5 checks, 0 failed, 1 skipped\n",
        ],
    );
    assert!(server.last().line.contains("namespace%3D%22shop%22"), "{}", server.last().line);
}

#[tokio::test]
async fn a_query_that_the_backend_refuses_fails_with_its_message() {
    let server = Server::start(prometheus);
    let config = native(&server.url).replace("queue_depth", "refused_total");
    let (verdict, text) = checked(&config, &[], None).await;
    assert_eq!(verdict, Verdict::Failed, "{text}");
    has(
        &text,
        &[
            "FAILED   metrics.queue.query: prometheus refused the query",
            "no such function",
            "fix: correct the query",
        ],
    );
}

#[tokio::test]
async fn a_url_of_something_else_is_shown_with_status_content_type_and_first_words() {
    let html = "Content-Type: text/html\r\n";
    for (play, parts) in [
        (
            Play::Raw(ok(b"# HELP go_gc a\n# TYPE go_gc gauge\n", "Content-Type: text/plain\r\n")),
            [
                "with 200, text/plain, beginning \"# HELP go_gc a # TYPE go_gc gauge\"",
                "fix: this is a page of metrics",
            ],
        ),
        (
            Play::Raw(reply("401 Unauthorized", b"no org id", html)),
            ["with 401, text/html, beginning \"no org id\"", "fix: the server needs a tenant"],
        ),
        (
            Play::Raw(reply("400 Bad Request", b"unsupported path requested: \"/api/v1/query\"", html)),
            ["beginning \"unsupported path requested: \\\"/api/v1/query\\\"\"", "use vmselect's"],
        ),
        (
            Play::Raw(reply("401 Unauthorized", b"", html)),
            ["with 401, text/html, beginning \"\"", "check the backend's credentials"],
        ),
        (
            Play::json(200, json!({"status": "success", "data": {"resultType": "streams", "result": []}})),
            ["with 200, application/json, beginning \"{\\\"data\\\"", "this is not the Prometheus HTTP API"],
        ),
        (
            Play::Raw(reply("404 Not Found", b"", html)),
            ["with 404, text/html, beginning \"\"", "check the path of url"],
        ),
        (
            Play::Raw(reply("302 Found", b"", "Location: /login\r\n")),
            ["with 302, no content type", "redirects are not followed"],
        ),
    ] {
        let server = Server::plain(play);
        let (verdict, text) = checked(&native(&server.url), &[], None).await;
        assert_eq!(verdict, Verdict::Failed, "{text}");
        has(&text, &["FAILED   backends.default.reachable: "]);
        has(&text, &parts);
        has(&text, &["skipped  metrics.queue.query: backend default answers no queries\n"]);
    }
}

#[tokio::test]
async fn a_backend_that_refuses_connections_is_shown_with_what_to_check() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (verdict, text) = checked(&native(&format!("http://{address}")), &[], None).await;
    assert_eq!(verdict, Verdict::Failed, "{text}");
    has(&text, &["FAILED   backends.default.reachable: ", "refused", "fix: check the port in url"]);
}

/// A Prometheus with a certificate of this authority that is valid for so many seconds.
fn encrypted(ca: &Ca, lifetime: i64) -> Server {
    let usage = ExtendedKeyUsagePurpose::ServerAuth;
    let issued = ca.issue(&Wanted { cn: "prometheus", usage, lifetime, ..Wanted::default() });
    let vector = json!({"resultType": "vector", "result": []});
    Server::tls(Play::json(200, json!({"status": "success", "data": vector})), issued.server_config(None))
}

#[tokio::test]
async fn the_certificate_of_a_backend_is_shown_whether_it_is_trusted_or_not() {
    let (ca, other) = (Ca::new("the-ca"), Ca::new("another-ca"));
    let files = tempfile::tempdir().unwrap();
    let bundle = |ca: &Ca| {
        let path = files.path().join("ca.crt");
        std::fs::write(&path, ca.pem()).unwrap();
        path
    };
    let shown = "subject CN=prometheus, issuer CN=the-ca, names localhost, ::1, expires 20";
    for (trusted, lifetime, verdict, parts) in [
        (&ca, 3600, Verdict::Passed, ["ok       backends.default.certificate: ", ""]),
        (
            &other,
            3600,
            Verdict::Failed,
            ["FAILED   backends.default.certificate: ", "fix: set caFile to the CA that issued it"],
        ),
        (&ca, -60, Verdict::Failed, ["FAILED   backends.default.certificate: not valid now: ", "fix: renew"]),
    ] {
        let server = encrypted(&ca, lifetime);
        let ca_file = format!("\", caFile: \"{}\"}}}}", bundle(trusted).display());
        let config = native(&server.url).replace("\"}}", &ca_file);
        let (found, text) = checked(&config, &[], None).await;
        assert_eq!(found, verdict, "{text}");
        has(&text, &[shown]);
        has(&text, &parts);
        let asked = server.requests();
        assert!(
            asked.iter().all(|request| request.line.contains("/api/v1/")),
            "nothing but calls: {asked:?}"
        );
    }
}

/// The check of a server with such a certificate and, if given, a CA for its clients; `keys` follow the URL.
async fn checked_encrypted(wanted: &Wanted, clients: Option<&Ca>, keys: &str) -> (Verdict, String) {
    let (ca, files) = (Ca::new("the-ca"), tempfile::tempdir().unwrap());
    let path = files.path().join("ca.crt");
    std::fs::write(&path, ca.pem()).unwrap();
    let play = Play::json(200, json!({"status": "success", "data": {"resultType": "vector", "result": []}}));
    let server = Server::tls(play, ca.issue(wanted).server_config(clients));
    let keys = keys.replace("CA", &format!("\"{}\"", path.display()));
    checked(&native(&server.url).replace("\"}}", &format!("\", {keys}}}}}")), &[], None).await
}

#[tokio::test]
async fn a_certificate_that_is_refused_is_shown_with_what_to_do_about_it() {
    const ID: &str = "spiffe://cluster.local/ns/monitoring/sa/prometheus";
    let wanted = || Wanted { usage: ExtendedKeyUsagePurpose::ServerAuth, ..Wanted::default() };
    let other = format!("caFile: CA, serverName: \"{ID}-2\"");
    for (wanted, keys, part) in [
        (Wanted { uris: &[ID], ..wanted() }, &*other, "fix: set serverName to the certificate's only URI"),
        (Wanted { uris: &[ID], ..wanted() }, "caFile: CA", "fix: use a URL with one of these names"),
        (
            Wanted { usage: ExtendedKeyUsagePurpose::ClientAuth, ..wanted() },
            "caFile: CA",
            "fix: issue a certificate for servers",
        ),
    ] {
        let (verdict, text) = checked_encrypted(&wanted, None, keys).await;
        assert_eq!(verdict, Verdict::Failed, "{text}");
        has(&text, &["FAILED   backends.default.certificate: subject ", part]);
        has(&text, &["FAILED   backends.default.reachable: ", "fix: see the check of the certificate"]);
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_verified_may_have_expired() {
    let usage = ExtendedKeyUsagePurpose::ServerAuth;
    let wanted = Wanted { usage, lifetime: -60, ..Wanted::default() };
    let (verdict, text) = checked_encrypted(&wanted, None, "insecureSkipTLSVerify: true").await;
    assert_eq!(verdict, Verdict::Passed, "{text}");
    has(&text, &["ok       backends.default.certificate: not verified (insecureSkipTLSVerify): subject "]);
}

#[tokio::test]
async fn a_server_that_requires_a_client_certificate_is_told_from_one_that_is_not_reached() {
    let wanted = Wanted { usage: ExtendedKeyUsagePurpose::ServerAuth, ..Wanted::default() };
    let (verdict, text) = checked_encrypted(&wanted, Some(&Ca::new("clients")), "caFile: CA").await;
    assert_eq!(verdict, Verdict::Failed, "{text}");
    has(
        &text,
        &[
            "CertificateRequired",
            "fix: the server refuses the handshake: if it requires a client certificate",
        ],
    );
}

#[tokio::test]
async fn the_certificate_of_a_backend_behind_a_proxy_is_seen_through_the_proxy() {
    let proxy = Proxy::start();
    let wanted = Wanted { usage: ExtendedKeyUsagePurpose::ServerAuth, ..Wanted::default() };
    let keys = format!("caFile: CA, proxyUrl: \"http://{}\"", proxy.address);
    let (verdict, text) = checked_encrypted(&wanted, None, &keys).await;
    assert_eq!(verdict, Verdict::Passed, "{text}");
    has(&text, &["ok       backends.default.certificate: subject "]);
    let heads = proxy.heads();
    assert_eq!(heads.len(), 2, "one for the certificate, one for the calls: {heads:?}");
}

#[tokio::test]
async fn victoria_metrics_fails_without_the_parameter_that_makes_its_values_current() {
    let server = Server::start(|request| {
        if request.line.contains("buildinfo") {
            return Play::json(200, json!({"status": "success", "data": {"version": "2.24.0"}}));
        }
        prometheus(request)
    });
    let (verdict, text) = checked(&native(&server.url), &[], None).await;
    assert_eq!(verdict, Verdict::Failed, "{text}");
    has(&text, &["FAILED   backends.default.engine: VictoriaMetrics\n", "latency_offset: 1s"]);
    let cured = native(&server.url).replace("\"}}", "\", queryParameters: {latency_offset: 1s}}}");
    let (verdict, text) = checked(&cured, &[], None).await;
    assert_eq!(verdict, Verdict::Passed, "{text}");
    has(&text, &["ok       backends.default.engine: VictoriaMetrics\n"]);
}

/// A cluster with our `APIService` for this Service, in which the account lacks the rights on `refused`.
fn cluster(service: &'static str, is_available: bool, refused: &'static str) -> Server {
    Server::start(move |request| {
        let mut object = request.json();
        if request.line.contains("selfsubjectreviews") {
            let user = json!({"username": "system:serviceaccount:metrics-apiserver:metrics-apiserver"});
            object["status"] = json!({"userInfo": user});
            return Play::json(201, object);
        }
        if request.line.contains("selfsubjectaccessreviews") {
            let resource = &object["spec"]["resourceAttributes"]["resource"];
            let is_allowed = resource != refused;
            object["status"] = json!({"allowed": is_allowed});
            return Play::json(201, object);
        }
        if !request.line.contains("v1beta1.external.metrics.k8s.io") {
            return failure(404, "NotFound");
        }
        let status = if is_available { "True" } else { "False" };
        let reason = "FailedDiscoveryCheck";
        let condition = json!({"type": "Available", "status": status, "reason": reason, "message": "x509"});
        let spec = json!({"groupPriorityMinimum": 1, "versionPriority": 1,
            "service": {"namespace": "metrics-apiserver", "name": service}});
        let metadata = json!({"name": "v1beta1.external.metrics.k8s.io"});
        let object = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": metadata,
            "spec": spec, "status": {"conditions": [condition]}});
        Play::json(200, object)
    })
}

const SERVICE: &str = "--service=metrics-apiserver/metrics-apiserver";

#[tokio::test]
async fn the_rights_of_the_account_and_the_api_services_are_checked() {
    let server = Server::start(prometheus);
    let api = cluster("metrics-apiserver", true, "");
    let (verdict, text) = checked(&native(&server.url), &[SERVICE], Some(&api)).await;
    assert_eq!(verdict, Verdict::Passed, "{text}");
    has(
        &text,
        &[
            "ok       kubernetes: reached as system:serviceaccount:metrics-apiserver:metrics-apiserver\n",
            "ok       rbac.tokenreviews: may create\n",
            "ok       rbac.subjectaccessreviews: may create\n",
            "ok       rbac.extension-apiserver-authentication: may get, list, watch\n",
            "ok       rbac.apiservices.v1beta1.external.metrics.k8s.io: may get\n",
            "ok       apiservices.v1beta1.external.metrics.k8s.io: leads to metrics-apiserver/metrics-apiserver, \
             available\n",
        ],
    );
    let api = cluster("metrics-apiserver", false, "tokenreviews");
    let (verdict, text) = checked(&native(&server.url), &[], Some(&api)).await;
    assert_eq!(verdict, Verdict::Failed, "{text}");
    has(
        &text,
        &[
            "FAILED   rbac.tokenreviews: may not create\n         fix: bind ClusterRole system:auth-delegator",
            "FAILED   apiservices.v1beta1.external.metrics.k8s.io: leads to metrics-apiserver/metrics-apiserver, not \
             available: FailedDiscoveryCheck: x509\n",
        ],
    );
    let api = cluster("keda", true, "");
    let (verdict, text) = checked(&native(&server.url), &[SERVICE], Some(&api)).await;
    assert_eq!(verdict, Verdict::Failed, "{text}");
    has(
        &text,
        &[
            "external.metrics.k8s.io leads to metrics-apiserver/keda, not to metrics-apiserver/metrics-apiserver",
        ],
    );
}

#[tokio::test]
async fn a_kubernetes_api_that_does_not_answer_is_one_failed_check() {
    let server = Server::start(prometheus);
    let api = Server::plain(failure(500, "InternalError"));
    let (verdict, text) = checked(&native(&server.url), &[], Some(&api)).await;
    assert_eq!(verdict, Verdict::Failed, "{text}");
    has(
        &text,
        &["FAILED   kubernetes: ", "NetworkPolicies allow egress to kube-apiserver", "5 checks, 1 failed"],
    );
}

#[tokio::test]
async fn the_report_is_available_as_json() {
    let server = Server::start(prometheus);
    let config = native(&server.url).replace("queue_depth", "refused_total");
    let (_, text) = checked(&config, &["-o", "json"], None).await;
    let report: Value = serde_json::from_str(&text).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let query = checks.iter().find(|check| check["name"] == "metrics.queue.query").unwrap();
    assert_eq!(query["outcome"], "failed", "{text}");
    assert!(query["fix"].is_string() && query["detail"].is_string(), "{text}");
    assert_eq!(
        checks[0],
        json!({"category": "configuration", "name": "configuration", "outcome": "ok", "detail": "no problems"})
    );

    let (verdict, text) = checked("metrics: 7\n", &["--output=json"], None).await;
    assert_eq!(verdict, Verdict::Invalid);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["checks"][0]["outcome"], "failed", "{text}");
}

/// One rule for this resource and namespaces.
fn adapter(url: &str, resource: &str) -> String {
    format!(
        "backends: {{default: {{url: \"{url}\"}}}}\nrules:\n- seriesQuery: http_requests_total\n  resources: \
         {{overrides: {{namespace: {{resource: namespace}}, pod: {{resource: {resource}}}}}}}\n  metricsQuery: \
         sum(<<.Series>>{{<<.LabelMatchers>>}}) by (<<.GroupBy>>)\n"
    )
}

#[tokio::test]
async fn the_series_of_adapter_rules_are_asked_for() {
    let server = Server::start(prometheus);
    let (verdict, text) = checked(&adapter(&server.url, "pod"), &[], None).await;
    assert_eq!(verdict, Verdict::Passed, "{text}");
    has(&text, &["ok       rules[0].seriesQuery: answered, series of 1 names\n"]);
}

/// A cluster with pods, namespaces and a custom resource; the account may not watch the latter. No API is registered.
fn cluster_with_queues() -> Server {
    Server::start(|request| {
        let group =
            |name: &str, versions: &[Value]| json!({"metadata": {"name": name}, "versions": versions});
        let mut object = request.json();
        match request.line.split(' ').nth(1).unwrap() {
            "/api" => {
                let core = version("v1", &[("pods", "Pod"), ("namespaces", "Namespace")]);
                discovery(&[group("", &[core])], "core")
            }
            "/apis" => discovery(&[group("example.com", &[version("v1", &[("queues", "Queue")])])], "groups"),
            path if path.contains("selfsubjectaccessreviews") => {
                let resource = &object["spec"]["resourceAttributes"];
                object["status"] =
                    json!({"allowed": resource["resource"] != "queues" || resource["verb"] != "watch"});
                Play::json(201, object)
            }
            path if path.contains("selfsubjectreviews") => {
                object["status"] = json!({"userInfo": {"username": "jane"}});
                Play::json(201, object)
            }
            _ => failure(404, "NotFound"),
        }
    })
}

#[tokio::test]
async fn the_resources_that_rules_describe_are_looked_up_and_need_rights() {
    let (server, api) = (Server::start(prometheus), cluster_with_queues());
    let (verdict, text) = checked(&adapter(&server.url, "queue, group: example.com"), &[], Some(&api)).await;
    assert_eq!(verdict, Verdict::Failed, "{text}");
    has(
        &text,
        &[
            "ok       kubernetes: reached as jane, which is no ServiceAccount: the rights below are those of this user",
            "ok       rbac.namespaces: may get, list, watch\n",
            "FAILED   rbac.queues.example.com: may not watch\n         fix: grant get, list and watch on \
             queues.example.com",
            "FAILED   apiservices.v1beta2.custom.metrics.k8s.io: it does not exist\n         fix: apply",
        ],
    );
    assert!(!text.contains("external.metrics.k8s.io"), "it has no such rules: {text}");
    let (_, text) = checked(&adapter(&server.url, "topic, group: example.com"), &[], Some(&api)).await;
    has(
        &text,
        &["FAILED   rules[0].resources.overrides.pod: the cluster has no resource \"topic\" in group"],
    );
}
