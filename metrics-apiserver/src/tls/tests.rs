//! Handshakes in memory, with certificates made on the spot.

use std::io;
use std::path::PathBuf;

use prometheus_client::registry::Registry;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
use tempfile::TempDir;

use super::handshake::Cause;
use super::*;
use crate::testkit::{Ca, Issued, Wanted, scrape};

/// A serving certificate in files.
struct Rig {
    ca: Ca,
    files: TempDir,
}

impl Rig {
    fn new() -> Self {
        let rig = Self { ca: Ca::new("serving"), files: tempfile::tempdir().unwrap() };
        rig.write(&rig.issue());
        rig
    }

    fn issue(&self) -> Issued {
        self.issue_for(3600)
    }

    /// One that expires after so many seconds.
    fn issue_for(&self, lifetime: i64) -> Issued {
        self.ca.issue(&Wanted {
            cn: "server",
            usage: rcgen::ExtendedKeyUsagePurpose::ServerAuth,
            lifetime,
            ..Wanted::default()
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn write(&self, issued: &Issued) {
        issued.write(&self.path("tls.crt"), &self.path("tls.key"));
    }

    fn load(&self) -> Result<Arc<ServingCertificate>, LoadError> {
        ServingCertificate::load(self.path("tls.crt"), self.path("tls.key")).map(Arc::new)
    }

    /// A client that presents `identity`, if any.
    fn client(&self, identity: Option<&Issued>) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS12, &TLS13])
            .unwrap()
            .with_root_certificates(self.ca.roots());
        let mut config = match identity {
            Some(issued) => {
                builder.with_client_auth_cert(issued.chain.clone(), issued.private_key()).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

/// Carries both ends' bytes until the handshake is done or one of them refuses.
fn shake(
    server: ServerConfig,
    client: ClientConfig,
) -> Result<(ServerConnection, ClientConnection), rustls::Error> {
    let mut server = ServerConnection::new(Arc::new(server))?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    while client.is_handshaking() || server.is_handshaking() || client.wants_write() || server.wants_write() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        let mut unread = bytes.as_slice();
        while !unread.is_empty() {
            server.read_tls(&mut unread).unwrap();
            server.process_new_packets()?;
        }
        bytes.clear();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok((server, client))
}

/// A listener that serves this certificate.
fn serving(certificate: &Arc<ServingCertificate>, min_version: MinVersion) -> ServerConfig {
    let certificates = Arc::new(Certificates::of(Arc::clone(certificate)));
    server_config(certificates, &Options { min_version, ..Options::default() }).unwrap()
}

/// The cause that is counted for a handshake's error.
fn cause(error: rustls::Error) -> Cause {
    Cause::of(&io::Error::new(io::ErrorKind::InvalidData, error))
}

#[test]
fn a_client_certificate_of_any_ca_is_kept_and_none_is_needed() {
    let rig = Rig::new();
    let certificate = rig.load().unwrap();
    let config = || serving(&certificate, MinVersion::Tls12);
    let unknown = Ca::new("unknown").issue(&Wanted { cn: "mallory", lifetime: -60, ..Wanted::default() });
    let (server, client) = shake(config(), rig.client(Some(&unknown))).unwrap();
    assert_eq!(server.peer_certificates().unwrap(), unknown.chain);
    assert_eq!(client.alpn_protocol(), Some(b"http/1.1".as_slice()));

    let (server, _) = shake(config(), rig.client(None)).unwrap();
    assert!(server.peer_certificates().is_none());
}

#[test]
fn certificates_with_p_521_are_served_and_accepted() {
    let algorithm = &rcgen::PKCS_ECDSA_P521_SHA512;
    let rig = Rig { ca: Ca::with_algorithm("serving", algorithm), files: tempfile::tempdir().unwrap() };
    rig.write(&rig.issue());
    let certificate = rig.load().unwrap();
    let jane = Ca::with_algorithm("cluster", algorithm).issue(&Wanted { cn: "jane", ..Wanted::default() });
    for minimum in [MinVersion::Tls12, MinVersion::Tls13] {
        let mut client = rig.client(Some(&jane));
        if minimum == MinVersion::Tls12 {
            client = ClientConfig::builder_with_provider(Arc::clone(client.crypto_provider()))
                .with_protocol_versions(&[&TLS12])
                .unwrap()
                .with_root_certificates(rig.ca.roots())
                .with_client_auth_cert(jane.chain.clone(), jane.private_key())
                .unwrap();
        }
        let (server, _) = shake(serving(&certificate, minimum), client).unwrap();
        assert_eq!(server.peer_certificates().unwrap(), jane.chain, "{minimum:?}");
    }
}

#[test]
fn a_chain_that_is_too_long_fails_the_handshake() {
    let rig = Rig::new();
    let certificate = rig.load().unwrap();
    let config = || serving(&certificate, MinVersion::Tls12);
    let ca = Ca::new("unknown");
    let mut unknown = ca.issue(&Wanted { cn: "mallory", ..Wanted::default() });
    unknown.chain.extend(std::iter::repeat_n(ca.der(), 10));
    assert!(shake(config(), rig.client(Some(&unknown))).is_ok());
    unknown.chain.extend(std::iter::repeat_n(ca.der(), 40));
    let error = shake(config(), rig.client(Some(&unknown))).unwrap_err();
    assert!(error.to_string().contains("ChainTooLong"), "{error}");
    assert_eq!(cause(error), Cause::BadCertificate);
}

#[test]
fn a_certificate_without_its_key_fails_the_handshake() {
    let rig = Rig::new();
    let certificate = rig.load().unwrap();
    let ca = Ca::new("cluster");
    let wanted = Wanted { cn: "jane", ..Wanted::default() };
    let mut stolen = ca.issue(&wanted);
    stolen.key = ca.issue(&wanted).key;
    for versions in [&[&TLS12], &[&TLS13]] {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let pair = rustls::sign::CertifiedKey::new(
            stolen.chain.clone(),
            provider.key_provider.load_private_key(stolen.private_key()).unwrap(),
        );
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(rig.ca.roots())
            .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(pair)));
        let server = serving(&certificate, MinVersion::Tls12);
        let error = shake(server, client).unwrap_err();
        let wanted = rustls::CertificateError::BadSignature;
        assert_eq!(error, rustls::Error::InvalidCertificate(wanted));
        assert_eq!(cause(error), Cause::BadCertificate);
    }
}

#[test]
fn the_minimum_version_is_enforced() {
    let rig = Rig::new();
    let certificate = rig.load().unwrap();
    for (minimum, works) in [(MinVersion::Tls12, true), (MinVersion::Tls13, false)] {
        let server = serving(&certificate, minimum);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS12])
            .unwrap()
            .with_root_certificates(rig.ca.roots())
            .with_no_client_auth();
        let failure = shake(server, client).err().map(cause);
        assert_eq!(failure, (!works).then_some(Cause::NoSharedVersion), "{minimum:?}");
    }
}

