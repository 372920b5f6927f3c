//! `check --cluster` against a fake Prometheus and a fake Kubernetes API.

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use rcgen::ExtendedKeyUsagePurpose;
use serde_json::{Value, json};

use super::command;
use super::online::{has, native, prometheus};
use crate::cli::{Command, Verdict, check_online};
use crate::testkit::{Ca, Play, Request, Server, Wanted, discovery, failure, version};

/// Runs the check with a configuration, if there is one; the report and the progress.
async fn checked(config: Option<&str>, args: &[&str], cluster: Option<&Server>) -> (Verdict, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = config.map(|config| {
        let path = dir.path().join("config.yaml");
        std::fs::write(&path, config).unwrap();
        format!("--config={}", path.display())
    });
    let arguments: Vec<_> =
        ["check", "--cluster"].into_iter().chain(file.as_deref()).chain(args.iter().copied()).collect();
    let Ok(Command::Check(args)) = command(&arguments) else { panic!("{arguments:?}") };
    assert!(args.is_online());
    let client = cluster.map(|cluster| Ok(cluster.client()));
    let (mut out, mut progress) = (Vec::new(), Vec::new());
    let verdict = check_online(&args, client.as_ref(), &mut out, &mut progress).await.unwrap();
    (verdict, String::from_utf8(out).unwrap(), String::from_utf8(progress).unwrap())
}

/// An HPA with one metric, whose last sync had four replicas and this state.
fn hpa(namespace: &str, metric: &Value, active: (&str, &str)) -> Value {
    let condition = json!({"type": "ScalingActive", "status": active.0, "reason": active.1});
    json!({"metadata": {"namespace": namespace, "name": "web"}, "spec": {"maxReplicas": 9, "metrics": [metric],
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
        "status": {"currentReplicas": 4, "desiredReplicas": 4, "conditions": [condition]}})
}

const ACTIVE: (&str, &str) = ("True", "ValidMetricFound");

fn external(name: &str) -> Value {
    let target = json!({"type": "AverageValue", "averageValue": "2"});
    json!({"type": "External", "external": {"metric": {"name": name}, "target": target}})
}

fn pods(name: &str) -> Value {
    let target = json!({"type": "AverageValue", "averageValue": "10"});
    json!({"type": "Pods", "pods": {"metric": {"name": name}, "target": target}})
}

fn cpu() -> Value {
    let target = json!({"type": "Utilization", "averageUtilization": 50});
    json!({"type": "Resource", "resource": {"name": "cpu", "target": target}})
}

fn api_service(group: &str, service: &str, chart: &str, spec: &Value) -> Value {
    let condition = json!({"type": "Available", "status": "True"});
    let mut spec = spec.clone();
    let common = json!({"groupPriorityMinimum": 1, "versionPriority": 1,
        "service": {"namespace": "monitoring", "name": service}});
    spec.as_object_mut().unwrap().extend(common.as_object().unwrap().clone());
    json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "spec": spec,
        "metadata": {"name": format!("v1beta1.{group}"), "labels": {"helm.sh/chart": chart}},
        "status": {"conditions": [condition]}})
}

/// What a user without special rights finds in a cluster with prometheus-adapter and KEDA, except HPAs and reads.
fn common(request: &Request) -> Option<Play> {
    let path = request.line.split(' ').nth(1).unwrap();
    let mut object = request.json();
    let group = |name: &str, versions: &[Value]| json!({"metadata": {"name": name}, "versions": versions});
    Some(match path.split('?').next().unwrap() {
        "/api" => {
            discovery(&[group("", &[version("v1", &[("pods", "Pod"), ("namespaces", "Namespace")])])], "core")
        }
        "/apis" => discovery(&[group("apps", &[version("v1", &[("deployments", "Deployment")])])], "groups"),
        path if path.ends_with("selfsubjectreviews") => {
            object["status"] = json!({"userInfo": {"username": "jane"}});
            Play::json(201, object)
        }
        path if path.ends_with("subjectaccessreviews") => {
            object["status"] = json!({"allowed": true});
            Play::json(201, object)
        }
        path if path.ends_with("v1beta1.custom.metrics.k8s.io") => {
            let skip = json!({"insecureSkipTLSVerify": true});
            let group = "custom.metrics.k8s.io";
            Play::json(200, api_service(group, "metrics", "prometheus-adapter-5.3.0", &skip))
        }
        path if path.ends_with("v1beta1.external.metrics.k8s.io") => {
            let (group, service) = ("external.metrics.k8s.io", "keda-operator-metrics-apiserver");
            Play::json(
                200,
                api_service(group, service, "keda-2.18.0", &json!({"insecureSkipTLSVerify": true})),
            )
        }
        path if path.ends_with("/scale") => Play::json(200, json!({"status": {"selector": "app=web"}})),
        path if path.ends_with("/services/metrics") => {
            let ports = json!([{"name": "https", "port": 443, "targetPort": "https"}]);
            Play::json(200, json!({"metadata": {}, "spec": {"selector": {"app": "adapter"}, "ports": ports}}))
        }
        "/api/v1/namespaces/monitoring/pods" => {
            let containers = json!([{"name": "a", "image": "registry/prometheus-adapter:v0.12.0"}]);
            let pod =
                json!({"metadata": {}, "spec": {"serviceAccountName": "adapter", "containers": containers}});
            Play::json(200, json!({"metadata": {}, "items": [pod]}))
        }
        path if path.ends_with("/endpointslices") => Play::json(200, json!({"metadata": {}, "items": []})),
        "/apis/custom.metrics.k8s.io" | "/apis/external.metrics.k8s.io" => {
            Play::json(200, json!({"versions": [{"groupVersion": "x/v1beta1", "version": "v1beta1"}]}))
        }
        "/apis/custom.metrics.k8s.io/v1beta1" => {
            Play::json(200, json!({"resources": [{"name": "pods/rps"}, {"name": "pods/idle"}]}))
        }
        "/apis/external.metrics.k8s.io/v1beta1" => {
            Play::json(200, json!({"resources": [{"name": "externalmetrics"}]}))
        }
        _ => return None,
    })
}

