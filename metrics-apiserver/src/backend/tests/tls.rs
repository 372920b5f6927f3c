//! Certificate authorities, client certificates and their replacement.

use std::path::PathBuf;

use rcgen::ExtendedKeyUsagePurpose;
use rustls::ServerConfig;
use tempfile::TempDir;

use super::*;
use crate::backend::{FileOrData, Identity, Secret, ServerName};
use crate::testkit::{Ca, Wanted};

fn authority() -> Ca {
    Ca::new("backend")
}

struct Files {
    _dir: TempDir,
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new(authority: &Ca) -> Self {
        let dir = TempDir::new().unwrap();
        let path = |name: &str| dir.path().join(name);
        let files = Self { ca: path("ca.crt"), cert: path("tls.crt"), key: path("tls.key"), _dir: dir };
        files.write_ca(authority);
        files.write_identity(authority);
        files
    }

    fn write_ca(&self, authority: &Ca) {
        std::fs::write(&self.ca, authority.pem()).unwrap();
    }

    fn write_identity(&self, authority: &Ca) {
        authority.issue(&Wanted::default()).write(&self.cert, &self.key);
    }

    fn options(&self, server: &Server) -> Options {
        let identity = Identity { cert: self.cert.clone().into(), key: self.key.clone().into() };
        Options { ca: Some(self.ca.clone().into()), identity: Some(identity), ..options(server) }
    }
}

fn answering(config: Arc<ServerConfig>) -> Server {
    Server::tls(Play::json(200, ANSWER), config)
}

#[tokio::test]
async fn a_server_of_the_configured_ca_is_trusted_and_no_other() {
    let (ours, other) = (authority(), authority());
    let files = Files::new(&ours);
    let server = answering(ours.server_config(None));
    let ca_only = Options { identity: None, ..files.options(&server) };
    assert_value(query(&backends(ca_only.clone()), "up").await, 42.0);
    let stranger = answering(other.server_config(None));
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
    let authority = authority();
    let files = Files::new(&authority);
    let server = answering(authority.server_config(Some(&authority)));
    assert_value(query(&backends(files.options(&server)), "up").await, 42.0);
    let nameless = Options { identity: None, ..files.options(&server) };
    assert!(matches!(query(&backends(nameless), "up").await, Err(QueryError::Unavailable { .. })));
}

#[tokio::test]
async fn replaced_certificates_are_used_and_half_written_ones_are_not() {
    let (old, new) = (authority(), authority());
    let files = Files::new(&old);
    let server = answering(old.server_config(Some(&old)));
    let backends = backends(files.options(&server));
    assert_value(query(&backends, "up").await, 42.0);

    let key = std::fs::read(&files.key).unwrap();
    std::fs::write(&files.key, &key[..key.len() / 2]).unwrap();
    files_settle(&backends).await;
    assert_value(query(&backends, "up").await, 42.0);

    std::fs::write(&files.key, authority().issue(&Wanted::default()).key.serialize_pem()).unwrap();
    files_settle(&backends).await;
    assert_value(query(&backends, "up").await, 42.0);

    let (first, second) = (new.pem(), old.pem());
    std::fs::write(&files.ca, format!("{first}{}", &second[..second.len() / 2])).unwrap();
    files_settle(&backends).await;
    assert_value(query(&backends, "up").await, 42.0);
    assert!(server.requests().iter().all(|request| request.connection == 0), "the old client stays");

    files.write_ca(&new);
    files.write_identity(&new);
    server.present(new.server_config(Some(&new)));
    files_settle(&backends).await;
    assert_value(query(&backends, "up").await, 42.0);
    assert_ne!(server.last().connection, 0);
}

#[test]
fn a_key_that_does_not_fit_its_certificate_is_refused_at_build() {
    let authority = authority();
    let files = Files::new(&authority);
    std::fs::write(&files.key, authority.issue(&Wanted::default()).key.serialize_pem()).unwrap();
    let server = Server::plain(Play::Hang);
    let refused = Backends::build(vec![(BackendName("default".into()), files.options(&server))]);
    assert!(refused.unwrap_err().source.to_string().contains("check caFile, certFile and keyFile"));
}

#[tokio::test]
async fn a_certificate_with_another_name_is_accepted_if_it_is_expected() {
    let authority = authority();
    let files = Files::new(&authority);
    let server = answering(authority.server_config(Some(&authority)));
    let urls = vec![url(&server.url.replace("localhost", "127.0.0.1"))];
    let named = |name: Option<&str>| Options {
        urls: urls.clone(),
        server_name: name.map(|name| ServerName::parse(name).unwrap()),
        ..files.options(&server)
    };
    for name in [None, Some("elsewhere.example")] {
        assert!(matches!(query(&backends(named(name)), "up").await, Err(QueryError::Unavailable { .. })));
    }
    assert_value(query(&backends(named(Some("localhost"))), "up").await, 42.0);
}

