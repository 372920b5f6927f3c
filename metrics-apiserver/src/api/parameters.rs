//! The query parameters that have a meaning here; all others are ignored.

use std::borrow::Cow;
use std::time::Duration;

use super::request::RequestError;
use crate::syntax::parse_duration;

/// A request's query parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters<'a> {
    /// `labelSelector`, decoded but not yet parsed.
    pub label_selector: Cow<'a, str>,
    /// `metricLabelSelector`, decoded but not yet parsed.
    pub metric_label_selector: Cow<'a, str>,
    /// `fieldSelector`, decoded but not yet parsed.
    pub field_selector: Cow<'a, str>,
    /// `timeout`: the client's own deadline; `None` if absent, empty, zero or negative.
    pub timeout: Result<Option<Duration>, RequestError>,
    /// `pretty`, if given.
    pub pretty: Option<bool>,
    /// `watch`.
    pub watch: bool,
}

impl<'a> Parameters<'a> {
    /// Reads the part of a URL behind the question mark; the first of several values counts, as in Go.
    pub fn parse(query: &'a str) -> Self {
        let mut parameters = Self {
            label_selector: Cow::Borrowed(""),
            metric_label_selector: Cow::Borrowed(""),
            field_selector: Cow::Borrowed(""),
            timeout: Ok(None),
            pretty: None,
            watch: false,
        };
        let (mut selector_seen, mut metric_selector_seen, mut fields_seen) = (false, false, false);
        let (mut timeout_seen, mut watch_seen) = (false, false);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "labelSelector" if !std::mem::replace(&mut selector_seen, true) => {
                    parameters.label_selector = value;
                }
                "metricLabelSelector" if !std::mem::replace(&mut metric_selector_seen, true) => {
                    parameters.metric_label_selector = value;
                }
                "fieldSelector" if !std::mem::replace(&mut fields_seen, true) => {
                    parameters.field_selector = value;
                }
                "timeout" if !std::mem::replace(&mut timeout_seen, true) => {
                    parameters.timeout = timeout(&value);
                }
                "watch" if !std::mem::replace(&mut watch_seen, true) => {
                    parameters.watch = value != "0" && !value.eq_ignore_ascii_case("false");
                }
                "pretty" if parameters.pretty.is_none() => {
                    parameters.pretty = Some(matches!(&*value, "1" | "t" | "T" | "true" | "True" | "TRUE"));
                }
                _ => {}
            }
        }
        parameters
    }
}

fn timeout(text: &str) -> Result<Option<Duration>, RequestError> {
    if text.is_empty() {
        return Ok(None);
    }
    let duration = go_duration(text).ok_or(RequestError::Timeout)?;
    Ok(Some(duration).filter(|duration| !duration.is_zero()))
}

/// A duration as Go's `time.ParseDuration` reads it. A negative one is none at all to kube-apiserver, so it is zero
/// here.
fn go_duration(text: &str) -> Option<Duration> {
    match text.strip_prefix('-') {
        Some(rest) if rest.starts_with('+') => None,
        Some(rest) => parse_duration(rest).ok().map(|_| Duration::ZERO),
        None => parse_duration(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Parameters, RequestError, go_duration};

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("32s", Some(Duration::from_secs(32))),
            ("1m30s", Some(Duration::from_secs(90))),
            ("1.5h", Some(Duration::from_secs(5400))),
            ("100ms", Some(Duration::from_millis(100))),
            (".5s", Some(Duration::from_millis(500))),
            ("0", Some(Duration::ZERO)),
            ("0s", Some(Duration::ZERO)),
            ("+1s", Some(Duration::from_secs(1))),
            ("-1s", Some(Duration::ZERO)),
            ("+", None),
            ("-", None),
            ("+-1s", None),
            ("5", None),
            ("s", None),
            (".s", None),
            ("1x", None),
            ("1s ", None),
            ("1e400h", None),
            ("99999999999999999999999h", None),
        ] {
            assert_eq!(go_duration(text), expected, "{text}");
        }
    }

    fn timeout(query: &str) -> Result<Option<Duration>, RequestError> {
        Parameters::parse(query).timeout
    }

    #[test]
    fn known_parameters_are_read_and_others_ignored() {
        let parsed = Parameters::parse(
            "limit=500&labelSelector=a%3Db%2Cc+in+(d)&metricLabelSelector=e&fieldSelector=f%3Dg&timeout=32s&pretty=1\
             &x=%ff",
        );
        assert_eq!((&*parsed.label_selector, &*parsed.metric_label_selector), ("a=b,c in (d)", "e"));
        assert_eq!(parsed.field_selector, "f=g");
        assert_eq!(parsed.timeout, Ok(Some(Duration::from_secs(32))));
        assert_eq!((parsed.pretty, parsed.watch), (Some(true), false));
        let nothing = Parameters {
            label_selector: "".into(),
            metric_label_selector: "".into(),
            field_selector: "".into(),
            timeout: Ok(None),
            pretty: None,
            watch: false,
        };
        assert_eq!(Parameters::parse(""), nothing);
    }

    #[test]
    fn a_watch_is_seen_in_every_spelling() {
        for (query, expected) in [
            ("watch=true", true),
            ("watch=1", true),
            ("watch", true),
            ("watch=false", false),
            ("watch=0", false),
        ] {
            assert_eq!(Parameters::parse(query).watch, expected, "{query}");
        }
    }

    #[test]
    fn a_malformed_timeout_is_the_clients_error() {
        assert_eq!(timeout("timeout=soon"), Err(RequestError::Timeout));
        assert_eq!(timeout("timeout="), Ok(None));
        assert_eq!(timeout("timeout=0s"), Ok(None));
        assert_eq!(timeout("timeout=1s&timeout=soon"), Ok(Some(Duration::from_secs(1))));
        assert!(Parameters::parse("timeout=soon&pretty=1&watch=1").watch, "the others are read all the same");
    }

    #[test]
    fn a_negative_timeout_is_none() {
        for query in ["timeout=-1s", "timeout=-1m30s", "timeout=-0"] {
            assert_eq!(timeout(query), Ok(None), "{query}");
        }
        for query in ["timeout=-", "timeout=--1s", "timeout=-+1s", "timeout=-soon"] {
            assert_eq!(timeout(query), Err(RequestError::Timeout), "{query}");
        }
    }
}
