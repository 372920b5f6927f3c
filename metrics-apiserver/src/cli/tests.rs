//! The command line from the outside.

use std::time::Duration;

use super::*;
use crate::config::{LogFormat, LogLevel, TlsVersion};

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
fn what_is_not_typed_has_its_default() {
    let options = options(&[]);
    assert_eq!(options.serving.address.to_string(), "0.0.0.0:6443");
    assert_eq!(options.serving.min_tls, TlsVersion::Tls12);
    assert_eq!(options.authentication.request_header, None);
    assert_eq!(options.authentication.token_cache_ttl, Duration::from_secs(10));
    assert_eq!(options.authorization.always_allow_paths, ["/healthz", "/readyz", "/livez"]);
    assert_eq!(options.read_deadline, Duration::from_secs(1));
    assert_eq!((options.logging.level, options.logging.format), (LogLevel::Info, LogFormat::Text));
    assert_eq!(options.tracing, None);
    assert_eq!(options.limits.max_requests_in_flight, 400);
    assert_eq!(options.limits.request_timeout, Duration::from_secs(60));
    assert_eq!(options.limits.shutdown_delay, Duration::ZERO);
    assert_eq!(options.notes, [""; 0]);
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
    assert_eq!(options.serving.address.to_string(), "[::1]:10250");
    assert_eq!(options.serving.min_tls, TlsVersion::Tls13);
    let proxy = options.authentication.request_header.unwrap();
    assert_eq!(proxy.allowed_names, ["a", "b", "c"]);
    assert_eq!((&*proxy.username_headers[0], &*proxy.group_headers[0]), ("x-remote-user", "x-group"));
    assert_eq!((&*proxy.extra_headers_prefix[0], &*proxy.uid_headers[0]), ("x-extra-", "x-remote-uid"));
    assert_eq!(options.authentication.kubeconfig.as_deref(), Some("/authn".as_ref()));
    assert_eq!(options.authorization.kubeconfig.as_deref(), Some("/kube".as_ref()));
    assert!(options.authentication.skip_lookup && options.authentication.tolerate_lookup_failure);
    assert_eq!(options.authentication.token_cache_ttl, Duration::ZERO);
    assert_eq!(options.authorization.always_allow_paths, ["/healthz", "/metrics/*"]);
    assert_eq!(options.authorization.authorized_ttl, Duration::from_secs(300));
    assert_eq!(options.read_deadline, Duration::from_millis(500));
    assert_eq!((options.logging.level, options.logging.format), (LogLevel::Debug, LogFormat::Json));
    let tracing = options.tracing.unwrap();
    assert_eq!(tracing.endpoint.as_str(), "http://collector:4318");
    assert_eq!(tracing.sampling_rate_per_million, 100);
    assert_eq!(options.limits.request_timeout, Duration::from_secs(90));
    assert_eq!(options.limits.shutdown_delay, Duration::from_secs(5));
}

#[test]
fn flags_are_read_as_gos_are() {
    assert_eq!(options(&["-v", "10"]).logging.level, LogLevel::Trace);
    assert_eq!(options(&["--v=10", "--v=4"]).logging.level, LogLevel::Debug, "the last one counts");
    assert_eq!(options(&["--secure_port=1"]).serving.address.port(), 1);
    assert!(!options(&["--authentication-skip-lookup=F"]).authentication.skip_lookup);
    let lists = options(&["--requestheader-client-ca-file=f", "--requestheader-allowed-names="]);
    assert!(lists.authentication.request_header.unwrap().allowed_names.is_empty());
}

#[test]
fn positional_arguments_are_ignored_with_a_note() {
    let options = options(&["/adapter", "--authentication-skip-lookup", "false"]);
    assert!(options.authentication.skip_lookup);
    assert_eq!(options.notes.len(), 2);
    assert!(options.notes[0].contains("/adapter"));
}

