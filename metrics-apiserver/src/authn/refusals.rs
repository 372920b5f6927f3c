//! Refused client certificates: counted and logged by their cause, as far as an operator can act on it. Whoever
//! presents one may still be somebody by a token, or anonymous, so the certificate is easily overlooked.

use std::net::SocketAddr;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use rustls::CertificateError;

use super::ca::VerifyError;
use crate::limit::LogLimiter;

/// One log line per cause in this time: any client can present any certificate.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Counts and logs refused client certificates.
#[derive(Debug)]
pub struct Refusals {
    counts: [Counter; Cause::ALL.len()],
    logs: [LogLimiter; Cause::ALL.len()],
}

/// Why a client certificate is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// No CA of the bundles signed it, or an intermediate certificate is missing. If a CA of the bundle has the name
    /// but not the key of the one that signed it, as after a rotation, rustls says that the signature is bad.
    UnknownCa,
    /// It is expired.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// It is not for client authentication (`extendedKeyUsage`).
    WrongUsage,
    /// A signature or a key has an algorithm that cannot be verified.
    UnsupportedAlgorithm,
    /// It cannot be parsed.
    Malformed,
    /// The front proxy's CA signed it, for a name that is not allowed.
    NameNotAllowed,
    /// All CAs of the bundle are expired or not valid yet.
    NoValidCa,
    /// A CA of the bundle signed it, but it names no user.
    NoCommonName,
    /// Anything else.
    Other,
}

impl Refusals {
    /// No refusals yet; the counters are in `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let counts = Family::<[(&'static str, &'static str); 1], Counter>::default();
        registry.sub_registry_with_prefix("metrics_apiserver").register(
            "client_certificates_refused",
            "Requests whose client certificate was refused, by cause",
            counts.clone(),
        );
        Self {
            // A counter must be there before its first increment, or rate() misses that.
            counts: Cause::ALL.map(|cause| counts.get_or_create_owned(&[("cause", cause.as_str())])),
            logs: Cause::ALL.map(|_| LogLimiter::new(LOG_INTERVAL, 1)),
        }
    }

    /// Records a refused certificate; `reason` is what each CA set says about it.
    pub(super) fn record(&self, peer: Option<SocketAddr>, cause: Cause, reason: &str) {
        if let Some(count) = self.counts.get(cause as usize) {
            count.inc();
        }
        if let Some(suppressed) = self.logs.get(cause as usize).and_then(LogLimiter::next_line) {
            let peer = peer.map(tracing::field::display);
            tracing::warn!(peer, cause = cause.as_str(), reason, suppressed, "client certificate refused");
        }
    }

    #[cfg(test)]
    pub(super) fn counted(&self) -> Vec<(&'static str, u64)> {
        let counts = Cause::ALL.iter().zip(&self.counts).map(|(cause, count)| (cause.as_str(), count.get()));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

impl Cause {
    const ALL: [Self; 10] = [
        Self::UnknownCa,
        Self::Expired,
        Self::NotYetValid,
        Self::WrongUsage,
        Self::UnsupportedAlgorithm,
        Self::Malformed,
        Self::NameNotAllowed,
        Self::NoValidCa,
        Self::NoCommonName,
        Self::Other,
    ];

    /// The name in metrics and logs.
    const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownCa => "unknown_ca",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongUsage => "wrong_usage",
            Self::UnsupportedAlgorithm => "unsupported_algorithm",
            Self::Malformed => "malformed",
            Self::NameNotAllowed => "name_not_allowed",
            Self::NoValidCa => "no_valid_ca",
            Self::NoCommonName => "no_common_name",
            Self::Other => "other",
        }
    }

    /// The cause behind what the two CA sets say: that of the set whose CA signed the certificate, if one did.
    pub(super) fn of<'a>(errors: impl Iterator<Item = &'a VerifyError>) -> Self {
        let causes = errors.map(Self::of_one);
        causes.reduce(|one, other| if one == Self::UnknownCa { other } else { one }).unwrap_or(Self::Other)
    }

    fn of_one(error: &VerifyError) -> Self {
        match error {
            VerifyError::Certificate(rustls::Error::InvalidCertificate(error)) => Self::of_certificate(error),
            VerifyError::Certificate(_) => Self::Other,
            VerifyError::NoValidCa => Self::NoValidCa,
            VerifyError::Subject => Self::Malformed,
            VerifyError::NameNotAllowed(_) => Self::NameNotAllowed,
            VerifyError::NoCommonName => Self::NoCommonName,
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownCa,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::WrongUsage
            }
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                Self::UnsupportedAlgorithm
            }
            CertificateError::BadEncoding | CertificateError::UnhandledCriticalExtension => Self::Malformed,
            _ => Self::Other,
        }
    }
}
