//! Failed TLS handshakes: counted and logged by their cause, as far as an operator can act on it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use rustls::{Error, InvalidMessage, PeerIncompatible, PeerMisbehaved};

use crate::limit::LogLimiter;

/// One log line per cause in this time: any client that reaches the port can make handshakes fail.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Counts and logs failed handshakes.
pub struct HandshakeFailures {
    counts: Family<Labels, Counter>,
    logs: [LogLimiter; Cause::ALL.len()],
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    cause: &'static str,
}

/// The cause of a failed handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// It did not complete in time.
    Timeout,
    /// The client closed the connection, as TCP health checks do.
    Closed,
    /// The client does not speak TLS.
    NotTls,
    /// No TLS version in common (`--tls-min-version`).
    NoSharedVersion,
    /// No cipher suite, key exchange group or signature scheme in common.
    NoSharedCipher,
    /// The client offers other protocols than HTTP/1.1 only.
    NoSharedProtocol,
    /// The client's certificate is malformed or too long, or the client does not hold its key.
    BadCertificate,
    /// The client refused, mostly because it does not trust the serving certificate.
    RefusedByClient,
    /// Anything else.
    Other,
}

impl HandshakeFailures {
    /// No failures yet; the counters are in `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let counts = Family::<Labels, Counter>::default();
        for cause in Cause::ALL {
            // A counter must be there before its first increment, or rate() misses that.
            let _ = counts.get_or_create(&Labels { cause: cause.as_str() });
        }
        registry.sub_registry_with_prefix("metrics_apiserver_tls").register(
            "handshake_failures",
            "Failed TLS handshakes, by cause",
            counts.clone(),
        );
        Self { counts, logs: Cause::ALL.map(|_| LogLimiter::new(LOG_INTERVAL, 1)) }
    }

    /// Records the failed handshake of a client.
    pub fn record(&self, peer: SocketAddr, error: &io::Error) {
        let kind = Cause::of(error);
        let cause = kind.as_str();
        self.counts.get_or_create(&Labels { cause }).inc();
        if let Some(suppressed) = self.logs.get(kind as usize).and_then(LogLimiter::next_line) {
            tracing::warn!(%peer, cause, %error, suppressed, "TLS handshake failed");
        }
    }
}

impl Cause {
    const ALL: [Self; 9] = [
        Self::Timeout,
        Self::Closed,
        Self::NotTls,
        Self::NoSharedVersion,
        Self::NoSharedCipher,
        Self::NoSharedProtocol,
        Self::BadCertificate,
        Self::RefusedByClient,
        Self::Other,
    ];

    /// The name in metrics and logs.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::NotTls => "not_tls",
            Self::NoSharedVersion => "no_shared_version",
            Self::NoSharedCipher => "no_shared_cipher",
            Self::NoSharedProtocol => "no_shared_protocol",
            Self::BadCertificate => "bad_certificate",
            Self::RefusedByClient => "refused_by_client",
            Self::Other => "other",
        }
    }

    /// The cause behind a handshake's error.
    pub(super) fn of(error: &io::Error) -> Self {
        if let Some(error) = error.get_ref().and_then(|source| source.downcast_ref::<Error>()) {
            return Self::of_tls(error);
        }
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Timeout,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Other,
        }
    }

    fn of_tls(error: &Error) -> Self {
        match error {
            Error::InvalidMessage(InvalidMessage::CertificatePayloadTooLarge)
            | Error::PeerMisbehaved(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)
            | Error::InvalidCertificate(_)
            | Error::NoCertificatesPresented => Self::BadCertificate,
            Error::InvalidMessage(_) => Self::NotTls,
            Error::PeerIncompatible(
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::SupportedVersionsExtensionRequired
                // TLS 1.0 and 1.1 have no such extension, and rustls looks for it first.
                | PeerIncompatible::SignatureAlgorithmsExtensionRequired
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            ) => Self::NoSharedVersion,
            Error::PeerIncompatible(_) => Self::NoSharedCipher,
            Error::NoApplicationProtocol => Self::NoSharedProtocol,
            Error::AlertReceived(_) => Self::RefusedByClient,
            _ => Self::Other,
        }
    }
}
