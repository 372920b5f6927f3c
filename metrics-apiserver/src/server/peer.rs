//! The other side of a connection, as its requests know it.

use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;

/// The client's certificates, leaf first. The handshake proves that the client holds the key and nothing else: each request
/// has them verified, as the CA bundles may change.
pub(super) struct Peer {
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

impl Peer {
    /// The peer of a completed handshake.
    pub(super) fn of(session: &ServerConnection) -> Self {
        let certificates = session.peer_certificates().unwrap_or_default();
        Self { certificates: certificates.iter().map(|shown| shown.clone().into_owned()).collect() }
    }
}
