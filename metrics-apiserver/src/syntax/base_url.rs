//! The base URL of a server that this one calls: a Prometheus or a collector of traces.

use std::net::{Ipv4Addr, Ipv6Addr};

/// An `http` or `https` URL, optionally with a path prefix; without credentials, query, fragment or trailing slash.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BaseUrl(String);

/// Why a text is not a base URL. Never repeats the text, which may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseUrlError {
    /// Neither `http://` nor `https://`.
    #[error("the URL must begin with http:// or https://")]
    Scheme,
    /// `user:password@`.
    #[error("the URL must not contain credentials")]
    Credentials,
    /// `?…` or `#…`.
    #[error("the URL must not have a query or a fragment")]
    Query,
    /// No host, or an invalid one.
    #[error("the URL has no valid host")]
    Host,
    /// A port that is not a number from 1 to 65535.
    #[error("the port of the URL must be a number from 1 to 65535")]
    Port,
    /// A character that must be percent-encoded.
    #[error("the path of the URL contains a character that must be percent-encoded")]
    Path,
    /// The URL contains the path that the server appends.
    #[error("the URL must end before {0}: the server appends it")]
    Appended(&'static str),
}

impl BaseUrl {
    /// Parses the base URL of a server to which `appended`, such as `/api/v1`, is added.
    pub fn parse(text: &str, appended: &'static str) -> Result<Self, ParseUrlError> {
        let rest = ["http://", "https://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme))
            .ok_or(ParseUrlError::Scheme)?;
        if rest.contains('@') {
            return Err(ParseUrlError::Credentials);
        }
        if rest.contains(['?', '#']) {
            return Err(ParseUrlError::Query);
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        check_authority(authority)?;
        check_path(path)?;
        if ends_within(path, appended) {
            return Err(ParseUrlError::Appended(appended));
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }

    /// The URL, without a trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the connection is encrypted.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}

/// Whether the path ends with what is appended, or with one of its endpoints. It may contain it further ahead, as the
/// path of a Service behind kube-apiserver's proxy does.
fn ends_within(path: &str, appended: &str) -> bool {
    let path = format!("{}/", path.trim_end_matches('/'));
    let rest = path.rsplit_once(&format!("{appended}/")).map(|(_, rest)| rest.trim_end_matches('/'));
    rest.is_some_and(|rest| !rest.contains('/'))
}

fn check_authority(authority: &str) -> Result<(), ParseUrlError> {
    let bracketed = authority.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) =
        bracketed.unwrap_or_else(|| authority.split_at(authority.find(':').unwrap_or(authority.len())));
    let known = if bracketed.is_some() { host.parse::<Ipv6Addr>().is_ok() } else { is_host(host) };
    if !known {
        return Err(ParseUrlError::Host);
    }
    match port.strip_prefix(':').map(str::parse::<u16>) {
        None if port.is_empty() => Ok(()),
        Some(Ok(1..)) => Ok(()),
        _ => Err(ParseUrlError::Port),
    }
}

fn is_host(host: &str) -> bool {
    let plain = |label: &str| {
        !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    // As in the URL standard: a name whose last label is a number must be an IPv4 address.
    let number = |label: &str| label.starts_with("0x") || label.chars().all(|c| c.is_ascii_digit());
    name.len() <= 253
        && name.split('.').all(plain)
        && (!name.rsplit('.').next().is_some_and(number) || host.parse::<Ipv4Addr>().is_ok())
}

fn check_path(path: &str) -> Result<(), ParseUrlError> {
    let allowed =
        |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}');
    if path.chars().all(allowed) { Ok(()) } else { Err(ParseUrlError::Path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_and_without_a_prefix_are_read() {
        for (text, url) in [
            (
                "http://prometheus-operated.monitoring.svc:9090",
                "http://prometheus-operated.monitoring.svc:9090",
            ),
            ("https://h/prom/", "https://h/prom"),
            ("http://127.0.0.1:9090/", "http://127.0.0.1:9090"),
            ("http://[::1]:9090", "http://[::1]:9090"),
            ("http://h.example.", "http://h.example."),
            (
                "https://kubernetes/api/v1/namespaces/monitoring/services/prometheus:9090/proxy",
                "https://kubernetes/api/v1/namespaces/monitoring/services/prometheus:9090/proxy",
            ),
        ] {
            assert_eq!(BaseUrl::parse(text, "/api/v1").unwrap().as_str(), url);
        }
        assert!(BaseUrl::parse("https://h", "/api/v1").unwrap().is_https());
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        use ParseUrlError as E;
        for (text, error) in [
            ("prometheus:9090", E::Scheme),
            ("ftp://h", E::Scheme),
            ("http://user:pw@h", E::Credentials),
            ("http://h/?a=b", E::Query),
            ("http://h#x", E::Query),
            ("http://", E::Host),
            ("http://:9090", E::Host),
            ("http://a b", E::Host),
            ("http://10.0.0.256", E::Host),
            ("http://[::g]", E::Host),
            ("http://h:99999", E::Port),
            ("http://h:0", E::Port),
            ("http://h:x", E::Port),
            ("http://[::1]9090", E::Port),
            ("http://h/a b", E::Path),
            ("http://h/api/v1", E::Appended("/api/v1")),
            ("http://h/p/api/v1/query", E::Appended("/api/v1")),
            ("http://h/p/api/v1/query/", E::Appended("/api/v1")),
        ] {
            assert_eq!(BaseUrl::parse(text, "/api/v1"), Err(error), "{text}");
        }
    }
}
