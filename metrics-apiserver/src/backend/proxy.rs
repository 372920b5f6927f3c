//! The HTTP or SOCKS proxy through which a backend is reached.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use reqwest::{Proxy, Url};

/// The URL of a proxy. Its user and password are a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(Url);

/// Why a text is not the URL of a proxy. Does not repeat the text, which may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseProxyError {
    /// Another scheme, or none.
    #[error("the URL of a proxy must begin with http://, https://, socks5:// or socks5h://")]
    Scheme,
    /// No URL, or one without a host.
    #[error("the URL of the proxy is not valid; percent-encode special characters of the user and password")]
    Url,
    /// More than a host and a port.
    #[error("the URL of a proxy must have no path, query or fragment")]
    Path,
}

impl ProxyUrl {
    /// Parses `http://`, `https://`, `socks5://` (the server resolves the backend's host) or `socks5h://` (the proxy
    /// does), optionally with `user:password@`.
    pub fn parse(text: &str) -> Result<Self, ParseProxyError> {
        let schemes = ["http://", "https://", "socks5://", "socks5h://"];
        if !schemes.iter().any(|scheme| text.starts_with(scheme)) {
            return Err(ParseProxyError::Scheme);
        }
        let url = Url::parse(text).map_err(|_| ParseProxyError::Url)?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(ParseProxyError::Url);
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(ParseProxyError::Path);
        }
        Ok(Self(url))
    }

    /// Whether the connection to the proxy itself is encrypted.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The proxy for all requests, whatever the environment says.
    pub(super) fn for_all(&self) -> reqwest::Result<Proxy> {
        Proxy::all(self.0.clone())
    }

    /// The forms of the password that must not be shown: as it is written, as it is meant, and as it is sent.
    pub(super) fn secrets(&self) -> Vec<String> {
        let Some(written) = self.0.password() else { return Vec::new() };
        let meant: Vec<u8> = percent_decode_str(written).collect();
        let pair: Vec<u8> =
            percent_decode_str(self.0.username()).chain([b':']).chain(meant.clone()).collect();
        vec![written.to_owned(), String::from_utf8_lossy(&meant).into_owned(), STANDARD.encode(pair)]
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ParseProxyError as E;

    #[test]
    fn the_url_of_a_proxy_is_a_scheme_a_host_and_perhaps_a_user() {
        for good in [
            "http://proxy:3128",
            "https://proxy/",
            "socks5://[::1]:1080",
            "socks5h://user:p%40ss@proxy.example:1080",
        ] {
            assert!(ProxyUrl::parse(good).is_ok(), "{good}");
        }
        for (bad, error) in [
            ("proxy:3128", E::Scheme),
            ("socks4://proxy", E::Scheme),
            ("http://", E::Url),
            ("http://a b", E::Url),
            ("http://proxy:99999", E::Url),
            ("http://proxy/path", E::Path),
            ("http://proxy?a=b", E::Path),
            ("socks5://proxy#a", E::Path),
        ] {
            assert_eq!(ProxyUrl::parse(bad), Err(error), "{bad}");
        }
        let secret = ProxyUrl::parse("http://user:hunter2@proxy").unwrap();
        assert!(!format!("{secret:?}").contains("hunter2"));
    }

    #[test]
    fn a_password_is_secret_as_it_is_written_meant_and_sent() {
        let secrets = |url| ProxyUrl::parse(url).unwrap().secrets();
        assert_eq!(secrets("http://us%40er:p%3Ass@proxy"), ["p%3Ass", "p:ss", "dXNAZXI6cDpzcw=="]);
        assert!(secrets("http://user@proxy").is_empty());
    }
}
