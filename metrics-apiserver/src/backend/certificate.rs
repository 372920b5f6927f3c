//! The certificate that a server presents, for people: whether it is trusted is not asked here.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{ClientBuilder, Url};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::body::transport;
use super::proxy::ProxyUrl;
use crate::causes::causes;

/// What a server certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerCertificate {
    /// Whose it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The DNS names, addresses and URIs that it is for.
    pub names: Vec<String>,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
}

impl fmt::Display for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = if self.names.is_empty() { "none".to_owned() } else { self.names.join(", ") };
        let (subject, issuer) = (&self.subject, &self.issuer);
        write!(f, "subject {subject}, issuer {issuer}, names {names}, expires {}", self.not_after)
    }
}

/// The certificates that a server presents, its own first.
pub type CertificateChain = Vec<CertificateDer<'static>>;

/// The certificate that the server behind `url` presents. The handshake is broken off when it is seen, so nothing is
/// ever sent to a server that nobody has verified. The proxy must not be one by `https`: its own certificate would be
/// seen first.
pub(super) async fn presented(
    url: &Url,
    proxy: Option<&ProxyUrl>,
    timeout: Duration,
) -> Result<ServerCertificate, Arc<str>> {
    let mut builder = reqwest::Client::builder().no_proxy().timeout(timeout);
    if let Some(proxy) = proxy {
        builder = builder.proxy(proxy.for_all().map_err(|error| causes(&error).to_string())?);
    }
    let chain = seen(builder, url.clone()).await?;
    chain.first().and_then(ServerCertificate::of).ok_or_else(|| "it cannot be parsed".into())
}

/// The certificates that the server at `address` presents to a client that wants `host`. As with `presented`, nothing
/// is sent to it.
pub async fn presented_chain(
    host: &str,
    address: SocketAddr,
    timeout: Duration,
) -> Result<CertificateChain, Arc<str>> {
    let url = format!("https://{host}:{}/", address.port());
    let url = Url::parse(&url).map_err(|error| causes(&error).to_string())?;
    seen(reqwest::Client::builder().no_proxy().timeout(timeout).resolve(host, address), url).await
}

/// The certificates that a client sees, in the order of the handshake.
async fn seen(builder: ClientBuilder, url: Url) -> Result<CertificateChain, Arc<str>> {
    let recorder = Arc::new(Recorder { schemes: schemes(), seen: Mutex::default() });
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| causes(&error).to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let http = builder.tls_backend_preconfigured(config).build();
    let sent = http.map_err(|error| causes(&error).to_string())?.get(url).send().await;
    let seen = recorder.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (seen, sent) {
        (Some(chain), _) => Ok(chain),
        (None, Err(error)) => Err(transport(error)),
        (None, Ok(_)) => Err("the server presented none".into()),
    }
}

/// Keeps the certificates and refuses them.
#[derive(Debug)]
struct Recorder {
    schemes: Vec<SignatureScheme>,
    seen: Mutex<Option<CertificateChain>>,
}

/// The end of every handshake with a [`Recorder`].
const SEEN: &str = "the certificate was seen";

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _host: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        let chain = chain.map(|certificate| certificate.clone().into_owned()).collect();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(chain);
        Err(Error::General(SEEN.to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General(SEEN.to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General(SEEN.to_owned()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

fn schemes() -> Vec<SignatureScheme> {
    rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
}

impl ServerCertificate {
    /// What this certificate says; `None` if it cannot be parsed.
    pub fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        let alternative = certificate.subject_alternative_name().ok().flatten();
        let names = alternative.iter().flat_map(|extension| &extension.value.general_names).filter_map(name);
        Some(Self {
            subject: printable(&certificate.subject().to_string()),
            issuer: printable(&certificate.issuer().to_string()),
            names: names.collect(),
            not_before: Timestamp::from_second(validity.not_before.timestamp()).ok()?,
            not_after: Timestamp::from_second(validity.not_after.timestamp()).ok()?,
        })
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::URI(text) => Some(printable(text)),
        GeneralName::IPAddress(bytes) => <[u8; 4]>::try_from(*bytes)
            .map(|four| Ipv4Addr::from(four).to_string())
            .or_else(|_| <[u8; 16]>::try_from(*bytes).map(|sixteen| Ipv6Addr::from(sixteen).to_string()))
            .ok(),
        _ => None,
    }
}

/// Without characters that would change what a terminal shows.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
