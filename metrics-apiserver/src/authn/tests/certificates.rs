//! Client certificates, and the CA sets behind them.

use std::time::Instant;

use super::*;
use crate::authn::TrustError;
use crate::testkit::Wanted;

#[tokio::test]
async fn a_certificate_names_user_groups_uid_and_itself() {
    let rig = Rig::new();
    let wanted = Wanted { cn: "jane", organizations: &["dev", "ops"], uid: Some("u-1"), ..Wanted::default() };
    let peer = rig.client_ca.issue(&wanted).chain;
    let user = rig.ask(&peer, &[]).await.unwrap();
    assert_eq!(user.name, "jane");
    assert_eq!(user.uid, "u-1");
    assert_eq!(user.groups, ["dev", "ops", "system:authenticated"]);
    let id = &user.extra["authentication.kubernetes.io/credential-id"][0];
    let digest = id.strip_prefix("X509SHA256=").unwrap();
    assert_eq!(digest.len(), 64);
    // The cached verdict is the same.
    assert_eq!(rig.ask(&peer, &[]).await.unwrap(), user);
}

#[tokio::test]
async fn p_521_works_for_users_and_for_the_front_proxy_alike() {
    for algorithm in [&rcgen::PKCS_ECDSA_P521_SHA512, &rcgen::PKCS_ECDSA_P521_SHA256] {
        let rig = Rig::new();
        let [users, proxies] = ["users", "proxies"].map(|name| Ca::with_algorithm(name, algorithm));
        std::fs::write(rig.files.path().join("client.pem"), users.pem()).unwrap();
        std::fs::write(rig.files.path().join("proxy.pem"), proxies.pem()).unwrap();
        rig.trust.reload_files().unwrap();
        assert_eq!(rig.ask(&users.client("jane"), &[]).await.unwrap().name, "jane");
        let user = rig.ask(&proxies.client("aggregator"), &[("x-remote-user", b"jack")]).await.unwrap();
        assert_eq!(user.name, "jack");
    }
}

#[tokio::test]
async fn an_unknown_ca_an_expired_certificate_and_a_wrong_usage_are_refused() {
    let (log, _guard) = crate::testkit::Log::listen();
    let rig = Rig::new();
    let expired = rig.client_ca.issue(&Wanted { cn: "jane", lifetime: -60, ..Wanted::default() });
    let server = rig.client_ca.issue(&Wanted {
        cn: "jane",
        usage: rcgen::ExtendedKeyUsagePurpose::ServerAuth,
        ..Wanted::default()
    });
    let garbage = vec![CertificateDer::from(vec![0x30, 0x03, 1, 2, 3])];
    let unknown = Ca::new("cluster").client("jane");
    for peer in [unknown, expired.chain, server.chain, garbage] {
        let first = assert_untrusted(rig.ask(&peer, &[]).await);
        let again = assert_untrusted(rig.ask(&peer, &[]).await);
        assert_eq!(first, again);
    }
    let counted = [("unknown_ca", 2), ("expired", 2), ("wrong_usage", 2), ("malformed", 2)];
    assert_eq!(rig.authenticator.refusals.counted(), counted);
    for (cause, _) in counted {
        let lines = log.lines();
        let lines = lines.iter().filter(|line| line.contains(&format!("cause=\"{cause}\"")));
        let lines: Vec<_> = lines.filter(|line| line.contains("WARN")).collect();
        assert_eq!(lines.len(), 1, "one line a minute for {cause}: {lines:?}");
    }
}

#[tokio::test]
async fn a_refused_certificate_is_counted_by_the_ca_that_signed_it_and_also_if_there_is_a_token() {
    let rig = Rig::new();
    let other_proxy = rig.proxy_ca.client("another-proxy");
    assert_untrusted(rig.ask(&other_proxy, &[]).await);
    let nameless = rig.client_ca.issue(&Wanted::default()).chain;
    assert_untrusted(rig.ask(&nameless, &[]).await);
    let unknown = Ca::new("unknown").client("mallory");
    // Nobody reviews it here; the certificate is refused before.
    assert!(rig.ask(&unknown, &[("authorization", b"Bearer some-token")]).await.is_err());
    assert!(rig.ask(&rig.client_ca.client("jane"), &[]).await.is_ok());
    let counted = [("unknown_ca", 1), ("name_not_allowed", 1), ("no_common_name", 1)];
    assert_eq!(rig.authenticator.refusals.counted(), counted);
}

