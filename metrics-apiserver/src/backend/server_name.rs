//! TLS to a server that is trusted by a CA bundle, under the URL's host or under another name.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName as Host, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::x509::ServerVerifier;

/// Longest SPIFFE ID, in bytes (SPIFFE-ID, section 2.3).
const SPIFFE_BYTES_MAX: usize = 2048;

/// The name that a server certificate must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerName {
    /// A DNS name or an IP address.
    Host(Host<'static>),
    /// A SPIFFE ID, as the certificates of service meshes have. It must be the certificate's only URI (X.509-SVID,
    /// section 2).
    Spiffe(String),
}

/// Why a text is not the name of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseServerNameError {
    /// Neither a DNS name nor an IP address.
    #[error("not a valid server name; use a DNS name, an IP address or `spiffe://trust-domain/path`")]
    Host,
    /// Not as the SPIFFE standard has it.
    #[error("not a valid SPIFFE ID; use `spiffe://trust-domain/path` without port, query and fragment")]
    Spiffe,
}

impl ServerName {
    /// Parses a DNS name, an IP address, or a SPIFFE ID.
    pub fn parse(text: &str) -> Result<Self, ParseServerNameError> {
        match text.strip_prefix("spiffe://") {
            Some(rest) if is_spiffe(rest) && text.len() <= SPIFFE_BYTES_MAX => {
                Ok(Self::Spiffe(text.to_owned()))
            }
            Some(_) => Err(ParseServerNameError::Spiffe),
            None => Host::try_from(text.to_owned()).map(Self::Host).map_err(|_| ParseServerNameError::Host),
        }
    }
}

/// What follows the scheme of a SPIFFE ID: a trust domain, and a path without empty or relative segments.
fn is_spiffe(rest: &str) -> bool {
    let mut segments = rest.split('/');
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let domain = segments.next().unwrap_or_default();
    !domain.is_empty()
        && domain.chars().all(|c| is_plain(c) && !c.is_ascii_uppercase())
        && segments.all(|part| !matches!(part, "" | "." | "..") && part.chars().all(is_plain))
}

/// Expects this name in the server certificate, whatever the URL's host. The host remains what the client sends as SNI.
#[derive(Debug)]
struct ExpectedName {
    verifier: ServerVerifier,
    name: ServerName,
}

/// TLS with this CA bundle, server name (by default the URL's host) and, if not empty, client certificate with its key,
/// both PEM.
pub(super) fn client_config(
    name: Option<&ServerName>,
    ca: Vec<CertificateDer<'static>>,
    identity: &[u8],
) -> Result<ClientConfig, Error> {
    let verifier = ServerVerifier::new(ca)?;
    let verifier: Arc<dyn ServerCertVerifier> = match name {
        None => Arc::new(verifier),
        Some(name) => Arc::new(ExpectedName { verifier, name: name.clone() }),
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
    builder.with_client_auth_cert(chain.map_err(general)?, key.map_err(general)?)
}

fn general(error: impl std::fmt::Display) -> Error {
    Error::General(error.to_string())
}

impl ExpectedName {
    /// Verifies the chain as for any name, and then that the certificate is this workload's.
    fn verify_spiffe(
        &self,
        id: &str,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verifier.verify_chain(end_entity, intermediates, now)?;
        let bad = || Error::InvalidCertificate(CertificateError::BadEncoding);
        let (_, certificate) = parse_x509_certificate(end_entity).map_err(|_| bad())?;
        let names = certificate.subject_alternative_name().map_err(|_| bad())?;
        let names = names.iter().flat_map(|names| &names.value.general_names);
        let uris: Vec<&str> = names
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            })
            .collect();
        if uris != [id] {
            return Err(general(format!("the certificate is not that of {id}; its URIs are {uris:?}")));
        }
        Ok(ServerCertVerified::assertion())
    }
}

impl ServerCertVerifier for ExpectedName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _host: &Host<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.name {
            ServerName::Host(host) => {
                self.verifier.verify_server_cert(end_entity, intermediates, host, ocsp_response, now)
            }
            ServerName::Spiffe(id) => self.verify_spiffe(id, end_entity, intermediates, now),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_name_is_a_host_or_a_spiffe_id() {
        for host in ["prometheus.monitoring.svc", "localhost", "10.0.0.1", "::1"] {
            assert!(matches!(ServerName::parse(host), Ok(ServerName::Host(_))), "{host}");
        }
        for host in ["", "a b", "https://h", "h:9090", "https://h/"] {
            assert_eq!(ServerName::parse(host), Err(ParseServerNameError::Host), "{host}");
        }
        for id in ["spiffe://cluster.local/ns/monitoring/sa/prometheus", "spiffe://example.org"] {
            assert_eq!(ServerName::parse(id), Ok(ServerName::Spiffe(id.to_owned())));
        }
        for id in [
            "spiffe://",
            "spiffe:///path",
            "spiffe://Example.org/a",
            "spiffe://example.org/",
            "spiffe://example.org/a//b",
            "spiffe://example.org/../a",
            "spiffe://example.org:8443/a",
            "spiffe://user@example.org/a",
            "spiffe://example.org/a?b",
            "spiffe://example.org/%61",
            &format!("spiffe://example.org/{}", "a".repeat(SPIFFE_BYTES_MAX)),
        ] {
            assert_eq!(ServerName::parse(id), Err(ParseServerNameError::Spiffe), "{id}");
        }
    }
}
