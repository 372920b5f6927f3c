//! A set of CAs that verifies client certificates.
//!
//! The verifier of rustls accepts any certificate as a trust anchor, and ignores when it is valid. So the certificates
//! of a bundle are checked here, as Go does: they must be allowed to sign certificates, and count only while they are
//! valid. The verifier also refuses a CA that is a client itself, which Go accepts if the bundle has its certificate.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use moka::future::Cache;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use super::chain::{Chain, Subject};
use crate::x509::{Purpose, Unsupported, unsupported_key, verify_trusted};

/// Cache TTL of a verdict: a client certificate that becomes valid is accepted within this time. One that expires is
/// refused at once.
const VERDICT_TTL: Duration = Duration::from_secs(60);
/// Verdicts cached per set; a cluster has a few front proxies. A client that sends many certificates evicts verdicts,
/// and each costs one verification.
const MAX_VERDICTS: u64 = 1024;
/// Unusable certificates of a bundle that a message names; the others are likely unusable for the same reason.
const UNUSABLE_NAMED_MAX: usize = 8;

/// Why a PEM bundle is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaError {
    /// Not PEM.
    #[error("invalid PEM: {0}")]
    Pem(String),
    /// PEM without a certificate.
    #[error("no CA certificate found")]
    Empty,
    /// None of the certificates can be used as a CA.
    #[error("no usable CA certificate found: {0}")]
    Unusable(String),
}

/// Why a certificate cannot be used as a CA. Go refuses the same certificates as roots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Unusable {
    #[error("cannot be parsed")]
    Unreadable,
    /// A leaf certificate; as a trust anchor it would let its owner sign others.
    #[error("is not a CA (basicConstraints)")]
    NotCa,
    #[error("must not sign certificates (keyUsage)")]
    MayNotSign,
    /// It would refuse every certificate that it signs, and nobody would know why.
    #[error("has a key of an unsupported algorithm, {0}")]
    Algorithm(String),
}

/// Why a certificate is not accepted.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum VerifyError {
    /// Signed by an unknown CA, expired, not for client authentication, and so on.
    #[error("{0}")]
    Certificate(#[from] rustls::Error),
    /// All CA certificates are expired or not valid yet.
    #[error("the bundle has no CA certificate that is valid now")]
    NoValidCa,
    /// The certificate is valid but its subject is not.
    #[error("the certificate's subject cannot be parsed")]
    Subject,
    /// Signed by the front proxy's CA, for another client.
    #[error("the common name {0:?} is not among the allowed names")]
    NameNotAllowed(String),
    /// The certificate is valid but names no user.
    #[error("the certificate has no common name")]
    NoCommonName,
}

type Verdict = Result<Arc<Subject>, VerifyError>;

/// The CAs of a bundle. A changed bundle makes a new set, so no verdict outlives its bundle.
pub(super) struct CaSet {
    certificates: Vec<CertificateDer<'static>>,
    authorities: Vec<Authority>,
    /// The certificates that cannot be used, each with the reason.
    unusable: Vec<String>,
    /// Those that can be used, but are themselves signed in a way that cannot be verified.
    unsupported: Unsupported,
    epoch: ArcSwapOption<Epoch>,
}

impl CaSet {
    /// The CAs of a PEM bundle. A certificate that cannot be used is ignored, so that the others of a merged bundle
    /// keep working.
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, CaError> {
        let certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| CaError::Pem(error.to_string()))?;
        let (mut authorities, mut unusable) = (Vec::new(), Vec::new());
        let mut unsupported = Unsupported::default();
        for certificate in &certificates {
            match Authority::parse(certificate, &mut unsupported) {
                Ok(authority) => authorities.push(authority),
                Err(reason) => unusable.push(format!("{} {reason}", name(certificate))),
            }
        }
        if certificates.is_empty() {
            return Err(CaError::Empty);
        }
        if authorities.is_empty() {
            return Err(CaError::Unusable(first_of(&unusable)));
        }
        Ok(Self { certificates, authorities, unusable, unsupported, epoch: ArcSwapOption::empty() })
    }

    /// Warns of certificates that are ignored, and of algorithms that cannot be verified. Separate from parsing,
    /// because bundles are parsed again all the time.
    pub(super) fn warn_unusable(&self) {
        self.unsupported.warn("client certificates");
        if !self.unusable.is_empty() {
            tracing::warn!(
                ignored = self.unusable.len(),
                certificates = first_of(&self.unusable),
                "a CA bundle contains certificates that cannot be used as a CA"
            );
        }
    }

    /// Whether the sets have a CA in common.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let is_theirs = |one: &Authority| other.authorities.iter().any(|their| their.anchor == one.anchor);
        self.authorities.iter().any(is_theirs)
    }

    /// The subject of the chain, if a CA of this set that is valid now signed it.
    pub(super) async fn verify(&self, chain: &Chain) -> Verdict {
        self.verify_at(chain, UnixTime::now()).await
    }

    async fn verify_at(&self, chain: &Chain, now: UnixTime) -> Verdict {
        self.epoch(now.as_secs()).verify(chain, &self.authorities, now).await
    }

    /// The epoch that contains `now`. Concurrent requests may each create it; any of them is right.
    fn epoch(&self, now: u64) -> Arc<Epoch> {
        if let Some(current) = self.epoch.load_full().filter(|epoch| epoch.first <= now && now <= epoch.last)
        {
            return current;
        }
        let created = Arc::new(Epoch::new(&self.authorities, now));
        self.epoch.store(Some(Arc::clone(&created)));
        created
    }
}

