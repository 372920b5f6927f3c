//! TLS of the listener: its certificate, client certificates, and failed handshakes.

mod certificate;
mod certificates;
mod ciphers;
mod handshake;
mod options;
mod peer;
mod self_signed;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

pub use certificate::{LoadError, ServingCertificate};
pub use certificates::Certificates;
pub use handshake::HandshakeFailures;
pub use options::{MinVersion, Options, SniFiles};

use ciphers::CipherSuites;
use peer::AnyPeer;

impl MinVersion {
    fn spoken(self) -> &'static [&'static SupportedProtocolVersion] {
        static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        match self {
            Self::Tls10 | Self::Tls11 | Self::Tls12 => &BOTH,
            Self::Tls13 => &BOTH[..1],
        }
    }
}

/// The listener's TLS configuration. Each handshake presents a certificate as it is then, and requests a client
/// certificate without verifying it. The only protocol is HTTP/1.1. Sessions are not resumed: a resumed one would
/// have no client certificate to verify.
pub fn server_config(
    certificates: Arc<Certificates>,
    options: &Options,
) -> Result<ServerConfig, rustls::Error> {
    let cipher_suites = CipherSuites::parse(&options.cipher_suites).offered();
    let provider =
        Arc::new(CryptoProvider { cipher_suites, ..rustls::crypto::aws_lc_rs::default_provider() });
    let peers = AnyPeer { algorithms: provider.signature_verification_algorithms };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(options.min_version.spoken())?
        .with_client_cert_verifier(Arc::new(peers))
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

#[cfg(test)]
mod tests;
