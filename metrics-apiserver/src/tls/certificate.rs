//! The serving certificate and its key, read from two files that may be replaced at any time.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::causes::causes;
use crate::files::{CREDENTIAL_BYTES_MAX, ReadError, WatchedFiles};

/// Why the serving certificate cannot be used. Names the file and what to do, and nothing of the key.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error(
        "cannot read {}; check that it exists and is readable (--tls-cert-file, --tls-private-key-file)",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The certificate file holds no PEM certificates.
    #[error(
        "{} contains no PEM certificate; --tls-cert-file must hold the server certificate, followed by its \
         intermediates",
        path.display()
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The key file holds no PEM private key.
    #[error(
        "{} contains no PEM private key; --tls-private-key-file must hold one in PKCS#8, PKCS#1 or SEC1",
        path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The key is not the certificate's.
    #[error(
        "the private key in {} does not match the certificate in {}; issue both again together",
        key.display(),
        certificate.display()
    )]
    Mismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
}

/// The certificate and key that the listener presents. A pair that cannot be used, or of which only one file has been
/// replaced, leaves the last good pair in use; established connections keep theirs.
pub struct ServingCertificate {
    certificate_path: PathBuf,
    key_path: PathBuf,
    current: ArcSwap<CertifiedKey>,
    expiration: Gauge,
}

impl ServingCertificate {
    /// Reads the pair for the first time.
    pub fn load(certificate_path: PathBuf, key_path: PathBuf) -> Result<Self, LoadError> {
        let contents = files(&certificate_path, &key_path).read()?;
        let pair = pair(&certificate_path, &key_path, &contents)?;
        let expiration = Gauge::default();
        expiration.set(expires(&pair.cert));
        Ok(Self { certificate_path, key_path, current: ArcSwap::from_pointee(pair), expiration })
    }

    /// Registers the expiration time of the certificate in use.
    pub fn register(&self, registry: &mut Registry) {
        registry.sub_registry_with_prefix("metrics_apiserver_serving_certificate").register(
            "expiration_timestamp_seconds",
            "Expiration time of the serving certificate in use, in seconds since 1970",
            self.expiration.clone(),
        );
    }

    /// Follows the files until dropped.
    pub async fn poll_files(self: Arc<Self>) {
        let mut files = files(&self.certificate_path, &self.key_path);
        loop {
            let contents = files.changed().await.map_err(LoadError::from);
            match contents.and_then(|contents| self.replace(&contents)) {
                Ok(true) => tracing::info!("serving certificate replaced"),
                Ok(false) => {}
                Err(error) => {
                    let error = causes(&error);
                    tracing::warn!(%error, "new serving certificate not used, keeping the last good one");
                }
            }
        }
    }

    /// Uses the pair that the files hold now; whether it is another certificate.
    #[cfg(test)]
    pub(super) fn reload(&self) -> Result<bool, LoadError> {
        self.replace(&files(&self.certificate_path, &self.key_path).read()?)
    }

    fn replace(&self, contents: &[Vec<u8>]) -> Result<bool, LoadError> {
        let pair = pair(&self.certificate_path, &self.key_path, contents)?;
        self.expiration.set(expires(&pair.cert));
        let before = self.current.swap(Arc::new(pair));
        Ok(before.cert != self.current.load().cert)
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl fmt::Debug for ServingCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServingCertificate")
            .field("certificate_path", &self.certificate_path)
            .finish_non_exhaustive()
    }
}

fn files(certificate_path: &Path, key_path: &Path) -> WatchedFiles {
    WatchedFiles::new([certificate_path.to_owned(), key_path.to_owned()], CREDENTIAL_BYTES_MAX)
}

fn pair(certificate_path: &Path, key_path: &Path, contents: &[Vec<u8>]) -> Result<CertifiedKey, LoadError> {
    let content = |at: usize| contents.get(at).map(Vec::as_slice).unwrap_or_default();
    let chain = CertificateDer::pem_slice_iter(content(0))
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| LoadError::NoCertificate { path: certificate_path.to_owned() })?;
    let key = PrivateKeyDer::from_pem_slice(content(1))
        .map_err(|_| LoadError::NoKey { path: key_path.to_owned() })?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map_err(|source| LoadError::Mismatch {
        certificate: certificate_path.to_owned(),
        key: key_path.to_owned(),
        source,
    })
}

impl From<ReadError> for LoadError {
    fn from(ReadError { path, source }: ReadError) -> Self {
        Self::Unreadable { path, source }
    }
}

/// When the first of these certificates expires, in seconds since 1970: from then on the chain is not valid.
/// Certificates that cannot be parsed are left out; if none can, 0 triggers the alert on expiration.
fn expires(chain: &[CertificateDer<'_>]) -> i64 {
    let readable = chain.iter().filter_map(|certificate| X509Certificate::from_der(certificate).ok());
    readable.map(|(_, certificate)| certificate.validity().not_after.timestamp()).min().unwrap_or_default()
}
