//! Authentication of whole requests, with real certificates and a fake Kubernetes API.

mod certificates;
mod config_map;
mod front_proxy;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;

use super::{
    Authenticator, AuthnError, Chain, Credentials, FrontProxyOptions, Options, Refusals, Reviews,
    TokenReviewer, TrustStore, UserInfo,
};
use crate::testkit::{Ca, client_of_nobody};

type Header<'a> = (&'a str, &'a [u8]);

/// An authenticator with both CAs in files, as with flags. Without a Kubernetes API.
struct Rig {
    client_ca: Ca,
    proxy_ca: Ca,
    trust: Arc<TrustStore>,
    authenticator: Authenticator,
    files: TempDir,
}

impl Rig {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut FrontProxyOptions)) -> Self {
        let files = tempfile::tempdir().unwrap();
        let (client_ca, proxy_ca) = (Ca::new("cluster"), Ca::new("front-proxy"));
        let [client_ca_file, proxy_ca_file] = ["client.pem", "proxy.pem"].map(|name| files.path().join(name));
        std::fs::write(&client_ca_file, client_ca.pem()).unwrap();
        std::fs::write(&proxy_ca_file, proxy_ca.pem()).unwrap();
        let mut flags = FrontProxyOptions {
            client_ca_file: Some(proxy_ca_file),
            allowed_names: vec!["aggregator".to_owned()],
            username_headers: vec!["X-Remote-User".to_owned(), "X-Other-User".to_owned()],
            group_headers: vec!["X-Remote-Group".to_owned()],
            extra_headers_prefix: vec!["X-Remote-Extra-".to_owned()],
            uid_headers: Vec::new(),
        };
        change(&mut flags);
        let options =
            Options { client_ca_file: Some(client_ca_file), front_proxy: flags, ..Options::default() };
        let trust = Arc::new(TrustStore::new(options).unwrap());
        Self { client_ca, proxy_ca, authenticator: authenticator(&trust), trust, files }
    }

    /// Authenticates a request with these certificates and headers.
    async fn ask(
        &self,
        peer_certificates: &[CertificateDer<'static>],
        headers: &[Header<'_>],
    ) -> Result<UserInfo, AuthnError> {
        ask(&self.authenticator, peer_certificates, headers).await
    }
}

fn refusals() -> Refusals {
    Refusals::register(&mut Registry::default())
}

fn authenticator(trust: &Arc<TrustStore>) -> Authenticator {
    let tokens =
        TokenReviewer::new(client_of_nobody(), Duration::from_secs(10), &Reviews::default()).unwrap();
    Authenticator::new(Arc::clone(trust), tokens, refusals())
}

async fn ask(
    authenticator: &Authenticator,
    peer_certificates: &[CertificateDer<'static>],
    headers: &[Header<'_>],
) -> Result<UserInfo, AuthnError> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    let chain = Chain::new(peer_certificates);
    let credentials = Credentials { peer: None, chain: chain.as_ref(), headers };
    let who = authenticator.authenticate(&credentials, deadline).await;
    who.map(|user| user.unwrap_or_else(UserInfo::anonymous))
}

fn assert_anonymous(user: &UserInfo) {
    assert_eq!(user.name, "system:anonymous");
    assert_eq!(user.groups, ["system:unauthenticated"]);
    assert!(user.uid.is_empty() && user.extra.is_empty());
}

fn assert_untrusted(outcome: Result<UserInfo, AuthnError>) -> String {
    match outcome {
        Err(AuthnError::Untrusted { reason }) => reason,
        other => panic!("wanted Untrusted, got {other:?}"),
    }
}

#[tokio::test]
async fn a_request_without_credentials_is_anonymous() {
    let rig = Rig::new();
    assert_anonymous(&rig.ask(&[], &[("accept", b"*/*")]).await.unwrap());
}

#[tokio::test]
async fn impersonation_is_refused() {
    let rig = Rig::new();
    let peer = rig.client_ca.client("jane");
    for header in ["impersonate-user", "impersonate-group", "impersonate-extra-x"] {
        let outcome = rig.ask(&peer, &[(header, b"admin")]).await;
        assert!(matches!(outcome, Err(AuthnError::ImpersonationRefused)));
    }
}
