//! Command lines of prometheus-adapter.

use std::path::Path;
use std::time::Duration;

use super::{Command, EXIT_USAGE, Options, REQUIRED, command, options, refusal};
use crate::backend::NamespacedText;
use crate::cli::ignored;
use crate::telemetry::Verbosity;
use crate::tls::{MinVersion, SniFiles};

/// What the container of the Helm chart 5.3.0 is started with, by its default values.
const CHART: [&str; 7] = [
    "/adapter",
    "--secure-port=6443",
    "--cert-dir=/tmp/cert",
    "--prometheus-url=http://prometheus.default.svc:9090",
    "--metrics-relist-interval=1m",
    "--v=4",
    "--config=/etc/adapter/config.yaml",
];

/// The same with a serving certificate, as far as it differs.
const CHART_TLS: [&str; 2] =
    ["--tls-cert-file=/var/run/serving-cert/tls.crt", "--tls-private-key-file=/var/run/serving-cert/tls.key"];

/// What the containers of kube-prometheus are started with.
const KUBE_PROMETHEUS: [&str; 6] = [
    "--cert-dir=/var/run/serving-cert",
    "--config=/etc/adapter/config.yaml",
    "--metrics-relist-interval=1m",
    "--prometheus-url=http://prometheus-k8s.monitoring.svc:9090/",
    "--secure-port=6443",
    "--tls-cipher-suites=TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305,\
     TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,\
     TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,\
     TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,\
     TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,\
     TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,TLS_RSA_WITH_AES_128_GCM_SHA256,TLS_RSA_WITH_AES_256_GCM_SHA384,\
     TLS_RSA_WITH_AES_128_CBC_SHA,TLS_RSA_WITH_AES_256_CBC_SHA",
];

/// What `OpenShift` started it with, before it moved to metrics-server.
const OPENSHIFT: [&str; 14] = [
    "--prometheus-auth-config=/etc/prometheus-config/prometheus-config.yaml",
    "--config=/etc/adapter/config.yaml",
    "--logtostderr=true",
    "--metrics-relist-interval=1m",
    "--prometheus-url=https://prometheus-k8s.openshift-monitoring.svc:9091",
    "--secure-port=6443",
    "--client-ca-file=/etc/tls/private/client-ca-file",
    "--requestheader-client-ca-file=/etc/tls/private/requestheader-client-ca-file",
    "--requestheader-allowed-names=kube-apiserver-proxy,system:kube-apiserver-proxy,system:openshift-aggregator",
    "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    "--requestheader-group-headers=X-Remote-Group",
    "--requestheader-username-headers=X-Remote-User",
    "--tls-cert-file=/etc/tls/private/tls.crt",
    "--tls-private-key-file=/etc/tls/private/tls.key",
];

