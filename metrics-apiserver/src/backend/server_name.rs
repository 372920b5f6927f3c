//! TLS to a server that is trusted by a CA bundle, under the URL's host or under another name.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::x509::ServerVerifier;

/// Expects this name in the server certificate, whatever the URL's host. The host remains what the client sends as SNI.
#[derive(Debug)]
struct ExpectedName {
    verifier: ServerVerifier,
    name: ServerName<'static>,
}

/// TLS with this CA bundle, server name (by default the URL's host) and, if not empty, client certificate with its key;
/// all PEM.
pub(super) fn client_config(
    name: Option<&str>,
    ca: Vec<CertificateDer<'static>>,
    identity: &[u8],
) -> Result<ClientConfig, Error> {
    let general = |error: &dyn std::fmt::Display| Error::General(error.to_string());
    let verifier = ServerVerifier::new(ca)?;
    let verifier: Arc<dyn ServerCertVerifier> = match name {
        None => Arc::new(verifier),
        Some(name) => {
            let name = ServerName::try_from(name.to_owned()).map_err(|error| general(&error))?;
            Arc::new(ExpectedName { verifier, name })
        }
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    if identity.is_empty() {
        return Ok(builder.with_no_client_auth());
    }
    let chain = CertificateDer::pem_slice_iter(identity).collect::<Result<Vec<_>, _>>();
    let key = PrivateKeyDer::from_pem_slice(identity);
    builder
        .with_client_auth_cert(chain.map_err(|error| general(&error))?, key.map_err(|error| general(&error))?)
}

impl ServerCertVerifier for ExpectedName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _host: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verifier.verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