#[test]
fn traces_go_to_a_url_that_is_whole_and_holds_no_secret() {
    for url in ["http://c:4318", "https://c", "http://[::1]:4318/otlp/", "https://c/api/v1/otlp"] {
        let tracing = options(&[&format!("--otlp-endpoint={url}")]).tracing.unwrap();
        assert_eq!(tracing.endpoint.as_str(), url.trim_end_matches('/'));
        assert_eq!(tracing.sampling_rate_per_million, 0, "by default only callers decide");
    }
    assert_eq!(options(&["--otlp-endpoint=http://c"]).notes, [""; 0]);
    let without = options(&["--otlp-sampling-rate-per-million=1000000"]);
    assert!(without.tracing.is_none() && without.notes[0].contains("without --otlp-endpoint"));
    for (flag, advice) in [
        ("--otlp-endpoint=", "must begin with http:// or https://"),
        ("--otlp-endpoint=collector:4318", "must begin with http:// or https://"),
        ("--otlp-endpoint=grpc://c:4317", "must begin with http:// or https://"),
        ("--otlp-endpoint=http://user:s3cret@c", "the url must not hold credentials\n"),
        ("--otlp-endpoint=http://c?token=s3cret", "the url must not have a query or a fragment\n"),
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
fn wrong_flags_are_refused_all_at_once_with_advice() {
    let missing = command(&[]).unwrap_err().to_string();
    for flag in ["--config", "--tls-cert-file", "--tls-private-key-file"] {
        assert!(missing.contains(&format!("{flag} is required")), "{missing}");
    }
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
        ("--tls-min-version=VersionTLS10", "VersionTLS12"),
        ("--request-timeout=10", "a duration needs a unit"),
        ("--authentication-skip-lookup=maybe", "must be true or false"),
        ("-v=11", "0..=10"),
        ("--requestheader-uid-headers=a b", "is no header name"),
        ("--authorization-always-allow-paths=healthz", "must begin with a /"),
    ] {
        let text = refusal(&[flag]);
        assert!(text.contains(advice), "{flag}: {text}");
    }
}

#[test]
fn a_word_that_is_no_command_is_named_beside_the_flags_that_serving_lacks() {
    let text = command(&["chekc", "--config=c"]).unwrap_err().to_string();
    assert!(text.contains("--tls-cert-file is required"), "{text}");
    assert!(text.contains("\"chekc\" is no command") && text.contains("check and version"), "{text}");
    assert!(!command(&["--config=c"]).unwrap_err().to_string().contains("command"));
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

fn checked(config: &str, args: &[&str]) -> (u8, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    std::fs::write(&path, config).unwrap();
    let file = format!("--config={}", path.display());
    let Ok(Command::Check(args)) = command(&[&["check", &file], args].concat()) else { panic!("{args:?}") };
    let mut out = Vec::new();
    let code = check(&args, &mut out).unwrap();
    (code, String::from_utf8(out).unwrap())
}

#[test]
fn check_shows_the_query_of_each_metric() {
    let config = "backends: {default: {url: 'https://p', bearerTokenFile: /nowhere}}\nmetrics:\n- {name: m, query: 'sum(up{a=\"$app\"})'}\n";
    let (code, text) = checked(config, &["--skip-files", "--namespace=shop", "--selector=app=web,tier=db"]);
    assert_eq!(code, 0, "{text}");
    for part in [
        "m (backend default)",
        "namespace=\"shop\"",
        "a=\"web\"",
        "tier=\"db\"",
        "no problems, 1 metric, 1 backend",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (code, text) = checked(config, &["--skip-files"]);
    assert!(code == 0 && text.contains("this request would be refused"), "{text}");
    let (code, text) = checked(config, &[]);
    assert!(code == EXIT_USAGE && text.contains("can't read the file /nowhere"), "{text}");
    let (code, text) = checked("metrics: [5]\n", &[]);
    assert!(code == EXIT_USAGE && text.contains("1 problem"), "{text}");
}

#[test]
fn check_refuses_a_sample_request_that_is_none() {
    for args in [
        &["check"][..],
        &["check", "--config=c", "--namespace=A B"],
        &["check", "--config=c", "--selector=a in"],
    ] {
        command(args).unwrap_err();
    }
}
