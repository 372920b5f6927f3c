//! Why a TLS handshake failed, as far as an operator can act on it.

use std::io;

use rustls::{Error, PeerIncompatible};

/// The cause of a failed handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeFailure {
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

impl HandshakeFailure {
    /// Every cause.
    pub const ALL: [Self; 9] = [
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

    /// The cause's name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
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
    pub fn of(error: &io::Error) -> Self {
        match error.get_ref().and_then(|source| source.downcast_ref::<Error>()) {
            Some(error) => Self::of_tls(error),
            None => match error.kind() {
                io::ErrorKind::TimedOut => Self::Timeout,
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe => Self::Closed,
                _ => Self::Other,
            },
        }
    }

    fn of_tls(error: &Error) -> Self {
        match error {
            Error::InvalidMessage(_) => Self::NotTls,
            Error::PeerIncompatible(
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            ) => Self::NoSharedVersion,
            Error::PeerIncompatible(_) => Self::NoSharedCipher,
            Error::NoApplicationProtocol => Self::NoSharedProtocol,
            Error::InvalidCertificate(_) | Error::NoCertificatesPresented => Self::BadCertificate,
            Error::AlertReceived(_) => Self::RefusedByClient,
            _ => Self::Other,
        }
    }
}