/// `openssl req -x509` makes such a certificate.
#[tokio::test]
async fn a_self_signed_server_whose_certificate_is_the_ca_file_is_trusted() {
    let server = answering(Ca::for_localhost("prometheus").own_server_config());
    let files = Files::new(&authority());
    let ca_only = Options { identity: None, ..files.options(&server) };
    assert!(query(&backends(ca_only.clone()), "up").await.is_err());

    let ours = Ca::for_localhost("prometheus");
    files.write_ca(&ours);
    let server = answering(ours.own_server_config());
    let ca_only = Options { urls: vec![url(&server.url)], ..ca_only };
    assert_value(query(&backends(ca_only.clone()), "up").await, 42.0);
    let named = Options { server_name: ServerName::parse("elsewhere.example").ok(), ..ca_only };
    let error = query(&backends(named), "up").await.unwrap_err();
    assert!(format!("{error:?}").contains("not valid for name"), "{error:?}");
}

#[tokio::test]
async fn a_spiffe_id_is_the_only_uri_of_the_certificate_of_a_known_ca() {
    const ID: &str = "spiffe://cluster.local/ns/monitoring/sa/prometheus";
    const OTHER: &str = "spiffe://cluster.local/ns/shop/sa/default";
    let (ours, other) = (authority(), authority());
    let files = Files::new(&ours);
    let wanted = |uris| Wanted { uris, usage: ExtendedKeyUsagePurpose::ServerAuth, ..Wanted::default() };
    for (ca, uris, is_accepted) in [
        (&ours, &[ID][..], true),
        (&ours, &[OTHER], false),
        (&ours, &[ID, OTHER], false),
        (&ours, &[], false),
        (&other, &[ID], false),
    ] {
        let server = answering(ca.issue(&wanted(uris)).server_config(None));
        let server_name = ServerName::parse(ID).ok();
        let options = Options { identity: None, server_name, ..files.options(&server) };
        match query(&backends(options), "up").await {
            Ok(reading) => assert!(is_accepted, "{uris:?} {reading:?}"),
            Err(error) => assert!(!is_accepted, "{uris:?} {error:?}"),
        }
    }
}

#[tokio::test]
async fn an_expired_certificate_is_refused_for_any_expected_name() {
    const ID: &str = "spiffe://cluster.local/ns/monitoring/sa/prometheus";
    let authority = authority();
    let files = Files::new(&authority);
    for (uris, name) in [(&[ID][..], ID), (&[], "localhost")] {
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        let expired = authority.issue(&Wanted { uris, usage, lifetime: -60, ..Wanted::default() });
        let server = answering(expired.server_config(None));
        let server_name = ServerName::parse(name).ok();
        let options = Options { identity: None, server_name, ..files.options(&server) };
        let error = query(&backends(options), "up").await.unwrap_err();
        assert!(error.detail().contains("xpired"), "{error:?}");
    }
}

#[tokio::test]
async fn an_unknown_ca_is_accepted_if_verification_is_off() {
    let server = answering(authority().server_config(None));
    let strict = options(&server);
    assert!(query(&backends(strict.clone()), "up").await.is_err());
    let lax = Options { insecure_skip_tls_verify: true, ..strict };
    assert_value(query(&backends(lax), "up").await, 42.0);
}

#[tokio::test]
async fn a_server_may_have_an_ipv6_address() {
    let authority = authority();
    let files = Files::new(&authority);
    for tls in [None, Some(authority.server_config(None))] {
        let Some(server) = Server::ipv6(Play::json(200, ANSWER), tls) else { return };
        assert!(server.url.contains("://[::1]:"), "{}", server.url);
        let options = Options { identity: None, ..files.options(&server) };
        assert_value(query(&backends(options), "up").await, 42.0);
    }
}

#[tokio::test]
async fn certificates_may_be_data_and_files() {
    let authority = authority();
    let files = Files::new(&authority);
    let server = answering(authority.server_config(Some(&authority)));
    let data = |path: &PathBuf| FileOrData::Data(Secret(std::fs::read(path).unwrap()));
    let identity = Identity { cert: files.cert.clone().into(), key: data(&files.key) };
    let options = Options { ca: Some(data(&files.ca)), identity: Some(identity), ..options(&server) };
    assert_value(query(&backends(options), "up").await, 42.0);
}