#[tokio::test]
async fn a_certificate_without_a_common_name_is_refused() {
    let rig = Rig::with(|flags| flags.allowed_names.clear());
    let peer = rig.client_ca.issue(&Wanted::default()).chain;
    let reason = assert_untrusted(rig.ask(&peer, &[]).await);
    assert!(reason.starts_with("as the front proxy"), "{reason}");
}

#[tokio::test]
async fn an_intermediate_counts_only_when_it_is_sent() {
    let rig = Rig::new();
    let intermediate = rig.client_ca.intermediate("below");
    let mut peer = intermediate.client("jane");
    assert_untrusted(rig.ask(&peer, &[]).await);
    peer.push(intermediate.der());
    assert_eq!(rig.ask(&peer, &[]).await.unwrap().name, "jane");
}

#[tokio::test]
async fn a_certificate_that_expires_is_refused_although_its_verdict_is_cached() {
    let rig = Rig::new();
    let wanted = Wanted { cn: "jane", lifetime: 5, ..Wanted::default() };
    let peer = rig.client_ca.issue(&wanted).chain;
    assert_eq!(rig.ask(&peer, &[]).await.unwrap().name, "jane");
    let deadline = Instant::now() + Duration::from_secs(30);
    while rig.ask(&peer, &[]).await.is_ok() {
        assert!(Instant::now() < deadline, "still trusted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_new_ca_file_counts_for_the_next_request_and_a_broken_one_changes_nothing() {
    let rig = Rig::new();
    let new_ca = Ca::new("cluster");
    let (old, new) = (rig.client_ca.client("old"), new_ca.client("new"));
    assert!(rig.ask(&old, &[]).await.is_ok());
    assert_untrusted(rig.ask(&new, &[]).await);

    let file = rig.files.path().join("client.pem");
    std::fs::write(&file, new_ca.pem()).unwrap();
    rig.trust.reload_files().unwrap();
    assert_untrusted(rig.ask(&old, &[]).await);
    assert_eq!(rig.ask(&new, &[]).await.unwrap().name, "new");

    let half = &new_ca.pem()[..100];
    for broken in ["", "no certificate", half] {
        std::fs::write(&file, broken).unwrap();
        let error = rig.trust.reload_files().unwrap_err();
        assert!(error.to_string().contains("client.pem"), "{error}");
        assert!(rig.ask(&new, &[]).await.is_ok());
    }

    // Both CAs in one file, as during a rotation.
    std::fs::write(&file, new_ca.pem() + &rig.client_ca.pem()).unwrap();
    rig.trust.reload_files().unwrap();
    assert!(rig.ask(&old, &[]).await.is_ok());
    assert!(rig.ask(&new, &[]).await.is_ok());
}

#[test]
fn a_missing_ca_file_is_named_at_start() {
    let options = Options { client_ca_file: Some("/nowhere/ca.pem".into()), ..Options::default() };
    let error = TrustStore::new(options).unwrap_err();
    assert!(matches!(error, TrustError::Unreadable { .. }));
    assert!(error.to_string().contains("/nowhere/ca.pem"));
}

#[tokio::test]
async fn one_ca_for_clients_and_front_proxy_is_dangerous_only_if_any_name_is_allowed() {
    for (allowed, dangerous) in [(vec![], true), (vec!["aggregator".to_owned()], false)] {
        let rig = Rig::with(|flags| flags.allowed_names = allowed);
        assert!(!rig.trust.current().is_shared());
        std::fs::write(rig.files.path().join("proxy.pem"), rig.client_ca.pem()).unwrap();
        rig.trust.reload_files().unwrap();
        assert_eq!(rig.trust.current().is_shared(), dangerous);
    }
}

#[tokio::test]
async fn a_broken_bundle_does_not_keep_the_front_proxy_s_new_one_away() {
    let rig = Rig::new();
    std::fs::write(rig.files.path().join("client.pem"), "no certificate").unwrap();
    let next = Ca::new("front-proxy-next");
    std::fs::write(rig.files.path().join("proxy.pem"), next.pem()).unwrap();
    rig.trust.reload_files().unwrap_err();
    let user = rig.ask(&next.client("aggregator"), &[("x-remote-user", b"jane")]).await.unwrap();
    assert_eq!(user.name, "jane");
    assert_eq!(
        rig.ask(&rig.client_ca.client("jack"), &[]).await.unwrap().name,
        "jack",
        "the last good one stays"
    );
}
