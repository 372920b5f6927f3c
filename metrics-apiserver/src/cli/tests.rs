//! The command line from the outside.

mod adapter;
mod prometheus;

mod check;
mod cluster;
mod online;

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::telemetry::{Format, Verbosity};
use crate::tls::MinVersion;

const REQUIRED: [&str; 3] = ["--config=c.yaml", "--tls-cert-file=crt", "--tls-private-key-file=key"];

fn command(args: &[&str]) -> Result<Command, UsageError> {
    parse(std::iter::once("metrics-apiserver").chain(args.iter().copied()).map(OsString::from))
}

fn options(args: &[&str]) -> Options {
    match command(&[&REQUIRED, args].concat()) {
        Ok(Command::Serve(options)) => *options,
        other => panic!("{other:?}"),
    }
}

fn refusal(args: &[&str]) -> String {
    command(&[&REQUIRED, args].concat()).unwrap_err().to_string()
}

#[test]
fn omitted_flags_have_their_default() {
    let options = options(&[]);
    assert_eq!(options.server.address().to_string(), "0.0.0.0:6443");
    assert_eq!(options.tls.min_version, MinVersion::Tls12);
    assert_eq!(options.authentication.front_proxy.client_ca_file, None);
    assert_eq!(options.authentication.token_cache_ttl, Duration::from_secs(10));
    assert_eq!(options.authorization.always_allow_paths, ["/healthz", "/readyz", "/livez"]);
    let ttls = (options.authorization.allowed_ttl, options.authorization.denied_ttl);
    assert_eq!(ttls, (Duration::from_secs(10), Duration::from_secs(10)));
    assert_eq!(options.server.read_deadline, Duration::from_secs(1));
    assert_eq!((options.telemetry.verbosity, options.telemetry.format), (Verbosity::Operator, Format::Text));
    assert_eq!(options.telemetry.otlp_endpoint, None);
    assert_eq!(options.server.max_in_flight, 400);
    assert_eq!(options.server.request_timeout, Duration::from_secs(60));
    assert_eq!(options.shutdown_delay, Duration::ZERO);
    assert_eq!(options.kubeconfigs(), [None, None]);
    assert_eq!(options.warnings(), [""; 0]);
}

#[test]
fn every_flag_arrives() {
    let options = options(&[
        "--secure-port",
        "10250",
        "--bind-address=::1",
        "--tls-min-version=VersionTLS13",
        "--client-ca-file=/ca",
        "--requestheader-client-ca-file=/front",
        "--requestheader-allowed-names=a,b",
        "--requestheader-allowed-names=c",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Group",
        "--requestheader-extra-headers-prefix=X-Extra-",
        "--requestheader-uid-headers=X-Remote-Uid",
        "--authentication-kubeconfig=/authn",
        "--kubeconfig=/kube",
        "--authentication-skip-lookup",
        "--authentication-tolerate-lookup-failure=true",
        "--authentication-token-webhook-cache-ttl=0",
        "--authorization-always-allow-paths=/healthz,/metrics/*",
        "--authorization-webhook-cache-authorized-ttl=5m",
        "--authorization-webhook-cache-unauthorized-ttl=30s",
        "--read-deadline=500ms",
        "-v=6",
        "--logging-format=json",
        "--otlp-endpoint=http://collector:4318/",
        "--otlp-sampling-rate-per-million=100",
        "--max-requests-inflight=10",
        "--request-timeout=1m30s",
        "--shutdown-delay-duration=5s",
    ]);
    assert_eq!(options.server.address().to_string(), "[::1]:10250");
    assert_eq!(options.tls.min_version, MinVersion::Tls13);
    let files = [&options.tls.cert_file, &options.tls.key_file].map(Option::as_deref);
    assert_eq!(files, [Some(Path::new("crt")), Some(Path::new("key"))]);
    assert_eq!(options.config, Path::new("c.yaml"));
    assert_eq!(options.kubeconfigs(), ["/authn", "/kube"].map(|path| Some(Path::new(path))));
    assert_eq!(options.authentication.client_ca_file.as_deref(), Some(Path::new("/ca")));
    let proxy = &options.authentication.front_proxy;
    assert_eq!(proxy.client_ca_file.as_deref(), Some(Path::new("/front")));
    assert_eq!(proxy.allowed_names, ["a", "b", "c"]);
    assert_eq!((&*proxy.username_headers[0], &*proxy.group_headers[0]), ("X-Remote-User", "X-Group"));
    assert_eq!((&*proxy.extra_headers_prefix[0], &*proxy.uid_headers[0]), ("X-Extra-", "X-Remote-Uid"));
    assert!(options.authentication.skip_lookup && options.authentication.tolerate_lookup_failure);
    assert_eq!(options.authentication.token_cache_ttl, Duration::ZERO);
    assert_eq!(options.authorization.always_allow_paths, ["/healthz", "/metrics/*"]);
    assert_eq!(options.authorization.allowed_ttl, Duration::from_secs(300));
    assert_eq!(options.authorization.denied_ttl, Duration::from_secs(30));
    assert_eq!(options.server.read_deadline, Duration::from_millis(500));
    assert_eq!((options.telemetry.verbosity, options.telemetry.format), (Verbosity::Queries, Format::Json));
    assert_eq!(options.telemetry.otlp_endpoint.as_deref(), Some("http://collector:4318/"));
    assert_eq!(options.telemetry.otlp_sampling_rate_per_million, 100);
    assert_eq!(options.server.max_in_flight, 10);
    assert_eq!(options.server.request_timeout, Duration::from_secs(90));
    assert_eq!(options.shutdown_delay, Duration::from_secs(5));
}

