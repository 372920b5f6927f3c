//! A set of certificate authorities that may vouch for a peer.
//!
//! The verifier takes whatever it is given for an authority, for ever. So what it is given is read here first, as Go does:
//! who may sign certificates, and from when to when.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use moka::future::Cache;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use super::chain::{Chain, Subject};

/// How long a verdict stands: a certificate that becomes valid is taken within this time, while one that
/// expires is refused at once.
const VERDICT_LIFETIME: Duration = Duration::from_secs(60);
/// Verdicts remembered per set; a cluster has a few front proxies. A stranger who sends many certificates
/// pushes out verdicts only, each costs one verification.
const MAX_VERDICTS: u64 = 1024;
/// Certificates of a bundle that are told to be left out, each with its reason: the others are as likely of the same kind,
/// and a log line has an end.
const LEFT_OUT_TOLD_MAX: usize = 8;

/// Why a PEM file is no set of authorities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaError {
    /// Broken PEM.
    #[error("the PEM text cannot be read: {0}")]
    Pem(String),
    /// PEM, but no certificate in it.
    #[error("there is no CA certificate in it")]
    Empty,
    /// Certificates, but each is unfit to be an authority.
    #[error("none of its certificates is a usable CA: {0}")]
    Unfit(String),
}

/// Why a certificate of a bundle is no authority. Each is what Go refuses in a root, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Unfit {
    #[error("it cannot be read")]
    Unreadable,
    /// A server's or a user's own certificate, pinned; it would let its owner sign others.
    #[error("it is not marked as a CA (basicConstraints)")]
    NotCa,
    #[error("it may not sign certificates (keyUsage)")]
    MayNotSign,
}

/// Why a set does not vouch for a peer.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Refused {
    /// Another CA, expired, not for client authentication, and so on.
    #[error("{0}")]
    NotVouchedFor(#[from] rustls::Error),
    /// All that the bundle has is expired, or not valid yet.
    #[error("no CA certificate of the bundle is valid now")]
    NoAuthority,
    /// The verifier liked it but its subject cannot be read.
    #[error("the certificate's subject cannot be read")]
    Unreadable,
    /// Signed by the front proxy's CA, but not one of its proxies.
    #[error("the common name {0:?} is not among the allowed names")]
    NameNotAllowed(String),
}

type Verdict = Result<Arc<Subject>, Refused>;

/// The authorities of a bundle. A changed bundle makes a new set, so no verdict outlives the bundle it came from.
pub(super) struct CaSet {
    certificates: Vec<CertificateDer<'static>>,
    authorities: Vec<Authority>,
    /// What was left out, and why.
    left_out: Vec<String>,
    epoch: ArcSwap<Epoch>,
}

impl CaSet {
    /// The authorities of a PEM bundle. A certificate that cannot be an authority is left out: that trusts
    /// less, and the others of a merged bundle go on working.
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, CaError> {
        let certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| CaError::Pem(error.to_string()))?;
        let (mut authorities, mut left_out) = (Vec::new(), Vec::new());
        for certificate in &certificates {
            match Authority::read(certificate) {
                Ok(authority) => authorities.push(authority),
                Err(reason) => left_out.push(format!("{}: {reason}", name(certificate))),
            }
        }
        if authorities.is_empty() {
            let error = if left_out.is_empty() { CaError::Empty } else { CaError::Unfit(told(&left_out)) };
            return Err(error);
        }
        Ok(Self { certificates, authorities, left_out, epoch: ArcSwap::from_pointee(Epoch::never()) })
    }

    /// Says what of the bundle is not used: for the one who takes a new set, as bundles are read again all the time.
    pub(super) fn tell_left_out(&self) {
        if !self.left_out.is_empty() {
            tracing::warn!(
                left_out = self.left_out.len(),
                certificates = told(&self.left_out),
                "a CA bundle has certificates that are no authority"
            );
        }
    }

    /// Whether both sets have an authority in common.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let is_theirs = |one: &Authority| other.authorities.iter().any(|their| their.anchor == one.anchor);
        self.authorities.iter().any(is_theirs)
    }

    /// Whether both sets come from the same bundle.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.certificates == other.certificates
    }

    /// Whom the chain names, if an authority of this set vouches for it now.
    pub(super) async fn verify(&self, chain: &Chain<'_>) -> Verdict {
        self.verify_at(chain, UnixTime::now()).await
    }

    async fn verify_at(&self, chain: &Chain<'_>, now: UnixTime) -> Verdict {
        self.epoch(now.as_secs()).verify(chain, now).await
    }

    /// The epoch of this moment. Two requests that begin one at the same time both make it, and either is right.
    fn epoch(&self, now: u64) -> Arc<Epoch> {
        let current = self.epoch.load_full();
        if current.first <= now && now <= current.last {
            return current;
        }
        let begun = Arc::new(Epoch::of(&self.authorities, now));
        self.epoch.store(Arc::clone(&begun));
        begun
    }
}