#[test]
fn only_the_chosen_cipher_suites_are_offered() {
    let rig = Rig::new();
    let certificates = Arc::new(Certificates::of(rig.load().unwrap()));
    let cipher_suites = vec!["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256".to_owned()];
    let server = server_config(certificates, &Options { cipher_suites, ..Options::default() }).unwrap();
    let chosen = rustls::crypto::aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    let other = rustls::crypto::aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384;
    for (suite, expected) in [(chosen, None), (other, Some(Cause::NoSharedCipher))] {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.cipher_suites = vec![suite];
        let client = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS12])
            .unwrap()
            .with_root_certificates(rig.ca.roots())
            .with_no_client_auth();
        assert_eq!(shake(server.clone(), client).err().map(cause), expected, "{suite:?}");
    }
}

#[test]
fn the_cause_of_a_failed_handshake_follows_from_its_error() {
    let rig = Rig::new();
    let config = || serving(&rig.load().unwrap(), MinVersion::Tls12);
    let mut only_http2 = rig.client(None);
    only_http2.alpn_protocols = vec![b"h2".to_vec()];
    let error = shake(config(), only_http2).unwrap_err();
    assert_eq!(cause(error), Cause::NoSharedProtocol);

    let mut server = ServerConnection::new(Arc::new(config())).unwrap();
    server.read_tls(&mut &b"GET / HTTP/1.1\r\n\r\n"[..]).unwrap();
    assert_eq!(cause(server.process_new_packets().unwrap_err()), Cause::NotTls);

    let provider = |suites: &[rustls::SupportedCipherSuite]| {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.cipher_suites.retain(|suite| suites.contains(suite));
        Arc::new(provider)
    };
    let client = ClientConfig::builder_with_provider(provider(&[
        rustls::crypto::aws_lc_rs::cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ]))
    .with_protocol_versions(&[&TLS12])
    .unwrap()
    .with_root_certificates(RootCertStore::empty())
    .with_no_client_auth();
    let error = shake(config(), client).unwrap_err();
    assert_eq!(cause(error), Cause::NoSharedCipher, "the certificate has an ECDSA key");

    let kind = |kind: io::ErrorKind| Cause::of(&kind.into());
    assert_eq!(kind(io::ErrorKind::TimedOut), Cause::Timeout);
    assert_eq!(kind(io::ErrorKind::UnexpectedEof), Cause::Closed);
    assert_eq!(kind(io::ErrorKind::ConnectionReset), Cause::Closed);
    assert_eq!(kind(io::ErrorKind::OutOfMemory), Cause::Other);
}

