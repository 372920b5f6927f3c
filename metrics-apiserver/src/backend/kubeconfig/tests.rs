//! Kubeconfigs as people write them.

use std::path::PathBuf;

use super::*;
use crate::syntax::BaseUrl;

fn with(cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: main\npreferences: {{}}\n\
         contexts:\n- name: other\n  context: {{cluster: none, user: none}}\n\
         - name: main\n  context: {{cluster: prometheus, user: reader}}\n\
         clusters:\n- name: prometheus\n  cluster: {{server: 'https://elsewhere', {cluster}}}\n\
         users:\n- name: reader\n  user: {{{user}}}\n"
    )
}

/// What a kubeconfig with this text makes of a backend, and the directory of the file.
fn used(text: &str) -> (Result<Options, KubeconfigError>, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    std::fs::write(&path, text).unwrap();
    let mut options = Options::new(vec![BaseUrl::parse("https://prometheus", "/api/v1").unwrap()]);
    let read = options.use_kubeconfig(&path);
    (read.map(|()| options), dir.path().to_owned())
}

fn data(text: &str) -> FileOrData {
    FileOrData::Data(Secret(text.into()))
}

#[test]
fn files_are_relative_to_the_kubeconfig() {
    let text = with(
        "certificate-authority: ca.crt, tls-server-name: prometheus.example",
        "client-certificate: tls.crt, client-key: /tls.key, tokenFile: token, token: old",
    );
    let (options, dir) = used(&text);
    let options = options.unwrap();
    let file = |name: &str| FileOrData::File(dir.join(name));
    assert_eq!(options.urls[0].as_str(), "https://prometheus", "the URL of the kubeconfig does not count");
    assert_eq!(options.ca, Some(file("ca.crt")));
    assert_eq!(options.server_name, ServerName::parse("prometheus.example").ok());
    assert_eq!(options.identity, Some(Identity { cert: file("tls.crt"), key: file("/tls.key") }));
    assert_eq!(options.auth, Auth::Bearer(file("token")), "the file is newer than the token beside it");
}

#[test]
fn data_win_over_files() {
    let text = with(
        "certificate-authority: ca.crt, certificate-authority-data: Q0E=",
        "client-certificate-data: Q0VSVA==, client-key-data: S0VZ, client-key: key, token: s3cret",
    );
    let options = used(&text).0.unwrap();
    assert_eq!(options.ca, Some(data("CA")));
    assert_eq!(options.identity, Some(Identity { cert: data("CERT"), key: data("KEY") }));
    assert_eq!(options.auth, Auth::Bearer(data("s3cret")));
    assert!(!format!("{options:?}").contains("s3cret"));
}

#[test]
fn verification_can_be_off_and_basic_authentication_used() {
    let text = with("insecure-skip-tls-verify: true", "username: u, password: 'p:w'");
    let options = used(&text).0.unwrap();
    assert!(options.skips_verification());
    assert_eq!(options.auth, Auth::Basic { username: "u".to_owned(), password: data("p:w") });
}

#[test]
fn a_proxy_is_used() {
    let options = used(&with("proxy-url: 'socks5://proxy:1080'", "")).0.unwrap();
    assert_eq!(options.proxy, ProxyUrl::parse("socks5://proxy:1080").ok());
}

#[test]
fn what_cannot_be_used_is_named() {
    for (text, expected) in [
        (with("", "exec: {command: aws, args: [a], apiVersion: v1}"), "exec plugins"),
        (with("", "auth-provider: {name: gcp}"), "auth providers"),
        (with("", "as: jane"), "impersonation"),
        (with("proxy-url: 'ftp://user:hunter2@proxy'", ""), "proxy-url is not an http"),
        (
            with("certificate-authority: c, tls-server-name: n, proxy-url: 'https://proxy'", ""),
            "do not go together",
        ),
        (with("", "token: a, username: b"), "remove one of them"),
        (with("", "client-certificate: c"), "both client-certificate and client-key"),
        (with("certificate-authority-data: '%'", ""), "not base64"),
        (with("tls-server-name: n", ""), "needs a certificate-authority"),
        (with("tls-server-name: n/", ""), "tls-server-name is not a valid DNS name"),
        (with("insecure-skip-tls-verify: true, certificate-authority: c", ""), "remove one"),
        (with("", "").replace("user: reader", "user: writer"), "has no user \"writer\""),
        (with("", "").replace("cluster: prometheus,", "cluster: p,"), "has no cluster \"p\""),
        (with("", "").replace("current-context: main", "current-context: m"), "has no context \"m\""),
        ("{}".to_owned(), "has no current-context"),
        ("users: s3cret".to_owned(), "is not a kubeconfig (line 1"),
    ] {
        let error = used(&text).0.unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("s3cret"), "{expected}: {error}");
    }
}
