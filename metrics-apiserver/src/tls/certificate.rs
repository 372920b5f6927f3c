//! The serving certificate of the moment, read from two files that may be replaced at any time.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

/// How often the files are read: a mounted Secret follows its change within about a minute, so this adds little.
const POLL_INTERVAL: Duration = Duration::from_secs(10);

/// Why there is no serving certificate. Names the file and what to do; nothing of the key.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error("cannot read {}, check that it exists and is readable (--tls-cert-file, --tls-private-key-file)", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The certificate file holds no PEM certificates.
    #[error("{} holds no PEM certificate, --tls-cert-file wants the server's certificate followed by its intermediates", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The key file holds no PEM private key.
    #[error("{} holds no PEM private key, --tls-private-key-file wants PKCS#8, PKCS#1 or SEC1", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// Both are there, but do not go together.
    #[error("the key in {} cannot be used with the certificate in {}, make both anew together", key.display(), certificate.display())]
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

/// The certificate and key that the listener shows. A pair that is broken or half replaced leaves the last
/// good one in use; connections that are up keep theirs.
pub struct ServingCertificate {
    certificate_path: PathBuf,
    key_path: PathBuf,
    current: ArcSwap<CertifiedKey>,
    expiration: Gauge,
}

impl ServingCertificate {
    /// Reads the pair for the first time.
    pub fn load(certificate_path: PathBuf, key_path: PathBuf) -> Result<Self, LoadError> {
        let pair = read_pair(&certificate_path, &key_path)?;
        let expiration = Gauge::default();
        expiration.set(expires(&pair.cert));
        Ok(Self { certificate_path, key_path, current: ArcSwap::from_pointee(pair), expiration })
    }

    /// Tells at `/metrics` when the certificate in use expires.
    pub fn register(&self, registry: &mut Registry) {
        registry.sub_registry_with_prefix("metrics_apiserver_serving_certificate").register(
            "expiration_timestamp_seconds",
            "When the serving certificate in use expires, in seconds since 1970",
            self.expiration.clone(),
        );
    }

    /// Reads the files again every ten seconds until dropped.
    pub async fn poll_files(self: Arc<Self>) {
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            match self.reload() {
                Ok(true) => tracing::info!("the serving certificate was replaced"),
                Ok(false) => {}
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "keeping the last good serving certificate"
                ),
            }
        }
    }

    /// Reads the files once more; whether there is another certificate in them.
    pub fn reload(&self) -> Result<bool, LoadError> {
        let pair = read_pair(&self.certificate_path, &self.key_path)?;
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

fn read_pair(certificate_path: &Path, key_path: &Path) -> Result<CertifiedKey, LoadError> {
    let chain = CertificateDer::pem_slice_iter(&read(certificate_path)?)
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| LoadError::NoCertificate { path: certificate_path.to_owned() })?;
    let key = PrivateKeyDer::from_pem_slice(&read(key_path)?)
        .map_err(|_| LoadError::NoKey { path: key_path.to_owned() })?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map_err(|source| LoadError::Mismatch {
        certificate: certificate_path.to_owned(),
        key: key_path.to_owned(),
        source,
    })
}

/// When the first of these certificates expires, since the chain is of no use from then on; in seconds since 1970. An
/// unreadable one says nothing, and if all of them do, 0 makes somebody look.
fn expires(chain: &[CertificateDer<'_>]) -> i64 {
    let readable = chain.iter().filter_map(|certificate| X509Certificate::from_der(certificate).ok());
    readable.map(|(_, certificate)| certificate.validity().not_after.timestamp()).min().unwrap_or_default()
}

/// Small local files: read on the spot, as waiting for a thread would take longer.
fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    crate::files::read(path).map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })
}
