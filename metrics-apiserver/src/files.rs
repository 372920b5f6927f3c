//! Opening the files that flags and the configuration name, which are read while the server runs.
//!
//! Only regular files: a pipe without a writer would make whoever opens it wait for ever, and nothing would be read again.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// Opens a file for reading, behind symbolic links too.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Asked by name, for opening is what waits.
    if fs::metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(io::Error::other("is not a regular file"))
    }
}

/// The whole content of a file.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open(path)?.read_to_end(&mut content)?;
    Ok(content)
}
