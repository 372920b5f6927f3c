//! The flags of the serving certificate.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, ValueEnum};

/// The serving certificate, and the TLS versions accepted with it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Serving")]
#[group(skip)]
pub struct Options {
    /// Serving certificate followed by its intermediates, PEM; required; reloaded when the file changes
    #[arg(long = "tls-cert-file", value_name = "FILE", default_value = "", hide_default_value = true)]
    #[arg(value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub cert_file: PathBuf,
    /// Private key of the serving certificate, PEM; required; reloaded when the file changes
    #[arg(long = "tls-private-key-file", value_name = "FILE", default_value = "", hide_default_value = true)]
    #[arg(value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub key_file: PathBuf,
    /// Minimum TLS version
    #[arg(long = "tls-min-version", value_name = "VERSION", default_value = "VersionTLS12")]
    pub min_version: MinVersion,
}

/// The minimum TLS version, in the flag's Go spelling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum MinVersion {
    /// TLS 1.2 and 1.3
    #[default]
    #[value(name = "VersionTLS12")]
    Tls12,
    /// TLS 1.3 only
    #[value(name = "VersionTLS13")]
    Tls13,
}

impl Options {
    /// Every flag that is missing.
    pub fn errors(&self) -> Vec<String> {
        [("tls-cert-file", &self.cert_file), ("tls-private-key-file", &self.key_file)]
            .iter()
            .filter(|(_, file)| file.as_os_str().is_empty())
            .map(|(flag, _)| format!("--{flag} is required"))
            .collect()
    }
}
