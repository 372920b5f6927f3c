//! TLS of the listener: its certificate, client certificates, and failed handshakes.

mod certificate;
mod handshake;
mod options;
mod peer;

use std::sync::Arc;

use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

pub use certificate::{LoadError, ServingCertificate};
pub use handshake::HandshakeFailures;
pub use options::{MinVersion, Options};

use peer::AnyPeer;

impl MinVersion {
    fn spoken(self) -> &'static [&'static SupportedProtocolVersion] {
        static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        match self {
            Self::Tls12 => &BOTH,
            Self::Tls13 => &BOTH[..1],
        }
    }
}

/// The listener's TLS configuration. Each handshake presents `certificate` as it is then, and requests a client
/// certificate without verifying it. The only protocol is HTTP/1.1. Sessions are not resumed: a resumed one would
/// have no client certificate to verify.
pub fn server_config(
    certificate: Arc<ServingCertificate>,
    minimum: MinVersion,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let peers = AnyPeer { algorithms: provider.signature_verification_algorithms };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(minimum.spoken())?
        .with_client_cert_verifier(Arc::new(peers))
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

#[cfg(test)]
mod tests;
