//! Signing a serving certificate by a CA made for it, and reading one again. No files here.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;

use super::Request;

/// How long before now a certificate is valid already: clocks of a cluster differ.
const BACKDATED: Duration = Duration::from_secs(5 * 60);

const PEM_END: &str = "-----END CERTIFICATE-----\n";

/// A certificate fresh from its CA.
pub(super) struct Issued {
    pub(super) ca_pem: String,
    pub(super) certificate_pem: String,
    pub(super) key_pem: String,
    pub(super) expires: Timestamp,
}

/// What matters of a certificate that exists.
pub(super) struct Found {
    pub(super) names: Vec<String>,
    pub(super) expires: Timestamp,
}

/// The name that kube-apiserver verifies.
pub(super) fn host_name(request: &Request<'_>) -> String {
    format!("{}.{}.svc", request.service, request.namespace)
}

/// Makes a CA, signs one certificate, forgets the CA's key.
pub(super) fn issue(request: &Request<'_>, now: Timestamp) -> Result<Issued, rcgen::Error> {
    let host = host_name(request);
    let mut ca = params(Vec::new(), &format!("{host} CA"), request.validity, now)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;

    let names = vec![host.clone(), format!("{host}.cluster.local")];
    let mut leaf = params(names, &host, request.validity, now)?;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let expires = Timestamp::from_second(leaf.not_after.unix_timestamp()).unwrap_or(Timestamp::MAX);
    let certificate = leaf.signed_by(&key, &ca)?;
    Ok(Issued { ca_pem: ca.pem(), certificate_pem: certificate.pem(), key_pem: key.serialize_pem(), expires })
}

fn params(
    names: Vec<String>,
    common_name: &str,
    validity: Duration,
    now: Timestamp,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    // RFC 5280 bounds a common name to 64 characters; verifiers read the alternative names only.
    params.distinguished_name.push(DnType::CommonName, common_name.chars().take(64).collect::<String>());
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = epoch + Duration::from_secs(now.as_second().unsigned_abs());
    params.not_before = now - BACKDATED;
    params.not_after = now + validity;
    Ok(params)
}

/// Names and expiry of the first certificate in `pem`; `None` if there is none.
pub(super) fn read(pem: &str) -> Option<Found> {
    let (_, block) = parse_x509_pem(pem.as_bytes()).ok()?;
    let certificate = block.parse_x509().ok()?;
    let expires = Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?;
    Some(Found { names: dns_names(&certificate), expires })
}

fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(dns).collect()
}

/// The first certificate of a bundle as PEM, if it is still valid.
pub(super) fn valid_first(bundle: &str, now: Timestamp) -> Option<String> {
    let first = bundle.split_inclusive(PEM_END).next()?;
    (read(first)?.expires > now).then(|| first.to_owned())
}
