//! Which certificates of a bundle vouch, and when. Time is an argument.

use rcgen::{CertificateParams, IsCa, KeyUsagePurpose, date_time_ymd};

use super::*;
use crate::testkit::{Ca, Wanted};

type Change = fn(&mut CertificateParams);

/// A long time, in seconds: what a test waits for is not a leaf's end.
const YEARS: i64 = 3_600 * 24 * 3_650;

/// An authority that is valid from so many seconds before now to so many after it.
fn limited(name: &str, before: u64, after: u64) -> Ca {
    let now = Duration::from_secs(UnixTime::now().as_secs());
    Ca::with(name, |params| {
        params.not_before = date_time_ymd(1970, 1, 1) + now - Duration::from_secs(before);
        params.not_after = date_time_ymd(1970, 1, 1) + now + Duration::from_secs(after);
    })
}

fn set(authorities: &[&Ca]) -> Result<CaSet, CaError> {
    CaSet::from_pem(authorities.iter().map(|ca| ca.pem()).collect::<String>().as_bytes())
}

fn jane(ca: &Ca) -> Vec<CertificateDer<'static>> {
    ca.issue(&Wanted { cn: "jane", lifetime: YEARS, ..Wanted::default() }).chain
}

/// What the set says of the peer, so many seconds from now.
async fn is_vouched_for(set: &CaSet, peer: &[CertificateDer<'static>], in_seconds: u64) -> bool {
    let then = UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs() + in_seconds));
    set.verify_at(&Chain::new(peer).unwrap(), then).await.is_ok()
}

#[tokio::test]
async fn an_authority_that_has_expired_vouches_for_nobody() {
    let (expired, good) = (limited("ca", 7_200, 0), Ca::new("ca"));
    let (theirs, ours) = (jane(&expired), jane(&good));
    let both = set(&[&expired, &good]).unwrap();
    assert!(!is_vouched_for(&both, &theirs, 60).await);
    assert!(is_vouched_for(&both, &ours, 60).await);
    // A bundle of which nothing is valid any more is a bundle all the same.
    assert!(!is_vouched_for(&set(&[&expired]).unwrap(), &theirs, 60).await);
}

#[tokio::test]
async fn an_authority_that_expires_is_refused_although_a_peer_was_good_a_moment_ago() {
    let (expiring, good) = (limited("ca", 7_200, 600), Ca::new("ca"));
    let (theirs, ours) = (jane(&expiring), jane(&good));
    let both = set(&[&expiring, &good]).unwrap();
    for (seconds, vouches) in [(0, true), (590, true), (610, false)] {
        assert_eq!(is_vouched_for(&both, &theirs, seconds).await, vouches, "in {seconds} s");
        assert!(is_vouched_for(&both, &ours, seconds).await);
    }
}

#[tokio::test]
async fn an_authority_vouches_from_its_first_moment() {
    let now = Duration::from_secs(UnixTime::now().as_secs());
    let coming = Ca::with("ca", |params| {
        params.not_before = date_time_ymd(1970, 1, 1) + now + Duration::from_secs(600);
    });
    let (peer, set) = (jane(&coming), set(&[&coming]).unwrap());
    assert!(!is_vouched_for(&set, &peer, 590).await);
    assert!(is_vouched_for(&set, &peer, 610).await);
    // A clock that is set back.
    assert!(!is_vouched_for(&set, &peer, 580).await);
}

#[tokio::test]
async fn what_is_no_authority_cannot_sign() {
    let changes: [(&str, Change); 4] = [
        ("no basic constraints", |params| params.is_ca = IsCa::NoCa),
        ("not a CA", |params| params.is_ca = IsCa::ExplicitNoCa),
        ("may not sign certificates", |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]),
        ("only lists of what is revoked", |params| params.key_usages = vec![KeyUsagePurpose::CrlSign]),
    ];
    let good = Ca::new("ca");
    for (what, change) in changes {
        let unfit = Ca::with("ca", change);
        let both = set(&[&unfit, &good]).unwrap();
        assert!(!is_vouched_for(&both, &jane(&unfit), 0).await, "{what}");
        assert!(is_vouched_for(&both, &jane(&good), 0).await, "{what}");
        assert!(matches!(set(&[&unfit]), Err(CaError::Unfit(_))), "{what}");
    }
}

