//! Certificate authorities and the certificates they sign.
//!
//! Three separate authorities, as a careful cluster has them: the cluster's, which vouches for people and components;
//! the request-header one, which vouches for kube-apiserver as a front proxy; and the one of our serving certificate.

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// A certificate authority that lives as long as this value; its key is never written down.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its private key, both as PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its private key, PKCS #8.
    pub key: String,
}

/// A certificate and its private key in files.
#[derive(Clone, Debug)]
pub struct IdentityFiles {
    /// The certificate's file.
    pub certificate: PathBuf,
    /// The private key's file.
    pub key: PathBuf,
}

impl Authority {
    /// A new authority with this common name.
    pub fn new(common_name: &str) -> Result<Self> {
        let mut params = params(common_name, None, GOOD_UNTIL)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self { issuer })
    }

    /// The authority's own certificate as PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A client certificate: to Kubernetes the common name is the user and the organization a group.
    pub fn client(&self, user: &str, group: Option<&str>) -> Result<Identity> {
        self.sign(params(user, group, GOOD_UNTIL)?, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A client certificate whose time is over.
    pub fn expired_client(&self, user: &str, group: Option<&str>) -> Result<Identity> {
        self.sign(params(user, group, ENDED)?, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A serving certificate for these DNS names and IP addresses; the first is also the common name.
    pub fn server(&self, names: &[&str]) -> Result<Identity> {
        let mut params = params(names.first().copied().unwrap_or_default(), None, GOOD_UNTIL)?;
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn sign(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Result<Identity> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate: Certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

impl Identity {
    /// Writes `<name>.crt` and `<name>.key` into `dir`.
    pub fn write(&self, dir: &Path, name: &str) -> Result<IdentityFiles> {
        let files = IdentityFiles {
            certificate: dir.join(format!("{name}.crt")),
            key: dir.join(format!("{name}.key")),
        };
        write(&files.certificate, &self.certificate)?;
        write(&files.key, &self.key)?;
        Ok(files)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("certificate", &self.certificate)
            .field("key", &"[redacted]")
            .finish()
    }
}

/// A key pair for signing tokens: `<name>.key` and `<name>.pub` in `dir`.
pub fn write_token_keys(dir: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
    let pair = KeyPair::generate()?;
    let (key, public) = (dir.join(format!("{name}.key")), dir.join(format!("{name}.pub")));
    write(&key, &pair.serialize_pem())?;
    write(&public, &pair.public_key_pem())?;
    Ok((key, public))
}

/// Writes a file that only its owner may read, naming it when that fails. Whoever reads it meanwhile, or writes it too,
/// gets one text or the other, whole.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    let dir = path.parent().context("a file lies in a folder")?;
    let whole = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(text.as_bytes())?;
        file.persist(path)?;
        Ok(())
    };
    whole().with_context(|| format!("writing {}", path.display()))
}

/// The year in which good certificates end, and the one in which expired ones ended.
const GOOD_UNTIL: i32 = 2100;
const ENDED: i32 = 2021;

fn params(common_name: &str, group: Option<&str>, until: i32) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_written_anew_is_never_seen_half() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text");
        let texts = ["a".repeat(100_000), "b".repeat(100_000)];
        write(&path, &texts[0]).unwrap();
        std::thread::scope(|scope| {
            for text in &texts {
                scope.spawn(|| (0..100).for_each(|_| write(&path, text).unwrap()));
            }
            for _ in 0..200 {
                assert!(texts.contains(&std::fs::read_to_string(&path).unwrap()));
            }
        });
    }
}
