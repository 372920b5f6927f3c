//! What a connection knows of its peer: the certificates it showed, not yet believed.

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use rustls::pki_types::CertificateDer;

use super::heads::{Heads, Line};

/// The other side of a connection.
pub(super) struct Peer {
    /// Its certificates, leaf first; they prove possession of a key and nothing else.
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// To tell the connection how its requests are answered.
    pub(super) line: Line,
}

/// Keeps the peer's certificates with the connection; each request has them checked anew, as the CAs may change.
pub(super) fn remember_peer(stream: &Heads<TlsStream<TcpStream>>, data: &mut Extensions) {
    let (_, session) = stream.get_ref().get_ref();
    let shown = session.peer_certificates().unwrap_or_default();
    data.insert(Peer {
        certificates: shown.iter().map(|certificate| certificate.clone().into_owned()).collect(),
        line: stream.line(),
    });
}
