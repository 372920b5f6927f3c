//! What is asked: rules, namespaces and selectors, and the samples behind them. Each question has a number of its own,
//! so that an answer to another question shows.

use super::load::Ask;
use std::{fmt::Write as _, sync::Arc, time::Duration};

/// Rules that are read.
pub(super) const RULES: usize = 100;
/// Namespaces with HPAs; each has all the rules.
const NAMESPACES: usize = 10;
/// Selectors in each of them.
const APPS: usize = 10;
/// All questions there are.
pub(super) const QUESTIONS: usize = RULES * NAMESPACES * APPS;

/// Who the HPA controller is to the server; the bootstrap roles let it read every external metric.
const HPA: &str = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";

/// Where the answers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Memory, by the default `maxAge`.
    Memory,
    /// Prometheus, each time: `maxAge: 0s`.
    Live,
}

impl Source {
    /// For a table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Live => "live",
        }
    }
}

/// The reads of the first `questions` questions, as kube-apiserver passes them on for the HPA controller.
pub(super) fn asks(source: Source, questions: usize) -> Arc<[Ask]> {
    (0..questions).map(|question| ask(source, question)).collect()
}

/// The read of one question.
pub(super) fn ask(source: Source, question: usize) -> Ask {
    let (rule, namespace, app) = place(question);
    let path = format!(
        "/apis/external.metrics.k8s.io/v1beta1/namespaces/ns-{namespace}/{}_{rule}?labelSelector=app%3Dapp-{app}",
        source.name()
    );
    let request = request(&path, HPA, "system:serviceaccounts");
    Ask { request: request.into_bytes(), expected: format!("\"value\":\"{}\"", number(question)) }
}

/// A request by a user whom the front proxy vouches for.
pub(super) fn request(path: &str, user: &str, group: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Remote-User: {user}\r\nX-Remote-Group: {group}\r\n\
         Accept: application/json\r\n\r\n"
    )
}

fn place(question: usize) -> (usize, usize, usize) {
    (question % RULES, question / RULES % NAMESPACES, question / (RULES * NAMESPACES))
}

/// Odd, so that a quantity never shortens it: 1000 would be shown as 1k.
fn number(question: usize) -> usize {
    2 * question + 1
}

/// A series for each question, with a sample now and one in the past, so that it is found whenever the query is
/// evaluated.
pub(super) fn samples() -> String {
    let now = jiff::Timestamp::now().as_second();
    let mut text = String::from("# TYPE bench gauge\n");
    for question in 0..QUESTIONS {
        let (rule, namespace, app) = place(question);
        for time in [now - 60, now] {
            let labels = format!("rule=\"{rule}\",namespace=\"ns-{namespace}\",app=\"app-{app}\"");
            let _ = writeln!(text, "bench{{{labels}}} {} {time}", number(question));
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
    /// Over how many backends the live rules are spread, all of them the one Prometheus: the server sends no backend
    /// more than 1,000 queries a second, and that can't be configured.
    pub(super) live_backends: usize,
    /// How long a query may take.
    pub(super) timeout: Duration,
    /// Makes the content another one without changing what is read.
    pub(super) version: usize,
}

impl Configuration<'_> {
    pub(super) fn text(&self) -> String {
        let timeout = self.timeout.as_secs();
        let mut text = String::from("backends:\n");
        let live_backends = self.live_backends.max(1);
        for index in 0..live_backends {
            let (name, url) = (backend(index), self.url);
            let _ = writeln!(text, "  {name}:\n    url: {url}\n    timeout: {timeout}s");
        }
        text.push_str("metrics:\n");
        for rule in 0..self.rules.max(RULES) {
            let _ = writeln!(
                text,
                "- name: memory_{rule}\n  query: sum(last_over_time(bench{{rule=\"{rule}\"}}[2h]))"
            );
        }
        for rule in 0..RULES {
            let backend = backend(rule % live_backends);
            let _ = writeln!(
                text,
                "- name: live_{rule}\n  backend: {backend}\n  \
                 query: max(last_over_time(bench{{rule=\"{rule}\"}}[2h]))\n  maxAge: 0s"
            );
        }
        let _ = writeln!(text, "- name: version_{}\n  query: sum(bench)", self.version);
        text
    }
}

/// The first is the one that a rule asks if it names none.
fn backend(index: usize) -> String {
    if index == 0 { "default".to_owned() } else { format!("live-{index}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_question_has_a_request_a_number_and_samples_of_its_own() {
        let asks = asks(Source::Memory, QUESTIONS);
        assert_eq!(asks.iter().map(|ask| &ask.request).collect::<HashSet<_>>().len(), QUESTIONS);
        assert_eq!(asks.iter().map(|ask| &ask.expected).collect::<HashSet<_>>().len(), QUESTIONS);
        assert_eq!(samples().lines().count(), 2 * QUESTIONS + 2);
    }

    #[test]
    fn live_rules_are_spread_evenly_over_their_backends_and_the_others_ask_the_first() {
        let timeout = Duration::from_secs(10);
        let configuration =
            Configuration { url: "http://prometheus", rules: RULES, live_backends: 10, timeout, version: 0 };
        let text = configuration.text();
        let count = |line: &str| text.lines().filter(|it| *it == line).count();
        assert_eq!(count("    url: http://prometheus"), 10);
        assert_eq!((count("  backend: default"), count("  backend: live-9")), (RULES / 10, RULES / 10));
        assert_eq!(text.matches("  backend: ").count(), RULES);
    }
}