#[test]
fn flags_are_parsed_as_go_parses_them() {
    assert_eq!(options(&["-v", "10"]).telemetry.verbosity, Verbosity::Everything);
    assert_eq!(options(&["--v=10", "--v=4"]).telemetry.verbosity, Verbosity::Requests, "the last one wins");
    assert_eq!(options(&["--secure_port=1"]).server.secure_port, 1);
    assert!(!options(&["--authentication-skip-lookup=F"]).authentication.skip_lookup);
    let empty = options(&["--requestheader-allowed-names="]);
    assert_eq!(empty.warnings(), [""; 0], "an empty list is as good as none");
}

#[test]
fn positional_arguments_are_ignored_with_a_warning() {
    let options = options(&["/adapter", "--authentication-skip-lookup", "false"]);
    assert!(options.authentication.skip_lookup);
    let warnings = options.warnings();
    assert_eq!(warnings.len(), 2);
    assert!(warnings[0].contains("/adapter"));
}

#[test]
fn flags_without_effect_are_warned_about() {
    let warnings = options(&["--requestheader-allowed-names=a"]).warnings();
    assert!(warnings[0].contains("without --requestheader-client-ca-file"), "{warnings:?}");
    let both = ["--requestheader-allowed-names=a", "--requestheader-client-ca-file=f"];
    assert_eq!(options(&both).warnings(), [""; 0]);
}

#[test]
fn the_collector_of_traces_is_a_base_url_without_secrets() {
    for url in ["http://c:4318", "https://c", "http://[::1]:4318/otlp/", "https://c/api/v1/otlp"] {
        let telemetry = options(&[&format!("--otlp-endpoint={url}")]).telemetry;
        assert_eq!(telemetry.otlp_endpoint.as_deref(), Some(url));
        assert_eq!(telemetry.otlp_sampling_rate_per_million, 0, "by default only callers decide");
    }
    assert_eq!(options(&["--otlp-endpoint=http://c"]).warnings(), [""; 0]);
    assert_eq!(options(&["--otlp-endpoint="]).telemetry.otlp_endpoint, None);
    let without = options(&["--otlp-sampling-rate-per-million=1000000"]);
    assert!(without.warnings()[0].contains("without --otlp-endpoint"));
    for (flag, advice) in [
        ("--otlp-endpoint=collector:4318", "must begin with http:// or https://"),
        ("--otlp-endpoint=grpc://c:4317", "must begin with http:// or https://"),
        ("--otlp-endpoint=http://user:s3cret@c", "the URL must not contain credentials\n"),
        ("--otlp-endpoint=http://c?token=s3cret", "the URL must not have a query or a fragment\n"),
        ("--otlp-endpoint=http://c/v1/traces", "must end before /v1/traces"),
        ("--otlp-endpoint=http://c/v1/traces/", "must end before /v1/traces"),
        ("--otlp-endpoint=http://c:0", "port"),
        ("--otlp-sampling-rate-per-million=1000001", "0..=1000000"),
        ("--otlp-sampling-rate-per-million=-1", "0..=1000000"),
        ("--otlp-sampling-rate-per-million=0.5", "invalid"),
    ] {
        let text = refusal(&[flag]);
        assert!(text.contains(advice) && !text.contains("s3cret"), "{flag}: {text}");
    }
}

