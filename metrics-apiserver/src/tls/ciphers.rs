//! Cipher suites by Go's names.

use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs;

/// A name that is always supported, for messages.
pub(super) const EXAMPLE: &str = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";

/// Names that Go's API servers accept and that rustls does not implement: key exchange without forward secrecy, CBC,
/// RC4 and 3DES.
const UNSUPPORTED: [&str; 16] = [
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
];

/// A list of names, sorted by what can be done with them.
#[derive(Debug, Default)]
pub(super) struct CipherSuites {
    pub(super) kept: Vec<SupportedCipherSuite>,
    pub(super) skipped: Vec<String>,
    pub(super) unknown: Vec<String>,
}

impl CipherSuites {
    pub(super) fn parse(names: &[String]) -> Self {
        let mut suites = Self::default();
        for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
            if let Some(suite) = aws_lc_rs::ALL_CIPHER_SUITES.iter().find(|suite| has_name(suite, name)) {
                suites.kept.push(*suite);
            } else if UNSUPPORTED.contains(&name) {
                suites.skipped.push(name.to_owned());
            } else {
                suites.unknown.push(name.to_owned());
            }
        }
        suites
    }

    /// The suites to offer: these of TLS 1.2, or all if there are none, and all of TLS 1.3, as in Go.
    pub(super) fn offered(self) -> Vec<SupportedCipherSuite> {
        let is_chosen = |suite: &SupportedCipherSuite| {
            suite.tls13().is_some() || self.kept.is_empty() || self.kept.contains(suite)
        };
        aws_lc_rs::ALL_CIPHER_SUITES.iter().copied().filter(is_chosen).collect()
    }
}

/// Whether Go calls it so. Go's first names of the `ChaCha` suites lack the hash.
fn has_name(suite: &SupportedCipherSuite, name: &str) -> bool {
    let own = suite.suite().as_str().unwrap_or_default().replace("TLS13_", "TLS_");
    own == name || (name.ends_with("_CHACHA20_POLY1305") && own == format!("{name}_SHA256"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(names: &str) -> CipherSuites {
        CipherSuites::parse(&names.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn supported_suites_are_kept_and_others_that_go_knows_are_skipped() {
        let names = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,\
                     TLS_RSA_WITH_AES_128_CBC_SHA,TLS_AES_128_GCM_SHA256,TLS_NO_SUCH_SUITE";
        let suites = parse(names);
        assert_eq!(suites.kept.len(), 3, "{suites:?}");
        assert_eq!(suites.skipped, ["TLS_RSA_WITH_AES_128_CBC_SHA"]);
        assert_eq!(suites.unknown, ["TLS_NO_SUCH_SUITE"]);
        let offered = suites.offered();
        assert_eq!(offered.iter().filter(|suite| suite.tls13().is_none()).count(), 2, "{offered:?}");
        assert_eq!(offered.iter().filter(|suite| suite.tls13().is_some()).count(), 3, "{offered:?}");
    }

    #[test]
    fn without_names_everything_is_offered() {
        assert_eq!(parse("").offered(), aws_lc_rs::ALL_CIPHER_SUITES);
    }
}
