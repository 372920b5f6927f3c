//! The flags of the serving certificate.

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, ValueEnum};

use super::ciphers::{self, CipherSuites};

/// The serving certificates, and the TLS versions and cipher suites accepted with them.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Serving")]
#[group(skip)]
pub struct Options {
    /// Serving certificate followed by its intermediates, PEM; reloaded when the file changes; without it, a
    /// self-signed certificate is served
    #[arg(long = "tls-cert-file", value_name = "FILE")]
    pub cert_file: Option<PathBuf>,
    /// Private key of the serving certificate, PEM; reloaded when the file changes
    #[arg(long = "tls-private-key-file", value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Directory of the self-signed certificate apiserver.crt and its key apiserver.key, which are created if they do
    /// not exist; empty keeps them in memory
    #[arg(long, value_name = "DIR", default_value = "apiserver.local.config/certificates")]
    #[arg(value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub cert_dir: PathBuf,
    /// Another serving certificate, for clients that ask for one of its domains; without domains, those of the
    /// certificate; repeatable
    #[arg(long = "tls-sni-cert-key", value_name = "CERT,KEY[:DOMAIN,…]")]
    pub sni: Vec<SniFiles>,
    /// Minimum TLS version; TLS 1.0 and 1.1 are not supported
    #[arg(long = "tls-min-version", value_name = "VERSION", default_value = "VersionTLS12")]
    pub min_version: MinVersion,
    /// Cipher suites of TLS 1.2 in Go's names; those that do not exist here are skipped; defaults to all
    #[arg(long = "tls-cipher-suites", value_name = "NAME,…", value_delimiter = ',')]
    pub cipher_suites: Vec<String>,
}

/// The minimum TLS version, in the flag's Go spelling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum MinVersion {
    /// Not supported: the minimum is TLS 1.2
    #[value(name = "VersionTLS10", hide = true)]
    Tls10,
    /// Not supported: the minimum is TLS 1.2
    #[value(name = "VersionTLS11", hide = true)]
    Tls11,
    /// TLS 1.2 and 1.3
    #[default]
    #[value(name = "VersionTLS12")]
    Tls12,
    /// TLS 1.3 only
    #[value(name = "VersionTLS13")]
    Tls13,
}

/// A certificate for some domains, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SniFiles {
    /// The certificate followed by its intermediates, PEM.
    pub cert_file: PathBuf,
    /// Its private key, PEM.
    pub key_file: PathBuf,
    /// The domains; `*.` stands for one label. Empty for those of the certificate.
    pub domains: Vec<String>,
}

impl FromStr for SniFiles {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (files, domains) = text.split_once(':').unwrap_or((text, ""));
        match files.split_once(',') {
            Some((cert, key)) if !cert.is_empty() && !key.is_empty() && !key.contains(',') => Ok(Self {
                cert_file: cert.into(),
                key_file: key.into(),
                domains: domains
                    .split(',')
                    .filter(|domain| !domain.is_empty())
                    .map(str::to_ascii_lowercase)
                    .collect(),
            }),
            _ => Err("expected the files of a certificate and its key, separated by a comma"),
        }
    }
}

impl Options {
    /// Every flag that is missing or invalid.
    pub fn errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if self.cert_file.is_some() != self.key_file.is_some() {
            errors.push("--tls-cert-file and --tls-private-key-file must be given together".to_owned());
        }
        let suites = CipherSuites::parse(&self.cipher_suites);
        errors.extend(suites.unknown.iter().map(|name| {
            format!(
                "--tls-cipher-suites: {name:?} is not the name of a cipher suite, such as {}",
                ciphers::EXAMPLE
            )
        }));
        if suites.unknown.is_empty() && !suites.skipped.is_empty() && suites.kept.is_empty() {
            errors.push(format!(
                "--tls-cipher-suites: none of these cipher suites is supported; add {}",
                ciphers::EXAMPLE
            ));
        }
        errors
    }

    /// Every value that has no effect.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if matches!(self.min_version, MinVersion::Tls10 | MinVersion::Tls11) {
            warnings
                .push("--tls-min-version: TLS 1.0 and 1.1 are not supported; the minimum is 1.2".to_owned());
        }
        let skipped = CipherSuites::parse(&self.cipher_suites).skipped;
        if !skipped.is_empty() {
            let skipped = skipped.join(", ");
            warnings.push(format!("--tls-cipher-suites: these are not supported and are skipped: {skipped}"));
        }
        warnings
    }
}
