//! A serving certificate and its key, mostly read from two files that may be replaced at any time.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::causes::causes;
use crate::files::{CREDENTIAL_BYTES_MAX, ReadError, WatchedFiles};

/// Why the serving certificate cannot be used. Names the file and what to do, and nothing of the key.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error(
        "cannot read {}; check that it exists and is readable (--tls-cert-file, --tls-private-key-file, \
         --tls-sni-cert-key)",
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
    /// No key or certificate can be created.
    #[error("cannot create a self-signed certificate; set --tls-cert-file and --tls-private-key-file")]
    Generate,
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
    is_in_memory: bool,
    current: ArcSwap<CertifiedKey>,
    expiration: Gauge,
}

impl ServingCertificate {
    /// Reads the pair for the first time.
    pub fn load(certificate_path: PathBuf, key_path: PathBuf) -> Result<Self, LoadError> {
        let contents = files(&certificate_path, &key_path).read()?;
        let pair = pair(&certificate_path, &key_path, &contents)?;
        Ok(Self::new(certificate_path, key_path, false, pair))
    }

    /// A certificate that never changes, PEM, with its key.
    pub(super) fn in_memory(certificate: &str, key: &str) -> Result<Self, LoadError> {
        let name = PathBuf::from("the self-signed certificate");
        let pair = pair(&name, &name, &[certificate.into(), key.into()])?;
        Ok(Self::new(name.clone(), name, true, pair))
    }

    fn new(certificate_path: PathBuf, key_path: PathBuf, is_in_memory: bool, pair: CertifiedKey) -> Self {
        let expiration = Gauge::default();
        expiration.set(expires(&pair.cert));
        Self { certificate_path, key_path, is_in_memory, current: ArcSwap::from_pointee(pair), expiration }
    }

    /// The certificate and key in use.
    pub(super) fn current(&self) -> Arc<CertifiedKey> {
        self.current.load_full()
    }

    /// Whether the certificate in use has this domain or, for lack of domains, this common name.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.current.load().cert.first().is_some_and(|leaf| names(leaf).iter().any(|own| own == name))
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
    pub async fn poll_files(&self) {
        if self.is_in_memory {
            return;
        }
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
    let provider = rustls::crypto::aws_lc_rs::default_provider();
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

/// The domains of a certificate; its common name if it has none.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let general = alternative.iter().flat_map(|extension| &extension.value.general_names);
    let domains: Vec<_> = general
        .filter_map(|name| match name {
            GeneralName::DNSName(domain) => Some(domain.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    if !domains.is_empty() {
        return domains;
    }
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    common.map(str::to_ascii_lowercase).collect()
}

/// When the first of these certificates expires, in seconds since 1970: from then on the chain is not valid.
/// Certificates that cannot be parsed are left out; if none can, 0 triggers the alert on expiration.
fn expires(chain: &[CertificateDer<'_>]) -> i64 {
    let readable = chain.iter().filter_map(|certificate| X509Certificate::from_der(certificate).ok());
    readable.map(|(_, certificate)| certificate.validity().not_after.timestamp()).min().unwrap_or_default()
}
