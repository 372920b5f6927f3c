//! What a connection knows of its peer: the certificates it showed, not yet believed.

use std::any::Any;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use rustls::pki_types::CertificateDer;

/// The peer's certificates, leaf first; they prove possession of a key and nothing else.
pub(super) struct Peer {
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

/// Keeps the peer's certificates with the connection; each request has them checked anew, as the CAs may change.
pub(super) fn remember_peer(stream: &dyn Any, data: &mut Extensions) {
    let Some(stream) = stream.downcast_ref::<TlsStream<TcpStream>>() else { return };
    let (_, session) = stream.get_ref();
    let shown = session.peer_certificates().unwrap_or_default();
    data.insert(Peer {
        certificates: shown.iter().map(|certificate| certificate.clone().into_owned()).collect(),
    });
}
