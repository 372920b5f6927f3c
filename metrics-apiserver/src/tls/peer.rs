//! Client certificates in the handshake: any certificate is accepted if the client holds its key.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};

/// Bytes of a client's certificate chain: the connection keeps them, twice, before they are verified. A leaf and three
/// intermediates with RSA keys have 6,000.
const CHAIN_MAX: usize = 16 * 1024;

/// A chain longer than [`CHAIN_MAX`]. rustls prints it with `Debug`, so the fields have names.
#[derive(Debug, thiserror::Error)]
#[error("the client's certificate chain has {bytes} bytes, at most {max} are accepted")]
struct ChainTooLong {
    bytes: usize,
    max: usize,
}

/// Accepts any client certificate, or none. Each request has it verified against the two CA bundles, so that an unknown
/// client gets a 401. That the client holds the key is proved only here.
#[derive(Debug)]
pub(super) struct AnyPeer {
    /// These verify the handshake's signature.
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyPeer {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// Without hints clients send their certificate whatever CA signed it.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let bytes =
            end_entity.len() + intermediates.iter().map(|certificate| certificate.len()).sum::<usize>();
        if bytes > CHAIN_MAX {
            let error = ChainTooLong { bytes, max: CHAIN_MAX };
            return Err(CertificateError::Other(OtherError(Arc::new(error))).into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
