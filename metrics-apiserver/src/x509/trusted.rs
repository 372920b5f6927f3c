//! A certificate that is in the bundle itself, not signed by a CA of it.
//!
//! `openssl req -x509` makes such certificates, with `CA:TRUE`. rustls refuses to take a CA for a server or a client,
//! while Go and OpenSSL accept exactly the configured certificate. Its own use is checked all the same.

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error};
use x509_parser::prelude::{ExtendedKeyUsage, FromDer, X509Certificate};

/// What a peer shows a certificate for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be a server.
    Server,
    /// To be a client.
    Client,
}

impl Purpose {
    fn is_in(self, usage: &ExtendedKeyUsage<'_>) -> bool {
        usage.any
            || match self {
                Self::Server => usage.server_auth,
                Self::Client => usage.client_auth,
            }
    }
}

/// Accepts a certificate of the bundle while it is valid, unless it says that it is for something else.
pub(crate) fn verify_trusted(
    certificate: &CertificateDer<'_>,
    purpose: Purpose,
    now: UnixTime,
) -> Result<(), Error> {
    // Refuses what rustls does not understand, such as unknown critical extensions.
    ParsedCertificate::try_from(certificate)?;
    Ok(check_use(certificate, purpose, now)?)
}

fn check_use(
    certificate: &CertificateDer<'_>,
    purpose: Purpose,
    now: UnixTime,
) -> Result<(), CertificateError> {
    let (_, certificate) =
        X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let validity = certificate.validity();
    // Times before 1970 are before any `now`.
    let seconds = |timestamp: i64| u64::try_from(timestamp).unwrap_or(0);
    if now.as_secs() < seconds(validity.not_before.timestamp()) {
        return Err(CertificateError::NotValidYet);
    }
    if now.as_secs() > seconds(validity.not_after.timestamp()) {
        return Err(CertificateError::Expired);
    }
    let usage = certificate.extended_key_usage().map_err(|_| CertificateError::BadEncoding)?;
    if usage.is_some_and(|usage| !purpose.is_in(usage.value)) {
        return Err(CertificateError::InvalidPurpose);
    }
    Ok(())
}
