//! Values that cannot work fail with words that say what to do; values that are not known are named.

use crate::case::{UNVERIFIED, chart_path, offline, values_file};

/// Values, and what the error says.
const MISTAKES: &[(&str, &[&str])] = &[
    (
        "tls: {enable: true}\ncertManager: {enabled: true}",
        &["tls.enable and certManager.enabled contradict each other", "tls.enable needs tls.key in PEM"],
    ),
    ("tls: {existingSecret: a}", &["tls.existingSecret needs tls.ca"]),
    ("tls: {generated: {validDays: 30, renewBeforeDays: 30}}", &["renewBeforeDays must be less than"]),
    ("", &["cannot read that Secret here", "set certManager.enabled", "tls.insecureSkipTLSVerify"]),
    ("prometheus: {url: 'http://p:9090'}", &["prometheus.url has a port, and prometheus.port is 9090"]),
    ("prometheus: {url: 'http://p:9090/'}", &["set prometheus.port to 0"]),
    ("prometheus: {url: 'http://p/path'}", &["move the path to prometheus.path"]),
    ("prometheus: {url: 'p'}", &["prometheus.url is \"p\": it must begin with http:// or https://"]),
    ("prometheus: {path: prom}", &["prometheus.path is \"prom\": it must begin with /"]),
    ("prometheus: {port: abc}", &["/prometheus/port"]),
    (
        "prometheus: {url: 'http://p'}\nbackends: {default: {url: 'http://q'}}",
        &["prometheus.url and backends.default both define"],
    ),
    ("backends: {a: {timeout: 1s}}", &["backends.a has no url"]),
    ("backends: {a: null}", &["backends.a is empty"]),
    ("backends: {a: {url: 'http://a', urls: ['http://b']}}", &["backends.a has url and urls"]),
    ("backends: {a: {url: 'http://a', token: b}}", &["additional properties 'token' not allowed"]),
    ("metrics: [{name: a, query: up, backend: b}]", &["metrics[0] names the backend \"b\""]),
    ("metrics: [{name: a, query: up}, {name: A, query: up}]", &["`metrics` has \"A\" twice"]),
    ("metrics: [{name: a}]", &["missing property 'query'"]),
    ("metrics: [{name: a, query: up, onNoDta: error}]", &["additional properties 'onNoDta' not allowed"]),
    ("rules: {custom: [{seriesQuery: a, mericsQuery: a}]}", &["additional properties 'mericsQuery'"]),
    ("rules: {custom: {seriesQuery: a}}", &["/rules/custom"]),
    (
        "rules: {external: [{seriesQuery: a, resources: {overrides: {namespaced: false}}}]}",
        &["/rules/external/0/resources/overrides/namespaced"],
    ),
    ("rules: {custom: [{seriesQuery: a, backend: b}]}", &["rules.custom[0] names the backend \"b\""]),
    ("rules: {resource: {backend: b}}", &["rules.resource names the backend \"b\""]),
    (
        "rules: {existing: a}\nmetrics: [{name: a, query: up}]",
        &["with rules.existing the chart makes no ConfigMap"],
    ),
    ("apiServices: {resource: true}", &["apiServices.resource is true, but without rules.resource"]),
    ("apiServices: {custm: true}", &["additional properties 'custm' not allowed"]),
    (
        "image: {repository: registry.k8s.io/prometheus-adapter/prometheus-adapter}",
        &["the image of prometheus-adapter: remove `image` from your values"],
    ),
    (
        "podDisruptionBudget: {minAvailable: 1, maxUnavailable: 1}",
        &["podDisruptionBudget has minAvailable and maxUnavailable"],
    ),
    ("checkJob: {enabled: true}\nrules: {existing: a}", &["run `metrics-apiserver check` on that file"]),
    ("metricsRelistInterval: 1d", &["/metricsRelistInterval"]),
    ("listenPort: 70000", &["/listenPort"]),
    ("networkPolicy: {enabled: true, extraEgress: [{}]}", &["extraEgress has no effect without"]),
    ("backends: {a: {url: 'http://a', proxyUrl: 'proxy:80'}}", &["/backends/a/proxyUrl"]),
    ("backends: {a: {url: 'http://a', queryParameters: {b: {c: 1}}}}", &["/backends/a/queryParameters/b"]),
    ("serviceMonitor: {serviceAccount: {name: a}}", &["needs serviceMonitor.serviceAccount.namespace"]),
];

#[tokio::test]
async fn values_that_cannot_work_are_refused_with_what_to_do() {
    let (helm, dir) = offline("chart-mistakes").await;
    let chart = chart_path();
    for (values, expected) in MISTAKES {
        let file = values_file(dir.state(), values);
        let mut args = vec!["template", "r", &chart, "--values", &file];
        // Everything but a mistake about the certificate is to fail by itself.
        if !values.is_empty() && !values.contains("tls:") {
            args.extend(["--set", UNVERIFIED]);
        }
        let output = helm.run(&args).await.unwrap();
        assert!(!output.status.success(), "{values}");
        for words in *expected {
            assert!(output.stderr.contains(words), "{values}\nlacks {words:?}\n{}", output.stderr);
        }
    }
}

#[tokio::test]
async fn values_that_are_not_known_are_named_and_do_no_harm() {
    let (helm, dir) = offline("chart-unknown").await;
    let chart = chart_path();
    let file = values_file(
        dir.state(),
        "loglevel: 1\nfoo: {bar: 1}\nprometheus: {uri: a}\nrules: {extern: []}\nimage: {tag: v0.12.0}",
    );
    let args = ["install", "r", &chart, "--dry-run=client", "--values", &file, "--set", UNVERIFIED];
    let notes = helm.run(&args).await.unwrap().success().unwrap();
    let (_, notes) = notes.split_once("NOTES:").unwrap();
    for line in [
        "metrics-apiserver check --cluster --service default/",
        "WARNING: these values are not known and have no effect:",
        "- foo\n",
        "- loglevel (did you mean logLevel?)\n",
        "- prometheus.uri\n",
        "- rules.extern",
        "WARNING: image.tag is v0.12.0, which looks like a version of prometheus-adapter",
        "WARNING: kube-apiserver does not verify the serving certificate",
    ] {
        assert!(notes.contains(line), "lacks {line:?}\n{notes}");
    }
    let args = ["install", "r", &chart, "--dry-run=client", "--set", UNVERIFIED];
    let notes = helm.run(&args).await.unwrap().success().unwrap();
    assert!(!notes.contains("not known"), "{notes}");
}