#[test]
fn a_session_is_never_resumed() {
    let rig = Rig::new();
    let certificate = rig.load().unwrap();
    let server = serving(&certificate, MinVersion::Tls12);
    let client = rig.client(None);
    for _ in 0..2 {
        let (server, _) = shake(server.clone(), client.clone()).unwrap();
        assert_eq!(server.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

#[test]
fn a_new_pair_is_presented_at_the_next_handshake_and_a_broken_one_is_not() {
    let rig = Rig::new();
    let certificate = rig.load().unwrap();
    let presented = || {
        let server = serving(&certificate, MinVersion::Tls12);
        let (_, client) = shake(server, rig.client(None)).unwrap();
        client.peer_certificates().unwrap().to_vec()
    };
    assert!(!certificate.reload().unwrap());
    let new = rig.issue();
    rig.write(&new);
    assert!(certificate.reload().unwrap());
    assert_eq!(presented(), new.chain);

    // Half replaced: another certificate, the old key.
    std::fs::write(rig.path("tls.crt"), rig.issue().pem).unwrap();
    let error = certificate.reload().unwrap_err();
    assert!(matches!(error, LoadError::Mismatch { .. }), "{error:?}");
    assert_eq!(presented(), new.chain);
    std::fs::remove_file(rig.path("tls.key")).unwrap();
    assert!(matches!(certificate.reload(), Err(LoadError::Unreadable { .. })));
    assert_eq!(presented(), new.chain);
}

#[test]
fn the_metric_is_when_the_certificate_in_use_expires() {
    let rig = Rig::new();
    let certificate = rig.load().unwrap();
    let mut registry = Registry::default();
    certificate.register(&mut registry);
    let left = || {
        let page = scrape(&registry);
        let name = "metrics_apiserver_serving_certificate_expiration_timestamp_seconds ";
        let value = page.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        value.parse::<i64>().unwrap() - jiff::Timestamp::now().as_second()
    };
    assert!((3500..=3600).contains(&left()), "at the start: {}", left());
    rig.write(&rig.issue_for(7200));
    certificate.reload().unwrap();
    assert!((7100..=7200).contains(&left()), "after a change: {}", left());
    std::fs::write(rig.path("tls.crt"), rig.issue_for(60).pem).unwrap();
    certificate.reload().unwrap_err();
    assert!((7100..=7200).contains(&left()), "of a pair that is not used: {}", left());
    let mut chain = rig.issue_for(7200);
    chain.pem += &rig.issue_for(1800).pem;
    rig.write(&chain);
    certificate.reload().unwrap();
    assert!((1700..=1800).contains(&left()), "of the chain: {}", left());
}

#[test]
fn a_bad_file_is_named_with_what_it_should_be() {
    let rig = Rig::new();
    std::fs::write(rig.path("tls.crt"), "nonsense").unwrap();
    let error = rig.load().unwrap_err().to_string();
    assert!(error.contains("tls.crt") && error.contains("--tls-cert-file"), "{error}");
    rig.write(&rig.issue());
    std::fs::write(rig.path("tls.key"), "").unwrap();
    let error = rig.load().unwrap_err().to_string();
    assert!(error.contains("tls.key") && error.contains("--tls-private-key-file"), "{error}");
}

#[test]
fn each_cause_of_failed_handshakes_has_one_line_a_minute_with_a_peer_and_the_error() {
    let (log, _guard) = crate::testkit::Log::listen();
    let failures = HandshakeFailures::register(&mut Registry::default());
    let record = |peer: &str, kind: io::ErrorKind| failures.record(peer.parse().unwrap(), &kind.into());
    for peer in ["192.0.2.1:1", "192.0.2.2:2"] {
        record(peer, io::ErrorKind::TimedOut);
        record(peer, io::ErrorKind::UnexpectedEof);
    }
    let lines = log.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, cause) in lines.iter().zip(["timeout", "closed"]) {
        let cause = format!("TLS handshake failed peer=192.0.2.1:1 cause=\"{cause}\" error=");
        assert!(line.contains("WARN") && line.contains(&cause), "{line}");
    }
}
