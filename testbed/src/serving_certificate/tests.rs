//! The certificate is verified by rustls itself; the kustomization is read back.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tempfile::TempDir;

use super::*;

const DAY: Duration = Duration::from_secs(DAY_SECS);

fn request(out_dir: &Path) -> Request<'_> {
    Request {
        service: "metrics",
        namespace: "monitoring",
        validity: DAY,
        out_dir,
        overlay: None,
        force: false,
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// Verifies a certificate against a bundle as kube-apiserver does, `after` from now.
fn verify(bundle: &str, certificate: &str, name: &str, after: Duration) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    for ca in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(ca.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let leaf = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) + after);
    verifier.verify_server_cert(&leaf, &[], &name, &[], at).map(|_| ())
}

#[test]
fn the_certificate_is_valid_for_the_service_and_no_other_name() {
    let dir = TempDir::new().unwrap();
    let made = generate(&request(dir.path())).unwrap();
    let (ca, leaf) = (read(&made.ca_file), read(&made.certificate_file));
    assert!(!made.kept);
    verify(&ca, &leaf, "metrics.monitoring.svc", Duration::ZERO).unwrap();
    verify(&ca, &leaf, "metrics.monitoring.svc.cluster.local", Duration::ZERO).unwrap();
    verify(&ca, &leaf, "metrics.other.svc", Duration::ZERO).unwrap_err();
    verify(&ca, &leaf, "metrics.monitoring.svc", DAY * 2).unwrap_err();
}

#[test]
fn the_key_is_its_owners_alone_and_belongs_to_the_certificate() {
    let dir = TempDir::new().unwrap();
    let made = generate(&request(dir.path())).unwrap();
    assert_eq!(fs::metadata(&made.key_file).unwrap().permissions().mode() & 0o777, 0o600);
    let key = rcgen::KeyPair::from_pem(&read(&made.key_file)).unwrap();
    let pem = read(&made.certificate_file);
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
    let certificate = block.parse_x509().unwrap();
    assert_eq!(certificate.public_key().subject_public_key.data.as_ref(), key.public_key_raw());
}

#[test]
fn a_valid_certificate_is_kept_until_it_is_replaced_by_force() {
    let dir = TempDir::new().unwrap();
    let first = generate(&request(dir.path())).unwrap();
    let pem = read(&first.certificate_file);
    let second = generate(&request(dir.path())).unwrap();
    assert_eq!(second, ServingCertificate { kept: true, ..first });
    assert_eq!(read(&second.certificate_file), pem);
    let third = generate(&Request { force: true, ..request(dir.path()) }).unwrap();
    assert!(!third.kept);
    assert_ne!(read(&third.certificate_file), pem);
}

#[test]
fn after_a_rotation_the_bundle_trusts_the_old_and_the_new_certificate_and_then_no_older_one() {
    let dir = TempDir::new().unwrap();
    let forced = Request { force: true, ..request(dir.path()) };
    let leaves = [(); 3].map(|()| read(&generate(&forced).unwrap().certificate_file));
    let bundle = read(&dir.path().join("ca.crt"));
    let trusted = leaves.map(|leaf| verify(&bundle, &leaf, "metrics.monitoring.svc", Duration::ZERO).is_ok());
    assert_eq!(trusted, [false, true, true]);
}

#[test]
fn an_expired_certificate_is_replaced_unasked() {
    let dir = TempDir::new().unwrap();
    let expired =
        issue::issue(&request(dir.path()), Timestamp::now() - jiff::SignedDuration::from_hours(48)).unwrap();
    fs::write(dir.path().join("tls.crt"), &expired.certificate_pem).unwrap();
    fs::write(dir.path().join("tls.key"), &expired.key_pem).unwrap();
    fs::write(dir.path().join("ca.crt"), &expired.ca_pem).unwrap();
    let made = generate(&request(dir.path())).unwrap();
    assert!(!made.kept);
    assert!(!read(&made.ca_file).contains(&expired.ca_pem));
}

#[test]
fn a_certificate_for_another_service_is_not_passed_off_as_this_ones() {
    let dir = TempDir::new().unwrap();
    generate(&request(dir.path())).unwrap();
    let error = generate(&Request { service: "other", ..request(dir.path()) }).unwrap_err();
    assert!(matches!(error, Error::OtherName { ref wanted, .. } if wanted == "other.monitoring.svc"));
}

#[test]
fn a_file_that_is_no_certificate_is_not_overwritten() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("tls.crt"), "something dear").unwrap();
    fs::write(dir.path().join("tls.key"), "something secret").unwrap();
    let error = generate(&request(dir.path())).unwrap_err();
    assert!(matches!(error, Error::NoCertificate { .. }));
    assert_eq!(read(&dir.path().join("tls.crt")), "something dear");
}

#[test]
fn names_and_validities_that_cannot_be_are_refused() {
    let dir = TempDir::new().unwrap();
    for service in ["", "-a", "a-", "A", "a.b", "a b", "a\nb", &"a".repeat(64)] {
        let error = generate(&Request { service, ..request(dir.path()) }).unwrap_err();
        assert!(matches!(error, Error::Name(_)), "{service}");
    }
    for validity in [Duration::ZERO, VALIDITY_MAX + DAY, Duration::MAX] {
        let error = generate(&Request { validity, ..request(dir.path()) }).unwrap_err();
        assert!(matches!(error, Error::Validity(_)), "{validity:?}");
    }
}

#[test]
fn what_kubectl_could_not_install_is_refused_before_a_certificate_is_made() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("out");
    fs::write(dir.path().join("config.yaml"), "").unwrap();
    for directory in [dir.path().to_owned(), dir.path().join("config.yaml"), dir.path().join("nowhere")] {
        let overlay = Overlay { directory: &directory, api_service_port: None };
        let error = generate(&Request { overlay: Some(overlay), ..request(&out) }).unwrap_err();
        assert!(matches!(error, Error::Overlay(_)) && !out.exists(), "{error}");
    }
}

#[test]
fn the_kustomization_leads_to_the_overlay_and_carries_bundle_and_port() {
    let dir = TempDir::new().unwrap();
    let (out, overlay) = (dir.path().join("certs/out"), dir.path().join("over lay"));
    fs::create_dir(&overlay).unwrap();
    fs::write(overlay.join("kustomization.yaml"), "resources: []").unwrap();
    let overlay = Overlay { directory: &overlay, api_service_port: Some(16443) };
    let made = generate(&Request { overlay: Some(overlay), ..request(&out) }).unwrap();
    let text = read(&out.join("kustomization.yaml"));
    let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(value["resources"][0], "../../over lay");
    assert_eq!(value["secretGenerator"][0]["namespace"], "monitoring");
    let patch: serde_json::Value =
        serde_saphyr::from_str(value["patches"][0]["patch"].as_str().unwrap()).unwrap();
    let bundle: k8s_openapi::ByteString = serde_json::from_value(patch[0]["value"].clone()).unwrap();
    assert_eq!(bundle.0, fs::read(made.ca_file).unwrap());
    assert_eq!(patch[1]["path"], "/spec/service/port");
    assert_eq!(patch[1]["value"], 16443);
}
