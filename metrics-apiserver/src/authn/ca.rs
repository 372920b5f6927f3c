//! A set of certificate authorities that may vouch for a peer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::chain::{Chain, Subject};

/// How long a verdict stands: a certificate that becomes valid is taken within this time, while one that
/// expires is refused at once.
const VERDICT_LIFETIME: Duration = Duration::from_secs(60);
/// Verdicts remembered per set; a cluster has a few front proxies. A stranger who sends many certificates
/// pushes out verdicts only, each costs one verification.
const MAX_VERDICTS: u64 = 1024;

/// Why a PEM file is no set of authorities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaError {
    /// Broken PEM.
    #[error("the PEM text cannot be read: {0}")]
    Pem(String),
    /// PEM, but no certificate in it that can be an authority.
    #[error("there is no usable CA certificate in it")]
    Empty,
}

/// Why a set does not vouch for a peer.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Refused {
    /// Another CA, expired, not for client authentication, and so on.
    #[error("{0}")]
    NotVouchedFor(#[from] rustls::Error),
    /// The verifier liked it but its subject cannot be read.
    #[error("the certificate's subject cannot be read")]
    Unreadable,
    /// Signed by the front proxy's CA, but not one of its proxies.
    #[error("the common name {0:?} is not among the allowed names")]
    NameNotAllowed(String),
}

type Verdict = Result<Arc<Subject>, Refused>;

/// Authorities, and what they said of the peers seen lately. A changed bundle makes a new set, so no
/// verdict outlives the bundle it came from.
pub(super) struct CaSet {
    certificates: Vec<CertificateDer<'static>>,
    verifier: Arc<dyn ClientCertVerifier>,
    verdicts: Cache<[u8; 32], Verdict>,
}

impl CaSet {
    /// The authorities of a PEM bundle. A certificate that cannot be an authority is left out: that trusts
    /// less, and the others of a merged bundle go on working.
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, CaError> {
        let certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| CaError::Pem(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        let (_, left_out) = roots.add_parsable_certificates(certificates.iter().cloned());
        if left_out > 0 {
            tracing::warn!(left_out, "a CA bundle has certificates that cannot be used");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            // The builder's only complaint without revocation lists: no authority.
            .map_err(|_| CaError::Empty)?;
        Ok(Self {
            certificates,
            verifier,
            verdicts: Cache::builder().max_capacity(MAX_VERDICTS).time_to_live(VERDICT_LIFETIME).build(),
        })
    }

    /// Whether both sets have an authority in common.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.certificates.iter().any(|certificate| other.certificates.contains(certificate))
    }

    /// Whether both sets come from the same bundle.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.certificates == other.certificates
    }

    /// Whom the chain names, if an authority of this set vouches for it now.
    pub(super) async fn verify(&self, chain: &Chain<'_>) -> Verdict {
        let now = UnixTime::now();
        match self.verdicts.get(&chain.fingerprint).await {
            Some(Ok(subject)) if subject.good_until < now.as_secs() => {}
            Some(verdict) => return verdict,
            None => {}
        }
        let verdict = self.verify_now(chain, now);
        self.verdicts.insert(chain.fingerprint, verdict.clone()).await;
        verdict
    }

    fn verify_now(&self, chain: &Chain<'_>, now: UnixTime) -> Verdict {
        self.verifier.verify_client_cert(chain.leaf, chain.intermediates, now)?;
        chain.subject().map(Arc::new).ok_or(Refused::Unreadable)
    }
}

impl fmt::Debug for CaSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaSet").field("certificates", &self.certificates.len()).finish_non_exhaustive()
    }
}