fn values(values: &[&str]) -> Play {
    let items: Vec<_> = values.iter().map(|value| json!({"value": value})).collect();
    Play::json(200, json!({"items": items}))
}

/// A cluster with these HPAs, the last of them on a page of its own.
fn cluster(hpas: Vec<Value>) -> Server {
    Server::start(move |request| {
        let path = request.line.split(' ').nth(1).unwrap();
        if let Some(play) = common(request) {
            return play;
        }
        if path.contains("/horizontalpodautoscalers") {
            let (last, first) = hpas.split_last().unwrap();
            let is_last = path.contains("continue=more") || first.is_empty();
            let (items, go_on) = if is_last { (&[last.clone()][..], "") } else { (first, "more") };
            return Play::json(200, json!({"metadata": {"continue": go_on}, "items": items}));
        }
        match path.split('?').next().unwrap() {
            path if path.ends_with("/namespaces/shop/queue") => values(&["1500m", "1"]),
            path if path.ends_with("/namespaces/halved/queue") => values(&["5"]),
            path if path.ends_with("/namespaces/shop/pods/*/rps") => values(&["9", "12"]),
            path if path.ends_with("/namespaces/secret/queue") => failure(403, "Forbidden"),
            path if path.ends_with("/s0-prometheus") => values(&["7"]),
            path if path.ends_with("/pods/*/idle") => values(&[]),
            _ => failure(404, "NotFound"),
        }
    })
}

#[tokio::test]
async fn before_a_take_over_each_metric_of_an_hpa_is_read_from_the_old_server_and_by_the_configuration() {
    let server = Server::start(prometheus);
    let hpas = vec![
        hpa("shop", &external("queue"), ACTIVE),
        hpa("halved", &external("queue"), ACTIVE),
        hpa("keda", &external("s0-prometheus"), ACTIVE),
        hpa("shop-cpu", &cpu(), ACTIVE),
        hpa("off", &external("queue"), ("False", "ScalingDisabled")),
        hpa("secret", &external("queue"), ACTIVE),
    ];
    let (verdict, text, _) = checked(Some(&native(&server.url)), &[], Some(&cluster(hpas.clone()))).await;
    assert_eq!(verdict, Verdict::Failed, "{text}");
    has(
        &text,
        &[
            "Configuration\nok       configuration: no problems\nBackends\n",
            "\nHPAs\nok       hpas: 6 HPAs, 5 metrics that are checked, 1 of other APIs\n",
            "ok       hpas.shop.web.metrics[0]: External queue: 2500m, 625m per pod (4 pods), target 2 per pod; the \
             configuration gives 2500m, 625m per pod (4 pods), ratio 1\n",
            "FAILED   hpas.halved.web.metrics[0]: External queue: 5, 1250m per pod (4 pods), target 2 per pod; the \
             configuration gives 2500m, 625m per pod (4 pods), ratio 0.5\n         fix: compare the queries",
            "FAILED   hpas.keda.web.metrics[0]: External s0-prometheus: 7, 1750m per pod (4 pods), target 2 per pod; \
             the configuration gives no value: no rule serves the metric `s0-prometheus`",
            "         see: docs/configuration.md#the-file\n",
            "skipped  hpas.off.web.metrics[0]: External queue: not read, because the workload has no replicas\n",
            "skipped  hpas.secret.web.metrics[0]: External queue: not answered: 403 no; the HPA's last sync: \
             ScalingActive True (ValidMetricFound); the configuration gives 2500m",
        ],
    );
    let (_, text, _) = checked(Some(&native(&server.url)), &["-o=json"], Some(&cluster(hpas))).await;
    let report: Value = serde_json::from_str(&text).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let halved = checks.iter().find(|check| check["name"] == "hpas.halved.web.metrics[0]").unwrap();
    let expected = json!({"namespace": "halved", "hpa": "web", "type": "External", "metric": "queue",
        "target": "2 per pod", "now": "5", "configuration": "2500m", "ratio": 0.5});
    assert_eq!(halved["hpa"], expected);
    assert_eq!((&halved["category"], &halved["outcome"]), (&json!("hpas"), &json!("failed")));
    assert_eq!(halved["page"], "docs/migrating-from-prometheus-adapter.md#what-differs-and-why");
}

