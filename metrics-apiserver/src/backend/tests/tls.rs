//! Certificate authorities, client certificates and their replacement.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;

use super::server::Play;
use super::*;
use crate::backend::Identity;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    /// A server with a certificate of this authority, which asks for a client certificate of `clients`, if given.
    fn server(&self, clients: Option<&Self>) -> Arc<ServerConfig> {
        let (certificate, key) = self.issue();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.0.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Arc::new(builder.with_single_cert(chain, key).unwrap())
    }
}

struct Files {
    _dir: TempDir,
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new(authority: &Authority) -> Self {
        let dir = TempDir::new().unwrap();
        let path = |name: &str| dir.path().join(name);
        let files = Self { ca: path("ca.crt"), cert: path("tls.crt"), key: path("tls.key"), _dir: dir };
        files.write_ca(authority);
        files.write_identity(authority);
        files
    }

    fn write_ca(&self, authority: &Authority) {
        std::fs::write(&self.ca, authority.0.pem()).unwrap();
    }

    fn write_identity(&self, authority: &Authority) {
        let (certificate, key) = authority.issue();
        std::fs::write(&self.cert, certificate.pem()).unwrap();
        std::fs::write(&self.key, key.serialize_pem()).unwrap();
    }

    fn options(&self, server: &Server) -> Options {
        let identity = Identity { cert_file: self.cert.clone(), key_file: self.key.clone() };
        Options { ca_file: Some(self.ca.clone()), identity: Some(identity), ..options(server) }
    }
}

fn answering(config: Arc<ServerConfig>) -> Server {
    Server::tls(Play::Json(ANSWER.to_owned()), config)
}

#[tokio::test]
async fn a_server_of_the_configured_ca_is_trusted_and_no_other() {
    let (ours, other) = (Authority::new(), Authority::new());
    let files = Files::new(&ours);
    let server = answering(ours.server(None));
    let ca_only = Options { identity: None, ..files.options(&server) };
    assert_value(query(&backends(ca_only.clone()), "up").await, 42.0);
    let stranger = answering(other.server(None));
    let error =
        query(&backends(Options { urls: vec![url(&stranger.url)], ..ca_only }), "up").await.unwrap_err();
    assert!(
        matches!(&error, QueryError::Unavailable { detail } if detail.contains("certificate")),
        "{error:?}"
    );
    assert!(stranger.requests().is_empty());
}

#[tokio::test]
async fn the_client_certificate_is_shown() {
    let authority = Authority::new();
    let files = Files::new(&authority);
    let server = answering(authority.server(Some(&authority)));
    assert_value(query(&backends(files.options(&server)), "up").await, 42.0);
    let nameless = Options { identity: None, ..files.options(&server) };
    assert!(matches!(query(&backends(nameless), "up").await, Err(QueryError::Unavailable { .. })));
}

#[tokio::test]
async fn replaced_certificates_are_used_and_half_written_ones_are_not() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = Files::new(&old);
    let server = answering(old.server(Some(&old)));
    let backends = backends(files.options(&server));
    assert_value(query(&backends, "up").await, 42.0);

    let key = std::fs::read(&files.key).unwrap();
    std::fs::write(&files.key, &key[..key.len() / 2]).unwrap();
    files_settle(&backends).await;
    assert_value(query(&backends, "up").await, 42.0);

    std::fs::write(&files.key, Authority::new().issue().1.serialize_pem()).unwrap();
    files_settle(&backends).await;
    assert_value(query(&backends, "up").await, 42.0);

    let (first, second) = (new.0.pem(), old.0.pem());
    std::fs::write(&files.ca, format!("{first}{}", &second[..second.len() / 2])).unwrap();
    files_settle(&backends).await;
    assert_value(query(&backends, "up").await, 42.0);
    assert!(server.requests().iter().all(|request| request.connection == 0), "the old client stays");

    files.write_ca(&new);
    files.write_identity(&new);
    server.present(new.server(Some(&new)));
    files_settle(&backends).await;
    assert_value(query(&backends, "up").await, 42.0);
    assert_ne!(server.last().connection, 0);
}

#[test]
fn a_key_that_does_not_fit_its_certificate_is_refused_at_build() {
    let authority = Authority::new();
    let files = Files::new(&authority);
    std::fs::write(&files.key, authority.issue().1.serialize_pem()).unwrap();
    let server = Server::plain(Play::Hang);
    let refused = Backends::build(vec![(BackendName("default".into()), files.options(&server))]);
    assert!(refused.unwrap_err().source.to_string().contains("check caFile, certFile and keyFile"));
}
