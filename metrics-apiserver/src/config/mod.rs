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

use std::fs;
use std::io::{self, Read};
use std::path::Path;

pub use backend::{Backend, ClientCertificate, Credentials, Header};
pub use base_url::{BaseUrl, ParseUrlError};
pub use check::{Config, Files, check};
pub use duration::{ParseDurationError, parse_duration};
pub use fingerprint::Fingerprint;
pub use flags::{Flags, LogFormat, TlsVersion};
pub use options::{
    Authentication, Authorization, FlagErrors, Limits, LogLevel, Logging, Options, RequestHeader, Serving,
};
pub use problem::{ConfigErrors, Place, Problem};
pub use sample::SampleRequest;

/// Reads and checks a configuration file and looks whether the files it names can be read.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    check(&read(path)?, &path.display().to_string(), &can_be_read)
}

/// Reads a configuration file, no more of it than one can have.
pub fn read(path: &Path) -> Result<String, ConfigErrors> {
    let bound = u64::try_from(file::MAX_FILE_BYTES).unwrap_or(u64::MAX) + 1;
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(bound).read_to_string(&mut text));
    read.map(|_| text).map_err(|error| ConfigErrors::unreadable(&path.display().to_string(), &error))
}

/// Whether a file is there and readable, as a [`Files`].
pub fn can_be_read(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.read(&mut [0]).map(drop)
}
