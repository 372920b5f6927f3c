//! A certificate authority, and the certificates that it issues.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256, SanType, SignatureAlgorithm, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// A certificate authority.
pub(crate) struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Of its own key, and of the keys that it signs.
    algorithm: &'static SignatureAlgorithm,
}

/// The contents of a certificate.
pub(crate) struct Wanted {
    pub(crate) cn: &'static str,
    /// At most two, as rcgen keeps one attribute per type.
    pub(crate) organizations: &'static [&'static str],
    pub(crate) uid: Option<&'static str>,
    /// Hosts in place of `localhost`.
    pub(crate) hosts: &'static [&'static str],
    /// URIs in place of the name `localhost`.
    pub(crate) uris: &'static [&'static str],
    pub(crate) usage: ExtendedKeyUsagePurpose,
    /// Seconds from now until it expires.
    pub(crate) lifetime: i64,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            cn: "",
            organizations: &[],
            uid: None,
            hosts: &[],
            uris: &[],
            usage: ExtendedKeyUsagePurpose::ClientAuth,
            lifetime: 3600,
        }
    }
}

/// A certificate with its key.
pub(crate) struct Issued {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) pem: String,
    pub(crate) key: KeyPair,
}

impl Issued {
    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }

    /// Writes the certificate and its key to files, as PEM.
    pub(crate) fn write(&self, certificate: &Path, key: &Path) {
        std::fs::write(certificate, &self.pem).unwrap();
        std::fs::write(key, self.key.serialize_pem()).unwrap();
    }
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        Self::with(name, |_| {})
    }

    /// One that is itself the certificate of a server on localhost.
    pub(crate) fn for_localhost(name: &str) -> Self {
        let names = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().subject_alt_names;
        Self::with(name, |params| params.subject_alt_names = names)
    }

    /// The same with changes to the authority's own certificate.
    pub(crate) fn with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = ca_params(name);
        change(&mut params);
        Self::self_signed(params, &PKCS_ECDSA_P256_SHA256)
    }

    /// An authority with keys and signatures of this algorithm.
    pub(crate) fn with_algorithm(name: &str, algorithm: &'static SignatureAlgorithm) -> Self {
        Self::self_signed(ca_params(name), algorithm)
    }

    fn self_signed(params: CertificateParams, algorithm: &'static SignatureAlgorithm) -> Self {
        let key = KeyPair::generate_for(algorithm).unwrap();
        Self { issuer: CertifiedIssuer::self_signed(params, key).unwrap(), algorithm }
    }

    /// An authority below this one.
    pub(crate) fn intermediate(&self, name: &str) -> Self {
        let key = KeyPair::generate_for(self.algorithm).unwrap();
        let issuer = CertifiedIssuer::signed_by(ca_params(name), key, &self.issuer).unwrap();
        Self { issuer, algorithm: self.algorithm }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    pub(crate) fn issue(&self, wanted: &Wanted) -> Issued {
        let hosts = if wanted.hosts.is_empty() { &["localhost", "::1"] } else { wanted.hosts };
        let hosts: Vec<_> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        if !wanted.uris.is_empty() {
            let uri = |uri: &&str| SanType::URI((*uri).try_into().unwrap());
            params.subject_alt_names = wanted.uris.iter().map(uri).collect();
        }
        let mut name = rcgen::DistinguishedName::new();
        if !wanted.cn.is_empty() {
            name.push(DnType::CommonName, wanted.cn);
        }
        let organization = [DnType::OrganizationName, DnType::CustomDnType(vec![2, 5, 4, 10])];
        for (kind, organization) in organization.into_iter().zip(wanted.organizations) {
            name.push(kind, *organization);
        }
        if let Some(uid) = wanted.uid {
            name.push(DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 57683, 2]), uid);
        }
        params.distinguished_name = name;
        params.extended_key_usages = vec![wanted.usage.clone()];
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = date_time_ymd(1970, 1, 1) + now;
        params.not_before = now - Duration::from_secs(7200);
        params.not_after = if wanted.lifetime < 0 {
            now - Duration::from_secs(wanted.lifetime.unsigned_abs())
        } else {
            now + Duration::from_secs(wanted.lifetime.unsigned_abs())
        };
        let key = KeyPair::generate_for(self.algorithm).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued { chain: vec![certificate.der().clone()], pem: certificate.pem(), key }
    }

    /// The chain of a valid client certificate.
    pub(crate) fn client(&self, cn: &'static str) -> Vec<CertificateDer<'static>> {
        self.issue(&Wanted { cn, ..Wanted::default() }).chain
    }

    /// A valid server certificate for localhost.
    pub(crate) fn serving(&self) -> Issued {
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        self.issue(&Wanted { cn: "server", usage, ..Wanted::default() })
    }

    /// A trust store with this authority only.
    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der()).unwrap();
        roots
    }

    /// The configuration of a server that presents the authority's own certificate.
    pub(crate) fn own_server_config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let key = PrivateKeyDer::try_from(self.issuer.key().serialize_der()).unwrap();
        Arc::new(builder.with_single_cert(vec![self.der()], key).unwrap())
    }

    /// The configuration of a server with a certificate of this authority. It requires a client certificate of
    /// `clients`, if given.
    pub(crate) fn server_config(&self, clients: Option<&Self>) -> Arc<ServerConfig> {
        self.serving().server_config(clients)
    }
}

impl Issued {
    /// The configuration of a server with this certificate.
    pub(crate) fn server_config(&self, clients: Option<&Ca>) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let roots = Arc::new(clients.roots());
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        Arc::new(builder.with_single_cert(self.chain.clone(), self.private_key()).unwrap())
    }
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