/// A certificate that may sign others, and from when to when: seconds since 1970, both included.
struct Authority {
    anchor: TrustAnchor<'static>,
    not_before: u64,
    not_after: u64,
}

impl Authority {
    fn read(certificate: &CertificateDer<'static>) -> Result<Self, Unfit> {
        let (_, read) = X509Certificate::from_der(certificate).map_err(|_| Unfit::Unreadable)?;
        match read.basic_constraints().map_err(|_| Unfit::Unreadable)? {
            Some(constraints) if constraints.value.ca => {}
            // Before version 3 there was no way to say it.
            None if read.version() != X509Version::V3 => {}
            _ => return Err(Unfit::NotCa),
        }
        let usage = read.key_usage().map_err(|_| Unfit::Unreadable)?;
        if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
            return Err(Unfit::MayNotSign);
        }
        let mut store = RootCertStore::empty();
        store.add(certificate.clone()).map_err(|_| Unfit::Unreadable)?;
        let anchor = store.roots.pop().ok_or(Unfit::Unreadable)?;
        // What is before 1970 is before any moment that is asked for.
        let seconds = |timestamp| u64::try_from(timestamp).unwrap_or(0);
        let validity = read.validity();
        let (not_before, not_after) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        Ok(Self { anchor, not_before: seconds(not_before), not_after: seconds(not_after) })
    }

    fn is_valid(&self, now: u64) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

/// A time in which no authority of a set begins or ends, and what was said in it of the peers seen lately: a verdict
/// cannot outlive the authority that it came from.
struct Epoch {
    /// Seconds since 1970, both included.
    first: u64,
    last: u64,
    /// `None`: no authority is valid.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    verdicts: Cache<[u8; 32], Verdict>,
}

impl Epoch {
    /// The epoch of a set that has not been asked yet.
    fn never() -> Self {
        Self { first: 1, last: 0, verifier: None, verdicts: Cache::new(0) }
    }

    /// The epoch around a moment.
    fn of(authorities: &[Authority], now: u64) -> Self {
        // Where something begins, and where the first second is in which something is over.
        let turns = || {
            let turns = authorities.iter().flat_map(|one| [one.not_before, one.not_after.saturating_add(1)]);
            turns.filter(|turn| *turn < u64::MAX)
        };
        let roots: RootCertStore =
            authorities.iter().filter(|one| one.is_valid(now)).map(|one| one.anchor.clone()).collect();
        let not_valid = authorities.len() - roots.len();
        if not_valid > 0 {
            tracing::warn!(
                not_valid,
                valid = roots.len(),
                "a CA bundle has certificates that are not valid now"
            );
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Self {
            first: turns().filter(|turn| *turn <= now).max().unwrap_or(0),
            last: turns().filter(|turn| *turn > now).min().map_or(u64::MAX, |turn| turn - 1),
            // The builder's only complaint without revocation lists: no authority.
            verifier: WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().ok(),
            verdicts: Cache::builder().max_capacity(MAX_VERDICTS).time_to_live(VERDICT_LIFETIME).build(),
        }
    }

    async fn verify(&self, chain: &Chain<'_>, now: UnixTime) -> Verdict {
        let verifier = self.verifier.as_ref().ok_or(Refused::NoAuthority)?;
        match self.verdicts.get(&chain.fingerprint).await {
            Some(Ok(subject)) if subject.good_until < now.as_secs() => {}
            Some(verdict) => return verdict,
            None => {}
        }
        let verdict = match verifier.verify_client_cert(chain.leaf, chain.intermediates, now) {
            Ok(_) => chain.subject().map(Arc::new).ok_or(Refused::Unreadable),
            Err(error) => Err(error.into()),
        };
        self.verdicts.insert(chain.fingerprint, verdict.clone()).await;
        verdict
    }
}

fn told(left_out: &[String]) -> String {
    left_out.iter().take(LEFT_OUT_TOLD_MAX).map(String::as_str).collect::<Vec<_>>().join("; ")
}

/// How a certificate is called in the log.
fn name(certificate: &CertificateDer<'_>) -> String {
    X509Certificate::from_der(certificate)
        .map_or_else(|_| "one without a name".to_owned(), |(_, read)| read.subject().to_string())
}

impl fmt::Debug for CaSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaSet").field("authorities", &self.authorities.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
