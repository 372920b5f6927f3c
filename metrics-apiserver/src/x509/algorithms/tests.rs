//! Certificates of algorithms that rcgen does not make; `openssl req -x509` made them, valid for a hundred years.

use std::path::Path;

use super::*;

fn unsupported(names: &[&str]) -> Unsupported {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates");
    let pem = names.iter().map(|name| std::fs::read_to_string(folder.join(format!("{name}.pem"))).unwrap());
    Unsupported::of_pem(pem.collect::<String>().as_bytes())
}

#[test]
fn keys_that_verify_nothing_are_named_with_their_algorithm() {
    let expected = [
        ("dsa", "DSA"),
        ("ec-brainpool", "EC brainpoolP256r1"),
        ("ec-p224", "EC secp224r1"),
        ("ec-secp256k1", "EC secp256k1"),
        ("ed448", "Ed448"),
        ("rsa-1024", "RSA with 1024 bits"),
        ("rsa-pss-key", "rsassa-pss"),
    ];
    for (name, algorithm) in expected {
        let unsupported = unsupported(&[name]);
        assert_eq!(unsupported.keys, [format!("CN={name}: {algorithm}")]);
        assert_eq!(unsupported.signatures, [""; 0]);
    }
}

#[test]
fn signatures_that_cannot_be_verified_are_named_with_their_algorithm() {
    let expected = [
        ("rsa-2048-md5", "md5WithRSAEncryption"),
        ("rsa-2048-sha1", "sha1WithRSAEncryption"),
        ("ec-p256-sha1", "ecdsa-with-SHA1"),
    ];
    for (name, algorithm) in expected {
        let unsupported = unsupported(&[name]);
        assert_eq!(unsupported.keys, [""; 0]);
        assert_eq!(unsupported.signatures, [format!("CN={name}: {algorithm}")]);
    }
}

#[test]
fn nothing_is_said_of_what_can_be_verified() {
    let names = ["ec-p256-sha512", "ec-p384-sha512", "ec-p521-sha256", "ec-p521-sha384", "ec-p521-sha512"];
    assert_eq!(unsupported(&names), Unsupported::default());
    let garbage = b"-----BEGIN CERTIFICATE-----\nMAMBAgM=\n-----END CERTIFICATE-----\n";
    assert_eq!(Unsupported::of_pem(garbage), Unsupported::default());
}