#[tokio::test]
async fn without_a_configuration_the_cluster_alone_is_checked() {
    let hpas = vec![
        hpa("shop", &pods("rps"), ACTIVE),
        hpa("shop-idle", &pods("idle"), ACTIVE),
        hpa("shop-missing", &pods("missing"), ACTIVE),
        hpa("shop-cpu", &cpu(), ACTIVE),
    ];
    let api = cluster(hpas);
    let (verdict, text, _) = checked(None, &[], Some(&api)).await;
    assert_eq!(verdict, Verdict::Failed, "{text}");
    has(
        &text,
        &[
            "Kubernetes\nok       kubernetes: reached as jane\nAPIServices\n",
            "ok       apiservices.v1beta1.custom.metrics.k8s.io: leads to monitoring/metrics (prometheus-adapter, \
             chart prometheus-adapter-5.3.0, image registry/prometheus-adapter:v0.12.0), available\n",
            "ok       apiservices.v1beta1.external.metrics.k8s.io: leads to \
             monitoring/keda-operator-metrics-apiserver (KEDA, chart keda-2.18.0), available\n",
            "skipped  apiservices.v1beta1.metrics.k8s.io: it does not exist\n",
            "ok       certificates.v1beta1.custom.metrics.k8s.io.caBundle: none: kube-apiserver does not verify",
            "skipped  certificates.v1beta1.custom.metrics.k8s.io.serving: no address of the Service \
             monitoring/metrics is known: it has no endpoints\n",
            "skipped  rbac: the server's account is not known: name its Service with --service",
            "ok       rbac.hpa-controller.custom.metrics.k8s.io: \
             system:serviceaccount:kube-system:horizontal-pod-autoscaler may get, list\n",
            "ok       hpas.shop.web.metrics[0]: Pods rps: 10500m per pod (2 pods), target 10 per pod\n",
            "FAILED   hpas.shop-idle.web.metrics[0]: Pods idle: not answered: the answer has no values\n",
            "FAILED   hpas.shop-missing.web.metrics[0]: Pods missing: not answered: no; no metric of this name is \
             served\n         fix: add a rule",
        ],
    );
    let read = api.requests().into_iter().find(|request| request.line.contains("pods/*/rps")).unwrap();
    assert!(read.line.contains("/namespaces/shop/pods/*/rps?labelSelector=app%3Dweb "), "{}", read.line);
    assert!(!text.contains("shop-cpu"), "nothing of ours serves metrics.k8s.io: {text}");
}

#[tokio::test]
async fn the_rights_of_the_account_behind_the_service_are_those_that_count() {
    let api = cluster(vec![hpa("shop", &pods("rps"), ACTIVE)]);
    let (verdict, text, _) = checked(None, &["--service=monitoring/metrics"], Some(&api)).await;
    assert_eq!(verdict, Verdict::Passed, "{text}");
    has(&text, &["ok       rbac.tokenreviews: system:serviceaccount:monitoring:adapter may create\n"]);
    let (verdict, text, _) = checked(None, &["--service=other/metrics"], Some(&api)).await;
    assert_eq!(verdict, Verdict::Failed, "{text}");
    has(
        &text,
        &[
            "FAILED   apiservices: none leads to other/metrics\n",
            "skipped  rbac: the server's account is not known: no pods are found behind other/metrics\n",
        ],
    );
}

