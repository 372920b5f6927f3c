//! The files that flags and the configuration name, which may be replaced while the server runs.
//!
//! Only regular files are opened: opening a pipe without a writer blocks until there is one, and no file would be read
//! again.

mod watched;

pub(crate) use watched::{Contents, WatchedFiles};
#[cfg(test)]
pub(crate) use watched::{DEBOUNCE, POLL_INTERVAL};

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The largest file with certificates, a key, a token or a password. A bundle of all public CAs is 200 KiB.
pub(crate) const CREDENTIAL_BYTES_MAX: u64 = 4 << 20;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
pub struct ReadError {
    /// The file.
    pub(crate) path: PathBuf,
    /// What the system says, or that the file is not a regular one, or too large.
    pub(crate) source: io::Error,
}

/// Opens a regular file, following symbolic links.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // The check goes by name because opening is what blocks.
    if fs::metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(io::Error::other("is not a regular file"))
    }
}

/// The content of a file of at most `bytes_max` bytes.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, ReadError> {
    let mut content = Vec::new();
    let read = open(path).and_then(|file| file.take(bytes_max + 1).read_to_end(&mut content));
    let is_too_large = content.len() as u64 > bytes_max;
    let read = read.and_then(|_| {
        if is_too_large {
            Err(io::Error::other(format!("is larger than {bytes_max} bytes")))
        } else {
            Ok(content)
        }
    });
    read.map_err(|source| ReadError { path: path.to_owned(), source })
}
