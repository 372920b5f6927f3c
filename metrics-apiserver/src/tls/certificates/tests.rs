//! Which certificate is served.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use super::*;

/// Writes a certificate with these domains, and names its files.
fn files(dir: &TempDir, name: &str, domains: &[&str]) -> SniFiles {
    let domains: Vec<_> = domains.iter().map(|&domain| domain.to_owned()).collect();
    let issued = rcgen::generate_simple_self_signed(domains).unwrap();
    let path = |kind: &str| dir.path().join(format!("{name}.{kind}"));
    std::fs::write(path("crt"), issued.cert.pem()).unwrap();
    std::fs::write(path("key"), issued.signing_key.serialize_pem()).unwrap();
    SniFiles { cert_file: path("crt"), key_file: path("key"), domains: Vec::new() }
}

#[test]
fn a_client_gets_the_certificate_for_the_name_that_it_asks_for() {
    let dir = TempDir::new().unwrap();
    let default = files(&dir, "default", &["localhost"]);
    let with_domains = |files: SniFiles, domains: &[&str]| SniFiles {
        domains: domains.iter().map(|&domain| domain.to_owned()).collect(),
        ..files
    };
    let options = Options {
        cert_file: Some(default.cert_file),
        key_file: Some(default.key_file),
        sni: vec![
            files(&dir, "own", &["a.example", "*.b.example", "both.example"]),
            with_domains(files(&dir, "flag", &["unused.example"]), &["*.a.example", "both.example"]),
        ],
        ..Options::default()
    };
    let certificates = Certificates::load(&options).unwrap();
    let served = |name: &str| {
        let served = certificates.for_name(name);
        let at = |entry: &ForDomains| std::ptr::eq(&raw const entry.certificate, served);
        certificates.sni.iter().position(at)
    };
    for (name, expected) in [
        ("A.Example", Some(0)),
        ("x.b.example", Some(0)),
        ("x.y.b.example", None),
        ("x.a.example", Some(1)),
        ("both.example", Some(1)),
        ("unused.example", None),
        ("localhost", None),
    ] {
        assert_eq!(served(name), expected, "{name}");
    }
}

fn in_dir(dir: &Path) -> Options {
    Options { cert_dir: dir.to_owned(), ..Options::default() }
}

#[test]
fn a_self_signed_certificate_is_written_once_and_served_again() {
    let dir = TempDir::new().unwrap();
    let options = in_dir(&dir.path().join("new/certs"));
    let first = Certificates::load(&options).unwrap();
    assert!(first.default.has_name("localhost"));
    let mode = std::fs::metadata(options.cert_dir.join("apiserver.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let second = Certificates::load(&options).unwrap();
    assert_eq!(first.default.current().cert, second.default.current().cert);
}

#[test]
fn a_self_signed_certificate_that_cannot_be_written_is_kept_in_memory() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for dir in [file.join("certs"), "".into()] {
        let certificates = Certificates::load(&in_dir(&dir)).unwrap();
        assert!(certificates.default.has_name("localhost"), "{}", dir.display());
    }
}

#[test]
fn a_file_of_somebody_else_is_not_replaced() {
    let dir = TempDir::new().unwrap();
    let key = dir.path().join("apiserver.key");
    std::fs::write(&key, "mine").unwrap();
    Certificates::load(&in_dir(dir.path())).unwrap();
    assert_eq!(std::fs::read_to_string(&key).unwrap(), "mine");
    assert!(!dir.path().join("apiserver.crt").exists());
}