/// Sets are equal if their bundles are.
impl PartialEq for CaSet {
    fn eq(&self, other: &Self) -> bool {
        self.certificates == other.certificates
    }
}

impl Eq for CaSet {}

/// A CA, and when it is valid: seconds since 1970, both included.
struct Authority {
    certificate: CertificateDer<'static>,
    anchor: TrustAnchor<'static>,
    not_before: u64,
    not_after: u64,
}

impl Authority {
    fn parse(certificate: &CertificateDer<'static>, unsupported: &mut Unsupported) -> Result<Self, Unusable> {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| Unusable::Unreadable)?;
        match parsed.basic_constraints().map_err(|_| Unusable::Unreadable)? {
            Some(constraints) if constraints.value.ca => {}
            // Certificates before version 3 have no extensions.
            None if parsed.version() != X509Version::V3 => {}
            _ => return Err(Unusable::NotCa),
        }
        let usage = parsed.key_usage().map_err(|_| Unusable::Unreadable)?;
        if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
            return Err(Unusable::MayNotSign);
        }
        if let Some(algorithm) = unsupported_key(&parsed) {
            return Err(Unusable::Algorithm(algorithm));
        }
        unsupported.add_signature(&parsed);
        let mut store = RootCertStore::empty();
        store.add(certificate.clone()).map_err(|_| Unusable::Unreadable)?;
        let anchor = store.roots.pop().ok_or(Unusable::Unreadable)?;
        // Times before 1970 are before any `now`.
        let seconds = |timestamp| u64::try_from(timestamp).unwrap_or(0);
        let validity = parsed.validity();
        let (not_before, not_after) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        let (not_before, not_after) = (seconds(not_before), seconds(not_after));
        Ok(Self { certificate: certificate.clone(), anchor, not_before, not_after })
    }

    fn is_valid(&self, now: u64) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

/// A period in which no CA of a set becomes valid or expires, with the verdicts of that period: no verdict outlives
/// the CA that it depends on.
struct Epoch {
    /// Seconds since 1970, both included.
    first: u64,
    last: u64,
    /// `None`: no CA is valid.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    verdicts: Cache<[u8; 32], Verdict>,
}

impl Epoch {
    /// The epoch that contains `now`.
    fn new(authorities: &[Authority], now: u64) -> Self {
        // The first seconds in which a CA is valid, or no longer valid.
        let changes = || {
            let changes =
                authorities.iter().flat_map(|one| [one.not_before, one.not_after.saturating_add(1)]);
            changes.filter(|change| *change < u64::MAX)
        };
        let roots: RootCertStore =
            authorities.iter().filter(|one| one.is_valid(now)).map(|one| one.anchor.clone()).collect();
        let not_valid = authorities.len() - roots.len();
        if not_valid > 0 {
            tracing::warn!(
                not_valid,
                valid = roots.len(),
                "a CA bundle contains certificates that are expired or not valid yet"
            );
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        Self {
            first: changes().filter(|change| *change <= now).max().unwrap_or(0),
            last: changes().filter(|change| *change > now).min().map_or(u64::MAX, |change| change - 1),
            // Without revocation lists, building fails only if there are no roots.
            verifier: WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().ok(),
            verdicts: Cache::builder().max_capacity(MAX_VERDICTS).time_to_live(VERDICT_TTL).build(),
        }
    }

    /// `authorities`: those of the set. One of them may be the leaf itself.
    async fn verify(&self, chain: &Chain, authorities: &[Authority], now: UnixTime) -> Verdict {
        let verifier = self.verifier.as_ref().ok_or(VerifyError::NoValidCa)?;
        match self.verdicts.get(&chain.fingerprint).await {
            Some(Ok(subject)) if subject.valid_until < now.as_secs() => {}
            Some(verdict) => return verdict,
            None => {}
        }
        let verified = if authorities.iter().any(|one| one.certificate == chain.leaf) {
            verify_trusted(&chain.leaf, Purpose::Client, now)
        } else {
            verifier.verify_client_cert(&chain.leaf, &chain.intermediates, now).map(|_| ())
        };
        let verdict = match verified {
            Ok(()) => chain.subject().map(Arc::new).ok_or(VerifyError::Subject),
            Err(error) => Err(error.into()),
        };
        self.verdicts.insert(chain.fingerprint, verdict.clone()).await;
        verdict
    }
}

fn first_of(unusable: &[String]) -> String {
    unusable[..unusable.len().min(UNUSABLE_NAMED_MAX)].join("; ")
}

/// The name of a certificate in messages.
fn name(certificate: &CertificateDer<'_>) -> String {
    X509Certificate::from_der(certificate)
        .map_or_else(|_| "a certificate".to_owned(), |(_, parsed)| parsed.subject().to_string())
}

impl fmt::Debug for CaSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaSet").field("authorities", &self.authorities.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
