//! The certificate metrics-apiserver serves with, and the kustomization that installs it beside an overlay.
//!
//! kube-apiserver verifies the name `<service>.<namespace>.svc` against the `caBundle` of the `APIService`. Each
//! certificate gets a CA of its own whose key is forgotten at once: a key that does not exist cannot leak, and a
//! rotation makes a new CA. While the pods pick the new certificate up, the bundle holds the old CA beside the new one.

mod issue;
mod kustomization;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

/// The longest validity: beyond ten years nobody would remember how to rotate.
pub const VALIDITY_MAX: Duration = Duration::from_secs(10 * 365 * DAY_SECS);

const DAY_SECS: u64 = 24 * 60 * 60;

/// The longest name of a Service or a Namespace (RFC 1123 label).
const NAME_LENGTH_MAX: usize = 63;

/// What is to be made.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The Service that the `APIService` names.
    pub service: &'a str,
    /// The Service's namespace; the Secret goes there too.
    pub namespace: &'a str,
    /// How long the certificate and its CA are valid, from now.
    pub validity: Duration,
    /// Where `ca.crt`, `tls.crt`, `tls.key` and `kustomization.yaml` go. Made if absent.
    pub out_dir: &'a Path,
    /// What to install the certificate with; without it, no kustomization is written.
    pub overlay: Option<Overlay<'a>>,
    /// Replace a certificate that is still valid.
    pub force: bool,
}

/// The manifests that the generated kustomization builds on.
#[derive(Debug, Clone, Copy)]
pub struct Overlay<'a> {
    /// A kustomize directory with the `APIService` in it.
    pub directory: &'a Path,
    /// Another port for the `APIService` than the manifests name: the testbed's server listens where there is room.
    pub api_service_port: Option<u16>,
}

/// What lies in the output directory afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServingCertificate {
    /// PEM bundle for `caBundle`: the CA, and after a rotation the one before it.
    pub ca_file: PathBuf,
    /// PEM serving certificate.
    pub certificate_file: PathBuf,
    /// PEM private key, readable by its owner only.
    pub key_file: PathBuf,
    /// When the certificate stops being valid.
    pub expires: Timestamp,
    /// Whether a certificate that was there before has been kept.
    pub kept: bool,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name that can be no Service or Namespace.
    #[error("`{0}` is no name of a service or namespace: use lower-case letters, digits and inner hyphens")]
    Name(String),
    /// Nothing, or longer than [`VALIDITY_MAX`].
    #[error("a validity of {} days is out of range: choose 1 to {}", days(*.0), days(VALIDITY_MAX))]
    Validity(Duration),
    /// The directory holds a valid certificate for something else.
    #[error("{path} is valid but not for {wanted}: choose another output directory, or replace it (--force)")]
    OtherName {
        /// The certificate found.
        path: PathBuf,
        /// The name asked for.
        wanted: String,
    },
    /// What lies there is not a certificate.
    #[error("{path} holds no certificate: remove it, or replace it (--force)")]
    NoCertificate {
        /// The file found.
        path: PathBuf,
    },
    /// What is to be installed with the certificate cannot be.
    #[error("{0} is no kustomize directory: no kustomization.yaml in it")]
    Overlay(PathBuf),
    /// Reading or writing.
    #[error("cannot use {path}")]
    File {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The certificate could not be signed.
    #[error("cannot sign the certificate")]
    Sign(#[from] rcgen::Error),
}

/// Makes the certificate and its kustomization, or keeps a certificate that is still valid (and rewrites only the
/// kustomization).
pub fn generate(request: &Request<'_>) -> Result<ServingCertificate, Error> {
    check(request)?;
    let out = request.out_dir;
    fs::create_dir_all(out).map_err(at(out))?;
    let [ca_file, certificate_file, key_file] = ["ca.crt", "tls.crt", "tls.key"].map(|name| out.join(name));
    let now = Timestamp::now();
    let old = if request.force { None } else { still_valid(&certificate_file, &key_file, request, now)? };
    let (expires, kept) = match old {
        Some(expires) => (expires, true),
        None => (replace(&ca_file, &certificate_file, &key_file, request, now)?, false),
    };
    if let Some(overlay) = &request.overlay {
        let bundle = fs::read(&ca_file).map_err(at(&ca_file))?;
        let text = kustomization::render(out, overlay, request.namespace, &bundle)?;
        write(&out.join("kustomization.yaml"), text.as_bytes())?;
    }
    Ok(ServingCertificate { ca_file, certificate_file, key_file, expires, kept })
}

fn check(request: &Request<'_>) -> Result<(), Error> {
    if let Some(name) = [request.service, request.namespace].into_iter().find(|name| !is_name(name)) {
        return Err(Error::Name(name.to_owned()));
    }
    if request.validity.is_zero() || request.validity > VALIDITY_MAX {
        return Err(Error::Validity(request.validity));
    }
    match request.overlay {
        Some(overlay) if !is_kustomize_directory(overlay.directory) => {
            Err(Error::Overlay(overlay.directory.to_owned()))
        }
        _ => Ok(()),
    }
}

fn is_kustomize_directory(directory: &Path) -> bool {
    ["kustomization.yaml", "kustomization.yml", "Kustomization"]
        .iter()
        .any(|name| directory.join(name).is_file())
}

/// When the certificate in the directory expires, if it is one to keep.
fn still_valid(
    certificate_file: &Path,
    key_file: &Path,
    request: &Request<'_>,
    now: Timestamp,
) -> Result<Option<Timestamp>, Error> {
    let Some(pem) = read_if_there(certificate_file)?.filter(|_| key_file.exists()) else { return Ok(None) };
    let found =
        issue::read(&pem).ok_or_else(|| Error::NoCertificate { path: certificate_file.to_owned() })?;
    let wanted = issue::host_name(request);
    match found.expires > now {
        false => Ok(None),
        true if found.names.contains(&wanted) => Ok(Some(found.expires)),
        true => Err(Error::OtherName { path: certificate_file.to_owned(), wanted }),
    }
}

/// Signs and writes. The certificate goes first and comes last: whatever stops this half-way, no certificate is left
/// beside a key that is not its own.
fn replace(
    ca_file: &Path,
    certificate_file: &Path,
    key_file: &Path,
    request: &Request<'_>,
    now: Timestamp,
) -> Result<Timestamp, Error> {
    let issued = issue::issue(request, now)?;
    let old_ca = read_if_there(ca_file)?.and_then(|bundle| issue::valid_first(&bundle, now));
    match fs::remove_file(certificate_file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(certificate_file)(error)),
        _ => {}
    }
    write_private(key_file, issued.key_pem.as_bytes())?;
    write(ca_file, (issued.ca_pem + old_ca.as_deref().unwrap_or_default()).as_bytes())?;
    write(certificate_file, issued.certificate_pem.as_bytes())?;
    Ok(issued.expires)
}

fn read_if_there(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(at(path))
}

/// Writes through a temporary file, which is its owner's alone (0600) from its first byte.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(at(directory))?;
    file.write_all(bytes).map_err(at(path))?;
    file.persist(path).map_err(|error| at(path)(error.error))?;
    Ok(())
}

/// Whether it is an RFC 1123 label.
fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}

fn days(validity: Duration) -> u64 {
    validity.as_secs() / DAY_SECS
}
