//! The certificate chain of a peer, and the subject of its leaf.

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::asn1_rs::{Oid, oid};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::user::UserInfo;

/// The subject attribute with the UID of a Kubernetes user.
const USER_ID: Oid<'_> = oid!(1.3.6.1.4.1.57683.2);
/// The extra attribute by which the audit log identifies the certificate.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// The certificates of a peer, not verified. Made once for each connection, since hashing them costs more than all else
/// that is needed to know the user of a request.
#[derive(Debug)]
pub struct Chain {
    /// The peer's own certificate; the handshake has proved that the peer holds its key.
    pub(super) leaf: CertificateDer<'static>,
    /// The certificates that lead from it to a CA.
    pub(super) intermediates: Vec<CertificateDer<'static>>,
    /// SHA-256 of all certificates: the cache key of the verdict.
    pub(super) fingerprint: [u8; 32],
}

impl Chain {
    /// The chain of a connection, leaf first, as the peer sent it; `None` if it sent no certificate.
    pub fn new(certificates: &[CertificateDer<'static>]) -> Option<Self> {
        let (leaf, intermediates) = certificates.split_first()?;
        let mut hash = Sha256::new();
        for certificate in certificates {
            // With the length, different chains cannot be hashed alike.
            hash.update((certificate.len() as u64).to_be_bytes());
            hash.update(certificate);
        }
        let (leaf, intermediates) = (leaf.clone(), intermediates.to_vec());
        Some(Self { leaf, intermediates, fingerprint: hash.finalize().into() })
    }

    /// The subject of the leaf; `None` if a certificate cannot be parsed.
    pub(super) fn subject(&self) -> Option<Subject> {
        let (_, leaf) = X509Certificate::from_der(&self.leaf).ok()?;
        let mut valid_until = leaf.validity().not_after.timestamp();
        for intermediate in &self.intermediates {
            let (_, intermediate) = X509Certificate::from_der(intermediate).ok()?;
            valid_until = valid_until.min(intermediate.validity().not_after.timestamp());
        }
        let name = leaf.subject();
        // As in Go, the last of several common names wins.
        let common_name = match name.iter_common_name().last() {
            Some(attribute) => attribute.as_str().ok()?.to_owned(),
            None => String::new(),
        };
        let organizations = name
            .iter_organization()
            .filter_map(|attribute| attribute.as_str().ok())
            .map(str::to_owned)
            .collect();
        let mut ids = name.iter_by_oid(&USER_ID);
        let uid = match (ids.next(), ids.next()) {
            (None, _) => String::new(),
            (Some(id), None) => id.as_str().ok()?.to_owned(),
            // Two UIDs identify nobody.
            (Some(_), Some(_)) => return None,
        };
        Some(Subject {
            common_name,
            organizations,
            uid,
            credential_id: format!("X509SHA256={}", hex(&Sha256::digest(&self.leaf))),
            valid_until: u64::try_from(valid_until).unwrap_or(0),
        })
    }
}

/// The subject of a verified chain.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) common_name: String,
    organizations: Vec<String>,
    uid: String,
    credential_id: String,
    /// When the first certificate of the chain expires, in seconds since 1970.
    pub(super) valid_until: u64,
}

impl Subject {
    /// The Kubernetes user; `None` without a common name.
    pub(super) fn user(&self) -> Option<UserInfo> {
        if self.common_name.is_empty() {
            return None;
        }
        Some(UserInfo {
            name: self.common_name.clone(),
            uid: self.uid.clone(),
            groups: self.organizations.clone(),
            extra: [(CREDENTIAL_ID.to_owned(), vec![self.credential_id.clone()])].into(),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
