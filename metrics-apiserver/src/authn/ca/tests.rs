//! Which certificates of a bundle are used as CAs, and when. Time is an argument.

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, date_time_ymd};

use super::*;
use crate::testkit::{Ca, Wanted};

type Change = fn(&mut CertificateParams);

/// In seconds; leaf certificates do not expire in these tests.
const YEARS: i64 = 3_600 * 24 * 3_650;

/// A CA that is valid from `before` seconds ago until `after` seconds from now.
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

/// Whether the set accepts the peer, `in_seconds` from now.
async fn is_accepted(set: &CaSet, peer: &[CertificateDer<'static>], in_seconds: u64) -> bool {
    let then = UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs() + in_seconds));
    set.verify_at(&Chain::new(peer).unwrap(), then).await.is_ok()
}

#[tokio::test]
async fn an_expired_ca_signs_for_nobody() {
    let (expired, good) = (limited("ca", 7_200, 0), Ca::new("ca"));
    let (theirs, ours) = (jane(&expired), jane(&good));
    let both = set(&[&expired, &good]).unwrap();
    assert!(!is_accepted(&both, &theirs, 60).await);
    assert!(is_accepted(&both, &ours, 60).await);
    // A bundle of expired certificates is not an error.
    assert!(!is_accepted(&set(&[&expired]).unwrap(), &theirs, 60).await);
}

#[tokio::test]
async fn a_ca_that_expires_is_refused_although_its_verdict_is_cached() {
    let (expiring, good) = (limited("ca", 7_200, 600), Ca::new("ca"));
    let (theirs, ours) = (jane(&expiring), jane(&good));
    let both = set(&[&expiring, &good]).unwrap();
    for (seconds, accepted) in [(0, true), (590, true), (610, false)] {
        assert_eq!(is_accepted(&both, &theirs, seconds).await, accepted, "in {seconds} s");
        assert!(is_accepted(&both, &ours, seconds).await);
    }
}

#[tokio::test]
async fn a_ca_is_accepted_from_its_first_second() {
    let now = Duration::from_secs(UnixTime::now().as_secs());
    let coming = Ca::with("ca", |params| {
        params.not_before = date_time_ymd(1970, 1, 1) + now + Duration::from_secs(600);
    });
    let (peer, set) = (jane(&coming), set(&[&coming]).unwrap());
    assert!(!is_accepted(&set, &peer, 590).await);
    assert!(is_accepted(&set, &peer, 610).await);
    // The clock is set back.
    assert!(!is_accepted(&set, &peer, 580).await);
}

#[tokio::test]
async fn a_certificate_that_is_not_a_ca_cannot_sign() {
    let changes: [(&str, Change); 4] = [
        ("no basic constraints", |params| params.is_ca = IsCa::NoCa),
        ("not a CA", |params| params.is_ca = IsCa::ExplicitNoCa),
        ("may not sign certificates", |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]),
        ("signs only revocation lists", |params| params.key_usages = vec![KeyUsagePurpose::CrlSign]),
    ];
    let good = Ca::new("ca");
    for (what, change) in changes {
        let unusable = Ca::with("ca", change);
        let both = set(&[&unusable, &good]).unwrap();
        assert!(!is_accepted(&both, &jane(&unusable), 0).await, "{what}");
        assert!(is_accepted(&both, &jane(&good), 0).await, "{what}");
        assert!(matches!(set(&[&unusable]), Err(CaError::Unusable(_))), "{what}");
    }
}

#[tokio::test]
async fn roots_and_intermediates_of_a_bundle_sign() {
    let root = Ca::with("ca", |params| {
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    });
    let below = root.intermediate("below");
    let mut peer = jane(&below);
    assert!(is_accepted(&set(&[&below]).unwrap(), &peer, 0).await, "an intermediate in the bundle");
    peer.push(below.der());
    let set = set(&[&root]).unwrap();
    assert!(is_accepted(&set, &peer, 0).await);
    assert!(is_accepted(&set, &jane(&root), 0).await);
}

#[tokio::test]
async fn a_ca_of_the_bundle_is_itself_a_client_while_it_is_valid_and_unless_it_is_for_something_else() {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
    let with = |usages: Vec<_>| Ca::with("jane", |params| params.extended_key_usages = usages);
    let own = |ca: &Ca| [ca.der()];
    for (usages, accepted) in
        [(vec![], true), (vec![ServerAuth, ClientAuth], true), (vec![Any], true), (vec![ServerAuth], false)]
    {
        let ca = with(usages.clone());
        let set = set(&[&Ca::new("another"), &ca]).unwrap();
        assert_eq!(is_accepted(&set, &own(&ca), 0).await, accepted, "{usages:?}");
    }
    // A twin with the same name has another key.
    let (ours, twin) = (with(vec![]), with(vec![]));
    assert!(!is_accepted(&set(&[&twin]).unwrap(), &own(&ours), 0).await);
    let expiring = limited("jane", 7_200, 600);
    let both = set(&[&expiring, &ours]).unwrap();
    for (seconds, accepted) in [(590, true), (610, false)] {
        assert_eq!(is_accepted(&both, &own(&expiring), seconds).await, accepted, "in {seconds} s");
    }
}

/// The names of CAs in `tests/certificates`, each with a client certificate that it signed.
const VERIFIED: [&str; 5] =
    ["ec-p256-sha512", "ec-p384-sha512", "ec-p521-sha256", "ec-p521-sha384", "ec-p521-sha512"];

#[tokio::test]
async fn certificates_with_p_521_and_with_ecdsa_and_sha_512_are_verified() {
    for name in VERIFIED {
        let set = CaSet::from_pem(stored(name).as_bytes()).unwrap();
        let peer = [CertificateDer::from_pem_slice(stored(&format!("{name}-client")).as_bytes()).unwrap()];
        assert!(is_accepted(&set, &peer, 60).await, "{name}");
    }
}

#[test]
fn a_ca_that_could_verify_nothing_is_named_with_its_algorithm() {
    let Err(CaError::Unusable(reason)) = CaSet::from_pem(stored("ed448").as_bytes()) else {
        panic!("nothing is signed with Ed448");
    };
    assert_eq!(reason, "CN=ed448 has a key of an unsupported algorithm, Ed448");
    let both = CaSet::from_pem((stored("dsa") + &Ca::new("ca").pem()).as_bytes()).unwrap();
    assert_eq!(both.unusable, ["CN=dsa has a key of an unsupported algorithm, DSA"]);
}

fn stored(name: &str) -> String {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates");
    std::fs::read_to_string(folder.join(format!("{name}.pem"))).unwrap()
}

/// X.509 version 1 has no extensions. Valid until 2126.
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
