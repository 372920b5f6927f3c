//! The front proxy's headers, from the front proxy and from others.

use super::*;
use crate::testkit::Wanted;

const ADMIN: [Header<'static>; 2] = [("x-remote-user", b"admin"), ("x-remote-group", b"system:masters")];

#[tokio::test]
async fn the_front_proxy_names_user_groups_and_extra() {
    let rig = Rig::new();
    let peer = rig.proxy_ca.client("aggregator");
    let headers: &[Header<'_>] = &[
        ("x-remote-user", b"jane"),
        ("x-remote-group", b"dev,ops"),
        ("x-remote-extra-scopes", b"read"),
        ("x-remote-group", b"system:authenticated"),
        ("x-remote-extra-example.com%2fscopes", b"a"),
        ("x-remote-extra-example.com%2Fscopes", b"b"),
        ("x-remote-extra-50%", b"c"),
        ("x-remote-extra-%ff", b"d"),
        ("x-remote-extra-", b"e"),
        ("x-remote-uid", b"stolen"),
    ];
    let user = rig.ask(&peer, headers).await.unwrap();
    assert_eq!(user.name, "jane");
    assert_eq!(user.groups, ["dev,ops", "system:authenticated"]);
    // No uid header is configured, so none is read.
    assert_eq!(user.uid, "");
    let extra: Vec<_> = user.extra.iter().map(|(key, values)| (key.as_str(), values.join(" "))).collect();
    let wanted = [("", "e"), ("%ff", "d"), ("50%", "c"), ("example.com/scopes", "a b"), ("scopes", "read")];
    assert_eq!(extra, wanted.map(|(key, value)| (key, value.to_owned())));
}

#[tokio::test]
async fn the_first_non_empty_user_header_wins_and_the_user_is_authenticated() {
    let rig = Rig::new();
    let peer = rig.proxy_ca.client("aggregator");
    let headers: &[Header<'_>] = &[
        ("x-remote-user", b""),
        ("x-remote-user", b"not-first"),
        ("x-other-user", b"system:kube-aggregator"),
    ];
    let user = rig.ask(&peer, headers).await.unwrap();
    assert_eq!(user.name, "system:kube-aggregator");
    assert_eq!(user.groups, ["system:authenticated"]);
}

#[tokio::test]
async fn an_anonymous_user_of_the_front_proxy_stays_anonymous() {
    let rig = Rig::new();
    let peer = rig.proxy_ca.client("aggregator");
    let headers: &[Header<'_>] =
        &[("x-remote-user", b"system:anonymous"), ("x-remote-group", b"system:unauthenticated")];
    assert_anonymous(&rig.ask(&peer, headers).await.unwrap());
}

#[tokio::test]
async fn a_uid_is_read_if_its_header_is_configured() {
    let rig = Rig::with(|flags| flags.uid_headers = vec!["X-Remote-Uid".to_owned()]);
    let peer = rig.proxy_ca.client("aggregator");
    let headers: &[Header<'_>] = &[("x-remote-user", b"jane"), ("x-remote-uid", b"u-1")];
    assert_eq!(rig.ask(&peer, headers).await.unwrap().uid, "u-1");
}

#[tokio::test]
async fn an_empty_header_name_matches_no_header() {
    let rig = Rig::with(|flags| flags.extra_headers_prefix = vec![String::new()]);
    let peer = rig.proxy_ca.client("aggregator");
    let user = rig.ask(&peer, &ADMIN).await.unwrap();
    assert!(user.extra.is_empty());
}

#[tokio::test]
async fn headers_without_a_certificate_are_ignored() {
    let rig = Rig::new();
    assert_anonymous(&rig.ask(&[], &ADMIN).await.unwrap());
}

#[tokio::test]
async fn a_client_certificate_is_not_accepted_as_the_front_proxy_s() {
    let rig = Rig::new();
    // Even one whose name is the front proxy's.
    let peer = rig.client_ca.client("aggregator");
    let user = rig.ask(&peer, &ADMIN).await.unwrap();
    assert_eq!(user.name, "aggregator");
    assert_eq!(user.groups, ["system:authenticated"]);
}

#[tokio::test]
async fn a_name_that_is_not_allowed_is_refused_unless_none_is_listed() {
    let rig = Rig::new();
    let reason = assert_untrusted(rig.ask(&rig.proxy_ca.client("kubelet"), &ADMIN).await);
    assert!(reason.contains("\"kubelet\""), "{reason}");

    let open = Rig::with(|flags| flags.allowed_names.clear());
    let user = open.ask(&open.proxy_ca.client("kubelet"), &ADMIN).await;
    assert_eq!(user.unwrap().name, "admin");
}

#[tokio::test]
async fn a_front_proxy_without_a_user_header_is_not_a_user_itself() {
    let rig = Rig::new();
    let peer = rig.proxy_ca.client("aggregator");
    assert_untrusted(rig.ask(&peer, &[("x-remote-user", b"")]).await);
}

#[tokio::test]
async fn an_expired_front_proxy_or_a_server_certificate_is_refused() {
    let rig = Rig::new();
    let expired = Wanted { cn: "aggregator", lifetime: -60, ..Wanted::default() };
    let server =
        Wanted { cn: "aggregator", usage: rcgen::ExtendedKeyUsagePurpose::ServerAuth, ..Wanted::default() };
    for wanted in [expired, server] {
        let peer = rig.proxy_ca.issue(&wanted).chain;
        assert_untrusted(rig.ask(&peer, &ADMIN).await);
    }
}