#[tokio::test]
async fn what_is_forbidden_is_named_and_ends_nothing() {
    let api = Server::start(|request| {
        let line = &request.line;
        let is_common =
            !["apiservices", "/subjectaccess", "horizontalpod"].iter().any(|part| line.contains(part));
        common(request).filter(|_| is_common).unwrap_or_else(|| failure(403, "Forbidden"))
    });
    let (verdict, text, _) = checked(None, &[], Some(&api)).await;
    assert_eq!(verdict, Verdict::Failed, "{text}");
    has(
        &text,
        &[
            "skipped  apiservices.v1beta1.custom.metrics.k8s.io: no\n         fix: run the check as an administrator",
            "skipped  rbac.hpa-controller.external.metrics.k8s.io: no\n",
            "FAILED   hpas: the HPAs cannot be listed: 403 no\n         fix: grant `list` on horizontalpodautoscalers",
        ],
    );
}

#[tokio::test]
async fn a_check_that_waits_is_repeated_until_it_passes() {
    let (ready, api) = (AtomicUsize::new(0), vec![hpa("shop", &pods("rps"), ACTIVE)]);
    let api = Server::start(move |request| {
        if request.line.contains("/pods/*/rps") {
            let is_first = ready.fetch_add(1, Ordering::SeqCst) == 0;
            return if is_first { failure(503, "ServiceUnavailable") } else { values(&["1"]) };
        }
        if request.line.contains("/horizontalpodautoscalers") {
            return Play::json(200, json!({"metadata": {}, "items": api}));
        }
        common(request).unwrap_or_else(|| failure(404, "NotFound"))
    });
    let (verdict, text, progress) = checked(None, &["--wait=30s"], Some(&api)).await;
    assert_eq!(verdict, Verdict::Passed, "{text}");
    assert!(
        progress.ends_with(" checks failed: hpas.shop.web.metrics[0]; checking again in 2s\n"),
        "{progress}"
    );
    assert_eq!(progress.lines().count(), 1, "{progress}");
    assert_eq!(
        text.matches("hpas.shop.web.metrics[0]").count(),
        1,
        "only the last report is written: {text}"
    );
}

#[tokio::test]
async fn a_cluster_that_is_not_reached_is_a_verdict_of_its_own() {
    let api = Server::plain(failure(500, "InternalError"));
    let (verdict, text, _) = checked(None, &[], Some(&api)).await;
    assert_eq!((verdict, verdict.exit_code()), (Verdict::Unreachable, 69), "{text}");
    let (verdict, text, _) = checked(None, &[], None).await;
    assert_eq!(verdict, Verdict::Unreachable, "{text}");
    has(&text, &["FAILED   kubernetes: not in a cluster, and there is no kubeconfig\n"]);
    assert!(command(&["check", "--online"]).is_err(), "only --cluster works without a file");
}

#[tokio::test]
async fn the_certificate_behind_the_service_is_compared_with_the_ca_bundle() {
    let (ca, other) = (Ca::new("the-ca"), Ca::new("another-ca"));
    let usage = ExtendedKeyUsagePurpose::ServerAuth;
    for (bundle, lifetime, hosts, part) in [
        (
            &ca,
            3600,
            &["metrics.monitoring.svc"][..],
            "ok       {}: verified by the caBundle: subject CN=server",
        ),
        (&other, 3600, &["metrics.monitoring.svc"], "FAILED   {}: not verified by the caBundle: subject "),
        (&ca, -60, &["metrics.monitoring.svc"], "FAILED   {}: not valid now: subject "),
        (&ca, 3600, &["other"], "FAILED   {}: not for metrics.monitoring.svc, which kube-apiserver verifies"),
    ] {
        let wanted = Wanted { cn: "server", usage: usage.clone(), lifetime, hosts, ..Wanted::default() };
        let server = Server::tls(values(&[]), ca.issue(&wanted).server_config(None));
        let port: u16 = server.url.rsplit(':').next().unwrap().parse().unwrap();
        let bundle = base64::engine::general_purpose::STANDARD.encode(bundle.pem());
        let api = Server::start(move |request| {
            if request.line.contains("v1beta1.custom.metrics.k8s.io ") {
                let spec = json!({"caBundle": bundle});
                return Play::json(200, api_service("custom.metrics.k8s.io", "metrics", "a", &spec));
            }
            if request.line.contains("/endpointslices") {
                let slice = json!({"metadata": {}, "addressType": "IPv4", "endpoints": [{"addresses": ["127.0.0.1"]}],
                    "ports": [{"name": "https", "port": port}]});
                return Play::json(200, json!({"metadata": {}, "items": [slice]}));
            }
            if request.line.contains("/horizontalpodautoscalers") {
                return Play::json(200, json!({"metadata": {}, "items": []}));
            }
            common(request).unwrap_or_else(|| failure(404, "NotFound"))
        });
        let (_, text, _) = checked(None, &[], Some(&api)).await;
        has(&text, &[&part.replace("{}", "certificates.v1beta1.custom.metrics.k8s.io.serving")]);
        has(&text, &["certificates.v1beta1.custom.metrics.k8s.io.caBundle: 1 CA certificate, subject "]);
        assert!(server.requests().is_empty(), "nothing is sent to a server that is not verified");
    }
}

