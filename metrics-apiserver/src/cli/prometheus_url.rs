//! The URL of `--prometheus-url`, with what prometheus-adapter accepts in it.

use percent_encoding::percent_decode_str;

use crate::syntax::{BaseUrl, ParseUrlError};

/// The path of Prometheus' HTTP API, below the base URL.
const API_PATH: &str = "/api/v1";

/// A URL of Prometheus and its credentials.
pub(super) struct PrometheusUrl {
    /// The URL without credentials and query, with a clean path.
    pub(super) base: BaseUrl,
    /// User name and password, decoded.
    pub(super) credentials: Option<(String, Vec<u8>)>,
    /// Whether the URL has a query, which is not sent.
    pub(super) has_query: bool,
}

impl PrometheusUrl {
    pub(super) fn parse(text: &str) -> Result<Self, ParseUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(ParseUrlError::Scheme)?;
        let (rest, has_query) = match rest.find(['?', '#']) {
            Some(end) => (&rest[..end], true),
            None => (rest, false),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (credentials, host) = match authority.rsplit_once('@') {
            Some((credentials, host)) => (Some(decoded(credentials)?), host),
            None => (None, authority),
        };
        let scheme = scheme.to_ascii_lowercase();
        let base = BaseUrl::parse(&format!("{scheme}://{host}{}", clean(path)), API_PATH)?;
        Ok(Self { base, credentials, has_query })
    }
}

/// User name and password, percent-decoded. Basic authentication cannot express a user name with a colon.
fn decoded(credentials: &str) -> Result<(String, Vec<u8>), ParseUrlError> {
    let (username, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let username = percent_decode_str(username).decode_utf8().map_err(|_| ParseUrlError::Credentials)?;
    if username.contains(':') {
        return Err(ParseUrlError::Credentials);
    }
    Ok((username.into_owned(), percent_decode_str(password).collect()))
}

/// A path without empty segments, `.` and `..`, as Go's `path.Join` cleans it.
fn clean(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => _ = segments.pop(),
            segment => segments.push(segment),
        }
    }
    segments.iter().flat_map(|segment| ["/", segment]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_query_and_superfluous_slashes_are_split_off() {
        for (text, base, credentials, has_query) in [
            ("http://prometheus.default.svc:9090", "http://prometheus.default.svc:9090", None, false),
            ("HTTP://h:1/", "http://h:1", None, false),
            ("https://h//a/./b/../c/", "https://h/a/c", None, false),
            ("https://h/p?tenant=a", "https://h/p", None, true),
            ("https://h?tenant=a@b", "https://h", None, true),
            ("http://u:p%40ss%3A@h", "http://h", Some(("u", "p@ss:")), false),
            ("http://u%20v@h/x:y", "http://h/x:y", Some(("u v", "")), false),
            ("http://u:a@b@h", "http://h", Some(("u", "a@b")), false),
        ] {
            let Ok(url) = PrometheusUrl::parse(text) else { panic!("{text}") };
            assert_eq!((url.base.as_str(), url.has_query), (base, has_query), "{text}");
            let found =
                url.credentials.as_ref().map(|(name, word)| (&**name, std::str::from_utf8(word).unwrap()));
            assert_eq!(found, credentials, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_url_is_refused_without_quoting_it() {
        for text in ["prometheus:9090", "ftp://h", "http://", "http://u:s3cret@", "http://a%3Ab:s3cret@h"] {
            let Err(error) = PrometheusUrl::parse(text) else { panic!("{text}") };
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }
}
