//! What is read: rules, namespaces and selectors, and the samples behind them. Each query has a number of its own,
//! so that an answer to another query shows.

use super::load::Request;
use std::{fmt::Write as _, sync::Arc, time::Duration};

/// Rules that are read.
pub(super) const RULES: usize = 100;
/// Namespaces with HPAs; each has all the rules.
const NAMESPACES: usize = 10;
/// Selectors in each of them.
const APPS: usize = 10;
/// All queries there are.
pub(super) const QUERIES: usize = RULES * NAMESPACES * APPS;

/// Who the HPA controller is to the server; the bootstrap roles let it read every external metric.
pub(super) const HPA: &str = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";

/// Where the answers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The cache, by the default `maxAge`.
    Cache,
    /// Prometheus, each time: `maxAge: 0s`.
    Live,
}

impl Source {
    /// What the names of its metrics begin with.
    fn prefix(self) -> &'static str {
        match self {
            Self::Cache => "cached",
            Self::Live => "live",
        }
    }
}

/// The reads of the first `queries` queries, as kube-apiserver passes them on for the HPA controller.
pub(super) fn requests(source: Source, queries: usize) -> Arc<[Request]> {
    (0..queries).map(|query| request(source, query)).collect()
}

/// The read of one query.
pub(super) fn request(source: Source, query: usize) -> Request {
    let (rule, namespace, app) = place(query);
    let path = format!(
        "/apis/external.metrics.k8s.io/v1beta1/namespaces/ns-{namespace}/{}_{rule}?labelSelector=app%3Dapp-{app}",
        source.prefix()
    );
    let bytes = get(&path, HPA, "system:serviceaccounts").into_bytes();
    Request { bytes, expected: format!("\"value\":\"{}\"", number(query)) }
}

/// A request by a user whom the front proxy vouches for.
pub(super) fn get(path: &str, user: &str, group: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Remote-User: {user}\r\nX-Remote-Group: {group}\r\n\
         Accept: application/json\r\n\r\n"
    )
}

fn place(query: usize) -> (usize, usize, usize) {
    (query % RULES, query / RULES % NAMESPACES, query / (RULES * NAMESPACES))
}

/// Odd, so that a quantity never shortens it: 1000 would be shown as 1k.
fn number(query: usize) -> usize {
    2 * query + 1
}

/// A series for each query, with a sample now and one in the past, so that it is found whenever the query is
/// evaluated.
pub(super) fn samples() -> String {
    let now = jiff::Timestamp::now().as_second();
    let mut text = String::from("# TYPE bench gauge\n");
    for query in 0..QUERIES {
        let (rule, namespace, app) = place(query);
        for time in [now - 60, now] {
            let labels = format!("rule=\"{rule}\",namespace=\"ns-{namespace}\",app=\"app-{app}\"");
            let _ = writeln!(text, "bench{{{labels}}} {} {time}", number(query));
        }
    }
    text + "# EOF\n"
}

/// The server's configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Configuration<'a> {
    /// Where Prometheus is.
    pub(super) url: &'a str,
    /// How many rules it has besides the live ones, at least those that are read.
    pub(super) rules: usize,
    /// How long a query may take.
    pub(super) timeout: Duration,
    /// Makes the content another one without changing what is read.
    pub(super) version: usize,
}

impl Configuration<'_> {
    pub(super) fn text(&self) -> String {
        let timeout = self.timeout.as_secs();
        let mut text = format!("backends:\n  default:\n    url: {}\n    timeout: {timeout}s\n", self.url);
        text.push_str("metrics:\n");
        for rule in 0..self.rules.max(RULES) {
            let _ = writeln!(
                text,
                "- name: cached_{rule}\n  query: sum(last_over_time(bench{{rule=\"{rule}\"}}[2h]))"
            );
        }
        for rule in 0..RULES {
            let _ = writeln!(
                text,
                "- name: live_{rule}\n  query: max(last_over_time(bench{{rule=\"{rule}\"}}[2h]))\n  maxAge: 0s"
            );
        }
        let _ = writeln!(text, "- name: version_{}\n  query: sum(bench)", self.version);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_query_has_a_request_a_number_and_samples_of_its_own() {
        let requests = requests(Source::Cache, QUERIES);
        assert_eq!(requests.iter().map(|request| &request.bytes).collect::<HashSet<_>>().len(), QUERIES);
        assert_eq!(requests.iter().map(|request| &request.expected).collect::<HashSet<_>>().len(), QUERIES);
        assert_eq!(samples().lines().count(), 2 * QUERIES + 2);
    }
}