#[tokio::test]
async fn an_api_service_that_is_not_available_says_what_to_do_about_its_reason() {
    for (reason, message, fix, page) in [
        (
            "ServiceNotFound",
            "service/metrics in \"monitoring\" is not present",
            "install the server that the Service belonged to, or delete this APIService",
            "docs/operations.md#the-apiservice-is-not-available",
        ),
        (
            "FailedDiscoveryCheck",
            "tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "set caBundle to the CA of the serving certificate",
            "docs/operations.md#certificates",
        ),
        (
            "FailedDiscoveryCheck",
            "x509: certificate has expired or is not yet valid: current time is after the end",
            "renew the certificate",
            "docs/operations.md#certificates",
        ),
        (
            "FailedDiscoveryCheck",
            "x509: certificate is valid for metrics, not metrics.monitoring.svc",
            "issue a certificate with this name",
            "docs/operations.md#certificates",
        ),
        (
            "MissingEndpoints",
            "endpoints for service/metrics in \"monitoring\" have no addresses",
            "check that a pod behind the Service is ready",
            "docs/operations.md#the-apiservice-is-not-available",
        ),
    ] {
        let group = "custom.metrics.k8s.io";
        let mut object = api_service(group, "metrics", "a", &json!({"insecureSkipTLSVerify": true}));
        object["status"]["conditions"][0] =
            json!({"type": "Available", "status": "False", "reason": reason, "message": message});
        let api = Server::start(move |request| {
            if request.line.contains("v1beta1.custom.metrics.k8s.io ") {
                return Play::json(200, object.clone());
            }
            common(request).unwrap_or_else(|| failure(404, "NotFound"))
        });
        let (_, text, _) = checked(None, &[], Some(&api)).await;
        has(&text, &[&format!("not available: {reason}: {message}\n         fix: {fix}"), page]);
    }
}

#[tokio::test]
async fn a_metric_that_cannot_be_read_because_of_its_hpa_is_named() {
    for (code, outcome, fix) in [
        (404, "FAILED  ", "correct the HPA, or see why its workload cannot be read"),
        (403, "skipped ", "grant `get` on this scale, or run the check as an administrator"),
    ] {
        let api = Server::start(move |request| {
            if request.line.contains("/horizontalpodautoscalers") {
                let hpas = [hpa("shop", &pods("rps"), ACTIVE)];
                return Play::json(200, json!({"metadata": {}, "items": hpas}));
            }
            if request.line.contains("/scale") {
                return failure(code, "Failure");
            }
            common(request).unwrap_or_else(|| failure(404, "NotFound"))
        });
        let (_, text, _) = checked(None, &[], Some(&api)).await;
        let line = format!(
            "{outcome} hpas.shop.web.metrics[0]: Pods rps: {code} the scale of Deployment web cannot be read: no\n\
             \x20        fix: {fix}\n"
        );
        has(&text, &[&line]);
        let (_, text, _) = checked(None, &["-o=json"], Some(&api)).await;
        let report: Value = serde_json::from_str(&text).unwrap();
        let found = report["checks"].as_array().unwrap().iter().find_map(|check| check.get("hpa")).unwrap();
        assert_eq!((&found["metric"], &found["target"]), (&json!("rps"), &json!("10 per pod")));
    }
}

#[tokio::test]
async fn a_rule_for_a_resource_that_the_cluster_lacks_fails_without_the_name_of_the_service() {
    let server = Server::start(prometheus);
    let file = "rules:\n- seriesQuery: m\n  resources: {overrides: {a: {resource: models}}}\n  \
                metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>})\n";
    let url = format!("--prometheus-url={}", server.url);
    let api = cluster(vec![hpa("shop", &pods("rps"), ACTIVE)]);
    let (_, text, _) = checked(Some(file), &[&url], Some(&api)).await;
    let lacking =
        "FAILED   rules[0].resources.overrides.a: the cluster has no resource \"models\" in group \"\"\n";
    has(&text, &[lacking]);
    let (_, text, _) = checked(Some(file), &[&url, "--service=monitoring/metrics"], Some(&api)).await;
    assert_eq!(text.matches(lacking).count(), 1, "{text}");
}