fn served(args: &[&str]) -> Options {
    match command(args) {
        Ok(Command::Serve(options)) => *options,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_arguments_of_the_chart_are_understood() {
    let options = served(&CHART);
    assert_eq!(options.config, Path::new("/etc/adapter/config.yaml"));
    assert_eq!(options.server.secure_port, 6443);
    assert_eq!((options.tls.cert_file.as_deref(), &*options.tls.cert_dir), (None, Path::new("/tmp/cert")));
    assert_eq!(options.adapter.metrics_relist_interval, Duration::from_secs(60));
    assert_eq!(options.adapter.max_age(), Duration::from_secs(60));
    assert_eq!(options.telemetry.verbosity, Verbosity::Requests);
    let backend = options.prometheus.default_backend().unwrap();
    assert!(backend.is_given);
    assert_eq!(backend.options.urls[0].as_str(), "http://prometheus.default.svc:9090");
    assert_eq!(options.warnings().len(), 1, "{:?}", options.warnings());

    let tls = served(&[&CHART[..], &CHART_TLS].concat()).tls;
    assert_eq!(tls.cert_file.as_deref(), Some(Path::new("/var/run/serving-cert/tls.crt")));
}

#[test]
fn the_arguments_of_kube_prometheus_are_understood() {
    let options = served(&KUBE_PROMETHEUS);
    assert_eq!(options.tls.cert_dir, Path::new("/var/run/serving-cert"));
    assert_eq!(options.tls.cipher_suites.len(), 15);
    let backend = options.prometheus.default_backend().unwrap().options;
    assert_eq!(backend.urls[0].as_str(), "http://prometheus-k8s.monitoring.svc:9090");
    let warnings = options.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let skipped = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, ";
    assert!(warnings[0].contains(skipped) && !warnings[0].contains("CHACHA"), "{warnings:?}");
}

#[test]
fn the_arguments_of_openshift_are_understood() {
    let options = served(&OPENSHIFT);
    assert!(options.authentication.client_ca_file.is_some());
    assert_eq!(options.authentication.front_proxy.allowed_names.len(), 3);
    assert_eq!(options.warnings().len(), 1, "{:?}", options.warnings());
    assert!(options.warnings()[0].starts_with("flags without effect: --logtostderr ("));
}

#[test]
fn flags_without_effect_are_named_in_one_line() {
    let options = options(&[
        "--profiling=false",
        "--logtostderr",
        "--audit-log-path",
        "-",
        "--alsologtostderr=true",
        "--stderrthreshold=2",
        "--vmodule=a=1,b=2",
        "--log-flush-frequency",
        "5s",
        "--http2_max_streams_per_connection=100",
        "--permit-port-sharing",
        "--logtostderr",
        "--secure-port=1",
    ]);
    assert_eq!(options.server.secure_port, 1);
    let warnings = options.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for part in [
        "--audit-log-path (there is no audit log",
        "; --profiling (",
        "--permit-port-sharing, --http2-max-streams-per-connection (",
        "--alsologtostderr, --logtostderr, --log-flush-frequency, --stderrthreshold, --vmodule (the log",
    ] {
        assert!(warnings[0].contains(part), "{part}: {warnings:?}");
    }
}

#[test]
fn every_ignored_flag_is_accepted_in_each_form() {
    for flag in ignored::all() {
        let name = flag.name;
        let mut forms = vec![vec![format!("--{name}=1")], vec![format!("--{}=", name.replace('-', "_"))]];
        forms.push(if flag.takes_value {
            vec![format!("--{name}"), "-1".to_owned()]
        } else {
            vec![format!("--{name}")]
        });
        for form in forms {
            let args: Vec<_> = form.iter().map(String::as_str).chain(["--secure-port=1"]).collect();
            let options = options(&args);
            assert_eq!(options.server.secure_port, 1, "{form:?}");
            assert!(options.warnings()[0].contains(&format!("--{name}")), "{form:?}");
        }
    }
}

#[test]
fn a_flag_takes_its_value_as_pflag_does() {
    let found = options(&[
        "--secure-port",
        "7",
        "--prometheus-header",
        "--a=b=c",
        "-v",
        "8",
        "--client-qps=-1",
        "--metrics-max-age",
        "1.5h",
    ]);
    assert_eq!((found.server.secure_port, found.telemetry.verbosity), (7, Verbosity::Everything));
    assert_eq!(found.adapter.client_qps.to_string(), "-1");
    assert_eq!(found.adapter.max_age(), Duration::from_secs(5400));
    let backend = found.prometheus.default_backend().unwrap().options;
    assert_eq!(backend.headers, [("--a".to_owned(), NamespacedText::literal("b=c"))]);

    let after_end = options(&["--", "--secure-port=1", "--profiling"]);
    assert_eq!((after_end.server.secure_port, after_end.warnings().len()), (6443, 2));
}

#[test]
fn an_empty_value_takes_a_flag_back() {
    let found = options(&[
        "--kubeconfig=a",
        "--kubeconfig=",
        "--client-ca-file",
        "",
        "--prometheus-url=",
        "--cert-dir=",
    ]);
    assert_eq!((found.kubeconfig, found.authentication.client_ca_file), (None, None));
    assert_eq!(found.tls.cert_dir, Path::new(""));
    let default = found.prometheus.default_backend().unwrap();
    assert!(!default.is_given);
    assert_eq!(default.options.urls[0].as_str(), "https://localhost");
}

#[test]
fn an_unknown_flag_has_an_exit_code_of_its_own() {
    let error = command(&[&REQUIRED[..], &["--promethius-url=http://h"]].concat()).unwrap_err();
    assert_eq!(error.exit_code, 2);
    assert!(error.to_string().contains("a similar argument exists: '--prometheus-url'"), "{error}");
    let invalid = command(&[&REQUIRED[..], &["--secure-port=x"]].concat()).unwrap_err();
    assert_eq!(invalid.exit_code, EXIT_USAGE);
}

#[test]
fn the_verbosity_has_the_levels_of_klog() {
    for (level, verbosity) in [
        ("-1", Verbosity::Operator),
        ("2", Verbosity::Operator),
        ("3", Verbosity::Requests),
        ("5", Verbosity::Requests),
        ("6", Verbosity::Queries),
        ("7", Verbosity::Queries),
        ("8", Verbosity::Everything),
        ("99", Verbosity::Everything),
    ] {
        assert_eq!(options(&[&format!("--v={level}")]).telemetry.verbosity, verbosity, "{level}");
    }
}

#[test]
fn old_versions_of_tls_are_accepted_as_the_oldest_supported() {
    let old = options(&["--tls-min-version=VersionTLS10"]);
    assert_eq!(old.tls.min_version, MinVersion::Tls10);
    assert!(old.warnings()[0].contains("the minimum is 1.2"));
}

#[test]
fn certificates_for_domains_are_listed() {
    let found =
        options(&["--tls-sni-cert-key=a.crt,a.key", "--tls-sni-cert-key=b.crt,b.key:*.Example.com,b"]);
    let files = |name: &str, domains: &[&str]| SniFiles {
        cert_file: format!("{name}.crt").into(),
        key_file: format!("{name}.key").into(),
        domains: domains.iter().map(|&domain| domain.to_owned()).collect(),
    };
    assert_eq!(found.tls.sni, [files("a", &[]), files("b", &["*.example.com", "b"])]);
    assert!(refusal(&["--tls-sni-cert-key=a.crt"]).contains("separated by a comma"));
}

#[test]
fn a_window_of_discovery_that_misses_series_is_an_error_with_rules() {
    let with = |args: &[&str]| options(args).adapter.error_with_rules();
    assert_eq!(with(&[]), None);
    assert_eq!(with(&["--metrics-max-age=10m"]), None);
    assert!(with(&["--metrics-max-age=9m"]).unwrap().contains("--metrics-relist-interval"));
}
