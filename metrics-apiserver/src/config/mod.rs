//! Flags and the configuration file: from what was typed to what can be served.
//!
//! Two steps each. `Flags` (as typed) → [`Options`] (checked); the file's tree (as written) → [`Config`] (checked).
//! A file's problems are listed all at once, each with its line, column and what to do.

mod backend;
mod base_url;
mod check;
mod duration;
mod file;
mod fingerprint;
mod flags;
mod options;
mod policies;
mod problem;
mod rules;
mod sample;
mod section;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::files;

pub use backend::{Backend, ClientCertificate, Credentials, Header};
pub use base_url::{BaseUrl, ParseUrlError};
pub use check::{Config, Files, check};
pub use duration::{ParseDurationError, parse_duration};
pub use fingerprint::Fingerprint;
pub use flags::{Flags, LogFormat, TlsVersion};
pub use options::{
    Authentication, Authorization, FlagErrors, Limits, LogLevel, Logging, Options, RequestHeader, Serving,
    Tracing,
};
pub use problem::{ConfigErrors, Place, Problem};
pub use sample::SampleRequest;

/// Reads and checks a configuration file and looks whether the files it names can be read.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    check(&read(path)?, &path.display().to_string(), &can_be_read)
}

/// Reads a configuration file, no more of it than one can have. Not from a pipe: a server must not wait for it.
pub fn read(path: &Path) -> Result<String, ConfigErrors> {
    text(path, files::open(path))
}

/// The same for a command that ends with it, and that may be given a pipe.
pub fn read_once(path: &Path) -> Result<String, ConfigErrors> {
    text(path, File::open(path))
}

fn text(path: &Path, opened: io::Result<File>) -> Result<String, ConfigErrors> {
    let (bound, name) = (file::MAX_FILE_BYTES + 1, path.display().to_string());
    let mut bytes = Vec::new();
    opened
        .and_then(|file| file.take(u64::try_from(bound).unwrap_or(u64::MAX)).read_to_end(&mut bytes))
        .map_err(|error| ConfigErrors::unreadable(&name, &error))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        // Too large, and cut within a character: the check tells.
        Err(error) if error.as_bytes().len() == bound => {
            Ok(String::from_utf8_lossy(error.as_bytes()).into_owned())
        }
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            Err(ConfigErrors::no_text(&name, &String::from_utf8_lossy(error.as_bytes()), valid))
        }
    }
}

/// Whether a file is there and readable, as a [`Files`].
pub fn can_be_read(path: &Path) -> io::Result<()> {
    files::open(path)?.read(&mut [0]).map(drop)
}
