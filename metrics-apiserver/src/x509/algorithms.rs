//! Which algorithms of certificates can be verified. The crypto provider says so itself: every algorithm that it
//! verifies has two identifiers, that of the key and that of the signature (RFC 5280, 4.1.1.2).

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{AlgorithmIdentifier, CertificateDer, SignatureVerificationAlgorithm};
use x509_parser::asn1_rs::{Any, Oid, Tag};
use x509_parser::objects::{oid_registry, oid2sn};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

/// The shortest RSA key that rustls verifies with, in bits.
const RSA_BITS_MIN: usize = 2048;
/// The longest one.
const RSA_BITS_MAX: usize = 8192;
/// Certificates of a bundle that a message names; the others are likely unsupported for the same reason.
const NAMED_MAX: usize = 8;
/// Names that the registry of `x509-parser` does not have, or only for experts.
const NAMES: [(&str, &str); 8] = [
    ("1.2.840.10045.2.1", "EC"),
    ("1.3.132.0.10", "secp256k1"),
    ("1.3.132.0.33", "secp224r1"),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1"),
    ("1.2.840.10040.4.1", "DSA"),
    ("1.2.840.10040.4.3", "dsa-with-SHA1"),
    ("1.3.101.113", "Ed448"),
    ("1.2.840.10045.4.1", "ecdsa-with-SHA1"),
];

/// The certificates of a CA bundle with which not everything can be verified.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Unsupported {
    /// Those with a key that verifies nothing, each with the algorithm.
    keys: Vec<String>,
    /// Those that are signed in a way that cannot be verified. That says nothing about themselves, for a CA of a bundle
    /// is trusted without its signature; but what such a CA signs is likely signed in the same way.
    signatures: Vec<String>,
}

impl Unsupported {
    /// What cannot be verified with the certificates of a PEM bundle. One that cannot be parsed is not mentioned.
    pub(crate) fn of_pem(bundle: &[u8]) -> Self {
        Self::of(&CertificateDer::pem_slice_iter(bundle).flatten().collect::<Vec<_>>())
    }

    /// What cannot be verified with the certificates of a bundle. One that cannot be parsed is not mentioned.
    pub(crate) fn of(bundle: &[CertificateDer<'_>]) -> Self {
        let mut unsupported = Self::default();
        for certificate in bundle {
            let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { continue };
            if let Some(algorithm) = unsupported_key(&certificate) {
                unsupported.keys.push(format!("{}: {algorithm}", certificate.subject()));
            } else {
                unsupported.add_signature(&certificate);
            }
        }
        unsupported
    }

    /// Takes a certificate's signature into account, but not its key.
    pub(crate) fn add_signature(&mut self, certificate: &X509Certificate<'_>) {
        if let Some(algorithm) = unsupported_signature(certificate) {
            self.signatures.push(format!("{}: {algorithm}", certificate.subject()));
        }
    }

    /// Logs what cannot be verified; `bundle` says what the CAs are for.
    pub(crate) fn warn(&self, bundle: &str) {
        let first = |named: &[String]| named[..named.len().min(NAMED_MAX)].join("; ");
        if !self.keys.is_empty() {
            tracing::warn!(
                bundle,
                certificates = first(&self.keys),
                "a CA bundle has keys of unsupported algorithms; certificates that they sign are refused"
            );
        }
        if !self.signatures.is_empty() {
            tracing::warn!(
                bundle,
                certificates = first(&self.signatures),
                "a CA bundle has certificates with unsupported signature algorithms; certificates that are signed in \
                 the same way are refused"
            );
        }
    }
}

/// The algorithm of a certificate's key, if no signature by that key can be verified.
pub(crate) fn unsupported_key(certificate: &X509Certificate<'_>) -> Option<String> {
    let key = certificate.public_key();
    if let Ok(PublicKey::RSA(rsa)) = key.parsed()
        && !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&rsa.key_size())
    {
        return Some(format!("RSA with {} bits", rsa.key_size()));
    }
    let identifier = content(key.raw).and_then(|(key, _)| content(key));
    if identifier
        .is_some_and(|(identifier, _)| is_known(identifier, |algorithm| algorithm.public_key_alg_id()))
    {
        return None;
    }
    // Those of DSA are numbers, which `as_oid` would take for an object identifier.
    let named = key.algorithm.parameters.as_ref().filter(|parameters| parameters.tag() == Tag::Oid);
    let curve = named.and_then(|curve| curve.as_oid().ok());
    let name = name(&key.algorithm.algorithm);
    Some(match curve {
        Some(curve) => format!("{name} {}", self::name(&curve)),
        None => name,
    })
}

/// The algorithm of a certificate's own signature, if it cannot be verified.
fn unsupported_signature(certificate: &X509Certificate<'_>) -> Option<String> {
    let identifier = content(certificate.as_raw())
        .and_then(|(certificate, _)| content(certificate))
        .and_then(|(_to_be_signed, rest)| content(rest));
    if identifier
        .is_some_and(|(identifier, _)| is_known(identifier, |algorithm| algorithm.signature_alg_id()))
    {
        return None;
    }
    Some(name(&certificate.signature_algorithm.algorithm))
}

/// Whether an algorithm of the provider has this identifier.
fn is_known(
    identifier: &[u8],
    of: impl Fn(&dyn SignatureVerificationAlgorithm) -> AlgorithmIdentifier,
) -> bool {
    let algorithms = default_provider().signature_verification_algorithms;
    algorithms.all.iter().any(|algorithm| of(*algorithm).as_ref() == identifier)
}

/// The content of the first DER element, and what comes after the element.
fn content(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (rest, element) = Any::from_der(der).ok()?;
    Some((element.data, rest))
}

fn name(oid: &Oid<'_>) -> String {
    let dotted = oid.to_id_string();
    let ours = NAMES.iter().find(|(id, _)| *id == dotted).map(|(_, name)| (*name).to_owned());
    ours.or_else(|| oid2sn(oid, oid_registry()).ok().map(ToOwned::to_owned)).unwrap_or(dotted)
}

#[cfg(test)]
mod tests;
