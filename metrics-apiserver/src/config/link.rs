//! Linking: what the check leaves to the world outside, and reading the file itself. The only I/O of this room.
//!
//! [`link`] takes the outcome of the check, a failure included: the files that a rejected configuration names are
//! opened as well, so that every problem is listed at once.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::check::{Checked, Config, check_with};
use super::default_backend::DefaultBackend;
use super::problem::{NamedFile, Problem, Problems};
use super::source::Source;
use super::yaml::MAX_FILE_BYTES;
use crate::files;

/// Reads, checks and links a configuration file beside the backend that flags define.
pub fn load(path: &Path, default: Option<&DefaultBackend>) -> Result<Config, Problems> {
    link(check_with(read(path)?, default))
}

/// Opens the files that a checked configuration names: all of them must be readable, or nothing is served.
pub fn link(checked: Result<Checked, Problems>) -> Result<Config, Problems> {
    match checked {
        Ok(Checked { config, source, files }) => match unreadable(&files) {
            problems if problems.is_empty() => Ok(config),
            problems => Err(Problems::new(source, problems, files)),
        },
        Err(Problems { source, mut list, files }) => {
            list.extend(unreadable(&files));
            Err(Problems::new(source, list, files))
        }
    }
}

fn unreadable(files: &[NamedFile]) -> Vec<Problem> {
    let is_unreadable = |file: &NamedFile| {
        let error = files::open(&file.path).and_then(|mut open| open.read(&mut [0])).err()?;
        let message = format!("cannot read the file {}: {error}", file.path.display());
        let problem = Problem::new(file.key.clone(), file.place, message);
        Some(problem.help("check that it is mounted and readable"))
    };
    files.iter().filter_map(is_unreadable).collect()
}

/// Reads a configuration file, up to the size limit. Only a regular file: opening a pipe could block the server.
pub fn read(path: &Path) -> Result<Source, Problems> {
    source(path, files::open(path))
}

/// Reads a configuration file of any kind, such as a pipe; for commands that read it once.
pub fn read_once(path: &Path) -> Result<Source, Problems> {
    source(path, File::open(path))
}

fn source(path: &Path, opened: io::Result<File>) -> Result<Source, Problems> {
    let (bound, name) = (MAX_FILE_BYTES + 1, path.display().to_string());
    let mut bytes = Vec::new();
    opened
        .and_then(|file| file.take(u64::try_from(bound).unwrap_or(u64::MAX)).read_to_end(&mut bytes))
        .map_err(|error| Problems::unreadable(&name, &error))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source { name, text }),
        // Too large, and truncated within a character: the check reports the size.
        Err(error) if error.as_bytes().len() == bound => {
            Ok(Source { name, text: String::from_utf8_lossy(error.as_bytes()).into_owned() })
        }
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            Err(Problems::not_utf8(Source { name, text }, valid))
        }
    }
}
