//! The self-signed certificate that is served when no certificate is configured, as Go's API servers do.
//!
//! Nobody can verify it: the `APIService` must have `insecureSkipTLSVerify`. It has the names that Go gives it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};

/// The file names in the directory of certificates.
const CERT_FILE: &str = "apiserver.crt";
const KEY_FILE: &str = "apiserver.key";

/// Nothing replaces it while the server runs, and nobody checks when it expires.
const LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// The clocks of clients may be behind.
const CLOCK_SKEW: Duration = Duration::from_secs(3600);

/// A certificate and its key, PEM. Not `Debug`: the key is a secret.
pub(super) struct Generated {
    pub(super) cert: String,
    pub(super) key: String,
}

/// A new self-signed certificate for localhost.
pub(super) fn generate() -> Result<Generated, rcgen::Error> {
    let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = date_time_ymd(1970, 1, 1) + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (params.not_before, params.not_after) = (now - CLOCK_SKEW, now + LIFETIME);
    let key = KeyPair::generate()?;
    let cert = params.self_signed(&key)?;
    Ok(Generated { cert: cert.pem(), key: key.serialize_pem() })
}

/// The paths of the certificate and its key in this directory.
pub(super) fn paths(dir: &Path) -> (PathBuf, PathBuf) {
    (dir.join(CERT_FILE), dir.join(KEY_FILE))
}

/// Writes both files, and never replaces one: it may be somebody else's.
pub(super) fn write(generated: &Generated, dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let (cert, key) = paths(dir);
    write_new(&key, &generated.key, 0o600)?;
    write_new(&cert, &generated.cert, 0o644)
}

fn write_new(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}