#[test]
fn invalid_flags_are_refused_all_at_once_with_advice() {
    let missing = command(&[]).unwrap_err().to_string();
    assert!(missing.contains("--config is required"), "{missing}");
    let many = refusal(&[
        "--read-deadline=0",
        "--max-requests-inflight=0",
        "--authorization-always-allow-paths=/a*b",
    ]);
    for flag in ["--read-deadline", "--max-requests-inflight", "--authorization-always-allow-paths"] {
        assert!(many.contains(flag), "{many}");
    }
    for (flag, advice) in [
        ("--secure-prot=1", "--secure-port"),
        ("--secure-port=70000", "65535"),
        ("--bind-address=host", "--bind-address"),
        ("--tls-min-version=VersionTLS9", "VersionTLS12"),
        ("--tls-cipher-suites=TLS_NO_SUCH", "is not the name of a cipher suite"),
        ("--tls-cipher-suites=TLS_RSA_WITH_AES_128_CBC_SHA", "none of these cipher suites is supported"),
        ("--tls-sni-cert-key=crt", "separated by a comma"),
        ("--request-timeout=10", "a duration needs a unit"),
        ("--authentication-skip-lookup=maybe", "must be true or false"),
        ("-v=x", "invalid digit"),
        ("--metrics-relist-interval=0s", "at least 1s"),
        ("--prometheus-url=prometheus:9090", "--prometheus-url: the URL must begin with http:// or https://"),
        ("--prometheus-verb=PUT", "GET, POST"),
        ("--prometheus-header=a b=c", "is not a valid header name"),
        ("--requestheader-uid-headers=a b", "is not a valid header name"),
        ("--tls-cert-file=", "must be given together"),
        ("--shutdown-delay-duration=11m", "at most 10m"),
        ("--authorization-always-allow-paths=healthz", "must begin with /"),
    ] {
        let text = refusal(&[flag]);
        assert!(text.contains(advice), "{flag}: {text}");
    }
}

#[test]
fn a_front_proxy_needs_a_header_with_the_user_name() {
    let flags = ["--requestheader-client-ca-file=f", "--requestheader-username-headers="];
    assert!(refusal(&flags).contains("--requestheader-username-headers must not be empty"));
}

#[test]
fn a_mistyped_command_is_named_beside_the_missing_flags() {
    let text = command(&["chekc"]).unwrap_err().to_string();
    assert!(text.contains("--config is required"), "{text}");
    assert!(text.contains("\"chekc\" is not a command") && text.contains("check and version"), "{text}");
    assert!(!command(&[]).unwrap_err().to_string().contains("command"));
}

#[test]
fn the_usage_of_check_names_check() {
    let Ok(Command::Print(help)) = command(&["check", "--help"]) else { panic!("no help") };
    let error = command(&["check", "config.yaml"]).unwrap_err().to_string();
    for text in [help, error] {
        assert!(text.contains("Usage: metrics-apiserver check "), "{text}");
    }
}

#[test]
fn help_and_version_are_printed() {
    for args in [&["--help"][..], &["-h"], &["help"], &["version"], &["--version"], &["check", "--help"]] {
        match command(args) {
            Ok(Command::Print(text)) => assert!(text.contains("metrics-apiserver"), "{text}"),
            other => panic!("{args:?}: {other:?}"),
        }
    }
}

fn checked(config: &str, args: &[&str]) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    std::fs::write(&path, config).unwrap();
    let file = format!("--config={}", path.display());
    let Ok(Command::Check(args)) = command(&[&["check", &file], args].concat()) else { panic!("{args:?}") };
    let mut out = Vec::new();
    let is_valid = check(&args, &mut out).unwrap() == Verdict::Passed;
    (is_valid, String::from_utf8(out).unwrap())
}

#[test]
fn check_shows_the_query_of_each_metric() {
    let config = "backends: {default: {url: 'https://p', bearerTokenFile: /nowhere}}\nmetrics:\n\
                  - {name: m, query: 'sum(up{a=\"$app\"})'}\n";
    let (is_valid, text) =
        checked(config, &["--skip-files", "--namespace=shop", "--selector=app=web,tier=db"]);
    assert!(is_valid, "{text}");
    for part in [
        "m (backend default)",
        "namespace=\"shop\"",
        "a=\"web\"",
        "tier=\"db\"",
        "no problems, 1 metric, 1 backend",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (is_valid, text) = checked(config, &["--skip-files"]);
    assert!(is_valid && text.contains("the sample request would be refused"), "{text}");
    let (is_valid, text) = checked(config, &[]);
    assert!(!is_valid && text.contains("cannot read the file /nowhere"), "{text}");
    let adapter = "metrics:\n- {name: m, query: up}\n";
    let (is_valid, text) = checked(adapter, &["--prometheus-url=http://prometheus:9090"]);
    assert!(is_valid && text.contains("m (backend default)"), "{text}");
    let (is_valid, text) = checked("metrics: [5]\n", &[]);
    assert!(!is_valid && text.contains("1 problem"), "{text}");
}

#[test]
fn check_refuses_an_invalid_sample_request() {
    for args in [
        &["check"][..],
        &["check", "--config=c", "--namespace=A B"],
        &["check", "--config=c", "--selector=a in"],
    ] {
        command(args).unwrap_err();
    }
}