#[tokio::test]
async fn what_is_an_authority_signs() {
    let root = Ca::with("ca", |params| {
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    });
    let below = root.intermediate("below");
    let mut peer = jane(&below);
    assert!(is_vouched_for(&set(&[&below]).unwrap(), &peer, 0).await, "an intermediate in the bundle");
    peer.push(below.der());
    let set = set(&[&root]).unwrap();
    assert!(is_vouched_for(&set, &peer, 0).await);
    assert!(is_vouched_for(&set, &jane(&root), 0).await);
}

/// Version 1 of X.509 cannot say who is an authority, so it need not. Good until 2126.
#[tokio::test]
async fn an_old_root_without_extensions_signs() {
    let set = CaSet::from_pem(OLD_ROOT.as_bytes()).unwrap();
    let peer = [CertificateDer::from_pem_slice(OF_OLD_ROOT.as_bytes()).unwrap()];
    let then = UnixTime::since_unix_epoch(Duration::from_secs(1_900_000_000));
    assert!(set.verify_at(&Chain::new(&peer).unwrap(), then).await.is_ok());
}

const OLD_ROOT: &str = "-----BEGIN CERTIFICATE-----
MIIBFjCBvQIUVJwSq5LzO/GGWfGGAwxxV0rBzm8wCgYIKoZIzj0EAwIwDTELMAkG
A1UEAwwCdjEwIBcNMjYxMTI4MDQyMTEwWhgPMjEyNjExMDQwNDIxMTBaMA0xCzAJ
BgNVBAMMAnYxMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYnKxhlDlVjit32cS
7DQ/UpbqBcSHypIMvt9Pv90MFABI46f4Z8FgZInHKDLHC86f/EQYVihBTduor8Zd
mf5pejAKBggqhkjOPQQDAgNIADBFAiA4WNk72yIv9mnoJJ+0uVBVU+axOVmNRfwM
PBnsJdpzGgIhAPX5/puv5jAzJAbsoFrDxBWKcpwlB5t49kNpsnP1kfx+
-----END CERTIFICATE-----
";

const OF_OLD_ROOT: &str = "-----BEGIN CERTIFICATE-----
MIIBmTCCAUCgAwIBAgIBAjAKBggqhkjOPQQDAjANMQswCQYDVQQDDAJ2MTAgFw0y
NjExMjgwNDIxMTBaGA8yMTI2MTEwNDA0MjExMFowDzENMAsGA1UEAwwEamFuZTBZ
MBMGByqGSM49AgEGCCqGSM49AwEHA0IABBOocXNUJL9Ye6pg8MFKl6Ujj7QKpW24
WS8aBkuIMwSDF/fDSNjzzDqARkFvFYy44JFKEzyyXbg0oSaqL6mSMBOjgYwwgYkw
EwYDVR0lBAwwCgYIKwYBBQUHAwIwFAYDVR0RBA0wC4IJbG9jYWxob3N0MAkGA1Ud
EwQCMAAwHQYDVR0OBBYEFKMnT9T280mxriXl3vHo3KCBtiUXMDIGA1UdIwQrMCmh
EaQPMA0xCzAJBgNVBAMMAnYxghRUnBKrkvM78YZZ8YYDDHFXSsHObzAKBggqhkjO
PQQDAgNHADBEAiADTj91xOuthPV2kJZnEnFc7KuuLI9YePoPclDiJyot8wIgT/ge
OkyrVfCrfSweGB/OqXjv7mftrxUcag1sA86wxjM=
-----END CERTIFICATE-----
";
