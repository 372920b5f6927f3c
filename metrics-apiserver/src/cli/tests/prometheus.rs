//! The backend that prometheus-adapter's connection flags define.

use std::path::{Path, PathBuf};

use super::{options, refusal};
use crate::backend::{Auth, FileOrData, Identity, Method, NamespacedText, Options, Secret};

fn backend(args: &[&str]) -> Options {
    options(args).prometheus.default_backend().unwrap().options
}

fn file(path: &str) -> FileOrData {
    FileOrData::File(PathBuf::from(path))
}

fn data(text: &str) -> FileOrData {
    FileOrData::Data(Secret(text.into()))
}

#[test]
fn every_connection_flag_reaches_the_backend() {
    let backend = backend(&[
        "--prometheus-url=https://h:9091/prefix/",
        "--prometheus-verb=POST",
        "--prometheus-header=X-Scope-OrgID=a=b",
        "--prometheus-header=X-Empty",
        "--prometheus-ca-file=/ca.crt",
        "--prometheus-client-tls-cert-file=/tls.crt",
        "--prometheus-client-tls-key-file=/tls.key",
        "--prometheus-token-file=/token",
    ]);
    assert_eq!(backend.urls[0].as_str(), "https://h:9091/prefix");
    assert_eq!(backend.method, Method::Post);
    let headers = [("X-Scope-OrgID", "a=b"), ("X-Empty", "")];
    assert_eq!(
        backend.headers,
        headers.map(|(name, value)| (name.to_owned(), NamespacedText::literal(value)))
    );
    assert_eq!(backend.ca, Some(file("/ca.crt")));
    assert_eq!(backend.identity, Some(Identity { cert: file("/tls.crt"), key: file("/tls.key") }));
    assert_eq!(backend.auth, Auth::Bearer(file("/token")));
    assert!(!backend.insecure_skip_tls_verify);
}

#[test]
fn the_service_account_authenticates_in_the_cluster() {
    let backend = backend(&["--prometheus-auth-incluster"]);
    let dir = Path::new("/var/run/secrets/kubernetes.io/serviceaccount");
    assert_eq!(backend.ca.as_ref().and_then(FileOrData::path), Some(&*dir.join("ca.crt")));
    assert_eq!(backend.auth, Auth::Bearer(FileOrData::File(dir.join("token"))));
}

#[test]
fn credentials_have_the_precedence_of_prometheus_adapter() {
    let in_url = "--prometheus-url=https://u:p%40ss@h";
    let in_header = "--prometheus-header=authorization=Custom s3cret";
    let in_file = "--prometheus-token-file=/token";
    assert_eq!(backend(&["--prometheus-auth-incluster", in_file]).auth, Auth::Bearer(file("/token")));
    let basic = Auth::Basic { username: "u".to_owned(), password: data("p@ss") };
    assert_eq!(backend(&[in_url, in_file]).auth, basic);
    let with_header = backend(&[in_url, in_file, in_header]);
    assert_eq!((&with_header.auth, with_header.headers.len()), (&Auth::None, 1));

    let shown = format!("{:?} {:?}", backend(&[in_url]), options(&[in_url, in_header]));
    for secret in ["p@ss", "p%40ss", "s3cret"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let plain = backend(&["--prometheus-url=http://h", in_header]);
    assert!(plain.exposes_credentials(), "a header may be a credential");
}

#[test]
fn a_ca_file_replaces_the_auth_flags() {
    let flags = ["--prometheus-ca-file=/ca", "--prometheus-auth-incluster", "--prometheus-auth-config=/none"];
    let backend = backend(&flags);
    assert_eq!((backend.ca, backend.auth), (Some(file("/ca")), Auth::None));
    let warnings = options(&flags).warnings();
    assert!(warnings[0].contains("have no effect with --prometheus-ca-file"), "{warnings:?}");
}

#[test]
fn two_sources_of_credentials_are_refused() {
    let text = refusal(&["--prometheus-auth-incluster", "--prometheus-auth-config=/config"]);
    assert!(text.contains("mutually exclusive"), "{text}");
}

#[test]
fn a_client_certificate_alone_is_not_used() {
    for flags in [
        &["--prometheus-client-tls-cert-file=c", "--prometheus-client-tls-key-file=k"][..],
        &["--prometheus-ca-file=ca", "--prometheus-client-tls-cert-file=c"],
    ] {
        assert_eq!(backend(flags).identity, None);
        assert!(options(flags).warnings()[0].contains("only together"), "{flags:?}");
    }
}

#[test]
fn what_cannot_be_sent_is_named() {
    let flags = ["--prometheus-url=https://h/p?tenant=s3cret", "--prometheus-header=Host=h"];
    assert_eq!(backend(&flags).headers, []);
    let warnings = options(&flags).warnings();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("the query of the URL is not sent") && !warnings[0].contains("s3cret"));
    assert!(warnings[1].contains("Host is ignored"));
}

#[test]
fn the_auth_config_is_read_when_the_backend_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    let text = "{current-context: c, contexts: [{name: c, context: {user: u}}],\n\
                users: [{name: u, user: {tokenFile: token}}]}";
    std::fs::write(&path, text).unwrap();
    let flag = format!("--prometheus-auth-config={}", path.display());
    assert_eq!(backend(&[&flag]).auth, Auth::Bearer(FileOrData::File(dir.path().join("token"))));
    let missing = options(&["--prometheus-auth-config=/nonexistent"]).prometheus;
    let error = crate::causes::causes(&missing.default_backend().unwrap_err()).to_string();
    assert!(error.contains("--prometheus-auth-config") && error.contains("/nonexistent"), "{error}");
}
