//! The certificates that are served, and which one a client gets.

use std::sync::Arc;

use futures_util::future::join_all;
use prometheus_client::registry::Registry;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{LoadError, Options, ServingCertificate, SniFiles, self_signed};
use crate::causes::causes;

/// The serving certificates. A client gets the one for the name that it asks for (SNI), or else the default one.
#[derive(Debug)]
pub struct Certificates {
    default: Arc<ServingCertificate>,
    sni: Vec<ForDomains>,
}

#[derive(Debug)]
struct ForDomains {
    certificate: ServingCertificate,
    /// The domains of the flag; empty for those of the certificate.
    domains: Vec<String>,
}

impl Certificates {
    /// Reads the certificates that the flags name; without a name, reads or creates the self-signed one.
    pub fn load(options: &Options) -> Result<Self, LoadError> {
        let default = match (&options.cert_file, &options.key_file) {
            (Some(cert), Some(key)) => ServingCertificate::load(cert.clone(), key.clone())?,
            _ => self_signed(options)?,
        };
        let load = |SniFiles { cert_file, key_file, domains }: &SniFiles| {
            let certificate = ServingCertificate::load(cert_file.clone(), key_file.clone())?;
            Ok(ForDomains { certificate, domains: domains.clone() })
        };
        let default = Arc::new(default);
        Ok(Self { default, sni: options.sni.iter().map(load).collect::<Result<_, LoadError>>()? })
    }

    /// One for everybody.
    #[cfg(test)]
    pub(super) fn of(default: Arc<ServingCertificate>) -> Self {
        Self { default, sni: Vec::new() }
    }

    /// Registers the expiration time of the default certificate.
    pub fn register(&self, registry: &mut Registry) {
        self.default.register(registry);
    }

    /// What a client that asks for this name gets: the certificate, followed by its intermediates.
    pub fn chain(&self, name: &str) -> Vec<CertificateDer<'static>> {
        self.for_name(name).current().cert.clone()
    }

    /// Follows all files until dropped.
    pub async fn poll_files(self: Arc<Self>) {
        let others = self.sni.iter().map(|entry| &entry.certificate);
        join_all(std::iter::once(&*self.default).chain(others).map(ServingCertificate::poll_files)).await;
    }

    /// The certificate for a name: names come before wildcards, and the domains of flags before those of certificates.
    fn for_name(&self, name: &str) -> &ServingCertificate {
        let name = name.to_ascii_lowercase();
        let wildcard = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        for wanted in [Some(name), wildcard].into_iter().flatten() {
            let of_flag = self.sni.iter().find(|entry| entry.domains.contains(&wanted));
            let of_certificate = || {
                let mut unnamed = self.sni.iter().filter(|entry| entry.domains.is_empty());
                unnamed.find(|entry| entry.certificate.has_name(&wanted))
            };
            if let Some(entry) = of_flag.or_else(of_certificate) {
                return &entry.certificate;
            }
        }
        &self.default
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificate = client_hello.server_name().map_or(&*self.default, |name| self.for_name(name));
        Some(certificate.current())
    }
}

/// The certificate in the directory of certificates. It is created if there is none, and kept in memory if it cannot
/// be written.
fn self_signed(options: &Options) -> Result<ServingCertificate, LoadError> {
    let dir = &options.cert_dir;
    let (cert, key) = self_signed::paths(dir);
    let is_kept = !dir.as_os_str().is_empty();
    if is_kept && cert.exists() && key.exists() {
        tracing::info!(cert = %cert.display(), "serving the certificate of --cert-dir");
        return ServingCertificate::load(cert, key);
    }
    let generated = self_signed::generate().map_err(|_| LoadError::Generate)?;
    if is_kept && let Err(error) = self_signed::write(&generated, dir) {
        let (dir, error) = (dir.display(), causes(&error));
        tracing::warn!(%dir, %error, "cannot write the self-signed certificate, keeping it in memory");
    }
    tracing::warn!("serving a self-signed certificate, which no client can verify; set --tls-cert-file");
    ServingCertificate::in_memory(&generated.cert, &generated.key)
}

#[cfg(test)]
mod tests;
