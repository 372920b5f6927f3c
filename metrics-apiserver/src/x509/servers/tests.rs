//! Certificates that are their own CA file, and when they are refused.

use std::time::Duration;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa};
use rustls::CertificateError;

use super::*;
use crate::testkit::Ca;

/// What `openssl req -x509 -addext subjectAltName=DNS:localhost` makes.
fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
    let names = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().subject_alt_names;
    Ca::with("prometheus", |params| {
        params.subject_alt_names = names;
        change(params);
    })
    .der()
}

fn verify(
    bundle: &[CertificateDer<'static>],
    server: &CertificateDer<'static>,
    name: &str,
    now: UnixTime,
) -> Result<(), Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let verifier = ServerVerifier::new(bundle.to_vec()).unwrap();
    verifier.verify_server_cert(server, &[], &name, &[], now).map(|_| ())
}

/// With the certificate as its own bundle.
fn verify_own(server: &CertificateDer<'static>, name: &str, now: UnixTime) -> Result<(), Error> {
    verify(std::slice::from_ref(server), server, name, now)
}

#[test]
fn a_ca_is_a_server_if_the_bundle_has_exactly_this_certificate() {
    let (ours, twin) = (self_signed(|_| {}), self_signed(|_| {}));
    let now = UnixTime::now();
    let bundle = [Ca::new("another").der(), ours.clone()];
    assert_eq!(verify(&bundle, &ours, "localhost", now), Ok(()));
    assert_eq!(
        verify(&[twin], &ours, "localhost", now).unwrap_err().to_string(),
        "invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))"
    );
    // One that is no CA needs no exception.
    let leaf = self_signed(|params| params.is_ca = IsCa::NoCa);
    assert_eq!(verify_own(&leaf, "localhost", now), Ok(()));
}

#[test]
fn its_name_its_validity_and_its_purpose_are_checked_nevertheless() {
    let now = UnixTime::now();
    let ours = self_signed(|_| {});
    let refused = |certificate: &CertificateDer<'static>, name, now| match verify_own(certificate, name, now)
    {
        Err(Error::InvalidCertificate(error)) => error,
        other => panic!("{other:?}"),
    };
    let error = refused(&ours, "elsewhere.example", now);
    assert!(matches!(error, CertificateError::NotValidForNameContext { .. }), "{error:?}");
    let at = |year: i32| {
        let date = rcgen::date_time_ymd(year, 1, 1);
        UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(date.unix_timestamp()).unwrap()))
    };
    let limited = self_signed(|params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    assert_eq!(refused(&limited, "localhost", at(2019)), CertificateError::NotValidYet);
    assert_eq!(verify_own(&limited, "localhost", at(2020)), Ok(()));
    assert_eq!(refused(&limited, "localhost", now), CertificateError::Expired);
    let client = self_signed(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    assert_eq!(refused(&client, "localhost", now), CertificateError::InvalidPurpose);
    let server = self_signed(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    assert_eq!(verify_own(&server, "localhost", now), Ok(()));
}

#[test]
fn a_bundle_without_certificates_is_an_error() {
    assert!(ServerVerifier::new(Vec::new()).is_err());
    let garbage = CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]);
    assert!(ServerVerifier::new(vec![garbage]).is_err());
}
