//! Annotations: what a backend says beside its data, as `warnings` or `infos`.
//!
//! A *remark* is about the query, comes with every response to it, and leaves the numbers what the query means. A
//! warning about *partial* data says that a part of it was not reached; the numbers may then be too small. The texts
//! that are known are in [`KNOWN`]. A warning that is not known is taken for partial data: to hold a complete answer
//! for partial costs a value, the opposite may scale a workload down.
//!
//! Prometheus omits annotations after the tenth of a list, in the random order of a Go map, and says how many. That
//! line is a remark: a rule over eleven gauges has it in every response. Where a warning about partial data was among
//! more than ten, it is shown in most responses, and each of those is partial.

use std::borrow::Cow;
use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Annotations kept of one response; Prometheus sends ten of a kind.
const ANNOTATIONS_MAX: usize = 10;

/// What is kept of one annotation: enough for a sentence with a name in it.
const ANNOTATION_CHARS_MAX: usize = 300;

/// What an annotation means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// Something in the query may be wrong.
    Info,
    /// Something in the query is probably wrong.
    Warning,
    /// A part of the data was not reached.
    Partial,
}

/// A text, or what it is like.
#[derive(Debug, Clone, Copy)]
enum Text {
    /// It is this, in upper or lower case.
    Is(&'static str),
    /// It begins so, in upper or lower case.
    Begins(&'static str),
    /// A number, and then this.
    Counts(&'static str),
}

/// The texts of warnings that are known, what they mean, and who sends them.
const KNOWN: [(Text, Meaning); 7] = [
    // Prometheus 2.48 to 2.53 (later ones in `infos`), and all that use its engine: Thanos, Mimir, Cortex.
    // (util/annotations/annotations.go)
    (Text::Begins("PromQL info"), Meaning::Info),
    // Prometheus from 2.48 on, and the same others.
    (Text::Begins("PromQL warning"), Meaning::Warning),
    // Prometheus 2.48 to 2.53.
    (Text::Counts("more annotations omitted"), Meaning::Info),
    // Prometheus from 2.54 on.
    (Text::Counts("more warning annotations omitted"), Meaning::Warning),
    // Thanos up to 0.30: no store that is up can have such series at this time, so in an outage of all stores as well.
    // Later ones send it no more. (pkg/store/proxy.go)
    (Text::Is("No StoreAPIs matched for this query"), Meaning::Partial),
    // Prometheus from 2.53 on, for the parameter `limit`. (web/api/v1/api.go)
    (Text::Begins("results truncated due to limit"), Meaning::Partial),
    // Cortex from 1.20 on. (pkg/querier/partialdata)
    (Text::Begins("query result may contain partial data"), Meaning::Partial),
];

impl Text {
    fn matches(self, text: &str) -> bool {
        match self {
            Self::Is(whole) => text.eq_ignore_ascii_case(whole),
            Self::Begins(begin) => {
                text.get(..begin.len()).is_some_and(|start| start.eq_ignore_ascii_case(begin))
            }
            Self::Counts(what) => text
                .strip_suffix(what)
                .and_then(|number| number.strip_suffix(' '))
                .is_some_and(|number| !number.is_empty() && number.chars().all(|c| c.is_ascii_digit())),
        }
    }
}

/// What a warning means.
fn meaning(text: &str) -> Meaning {
    let known = KNOWN.iter().find(|(known, _)| known.matches(text));
    known.map_or(Meaning::Partial, |(_, meaning)| *meaning)
}

/// The annotations of one response.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Annotations {
    /// Why the data is partial.
    pub(super) partial: Option<String>,
    /// Something in the query is probably wrong.
    pub(super) warnings: Vec<String>,
    /// Something in the query may be wrong.
    pub(super) infos: Vec<String>,
}

impl Annotations {
    pub(super) fn new(warnings: Warnings, mut infos: Infos, is_partial: bool) -> Self {
        let marked = is_partial.then(|| "the response is marked as partial".to_owned());
        for text in &warnings.infos {
            keep(&mut infos.0, text);
        }
        let Warnings { partial, on_query, .. } = warnings;
        Self { partial: partial.or(marked), warnings: on_query, infos: infos.0 }
    }
}

/// `warnings`, sorted while they are read: one about partial data is not missed, however many there are.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    partial: Option<String>,
    on_query: Vec<String>,
    infos: Vec<String>,
}

impl Warnings {
    fn add(&mut self, text: &str) {
        match meaning(text) {
            Meaning::Info => keep(&mut self.infos, text),
            Meaning::Warning => keep(&mut self.on_query, text),
            Meaning::Partial => {
                self.partial.get_or_insert_with(|| short(text));
            }
        }
    }
}

/// `infos`: never about the data.
#[derive(Debug, Default)]
pub(super) struct Infos(Vec<String>);

impl<'de> Deserialize<'de> for Warnings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut warnings = Self::default();
        deserializer.deserialize_any(Texts(|text: &str| warnings.add(text)))?;
        Ok(warnings)
    }
}

impl<'de> Deserialize<'de> for Infos {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut infos = Vec::new();
        deserializer.deserialize_any(Texts(|text: &str| keep(&mut infos, text)))?;
        Ok(Self(infos))
    }
}

/// Passes on each string of a list; null is an empty one.
struct Texts<F>(F);

impl<'de, F: FnMut(&str)> Visitor<'de> for Texts<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of strings")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(text) = list.next_element::<Cow<'_, str>>()? {
            (self.0)(&text);
        }
        Ok(())
    }
}

fn keep(texts: &mut Vec<String>, text: &str) {
    if texts.len() < ANNOTATIONS_MAX {
        texts.push(short(text));
    }
}

fn short(text: &str) -> String {
    text.chars().take(ANNOTATION_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(warnings: &[&str]) -> Annotations {
        let text = serde_json::to_string(warnings).unwrap();
        Annotations::new(serde_json::from_str(&text).unwrap(), Infos::default(), false)
    }

    /// As Prometheus 2.53 answers `rate()` of eleven gauges.
    #[test]
    fn the_infos_of_a_query_over_eleven_gauges_in_prometheus_2_53_are_remarks() {
        let info = |number: usize| {
            format!(
                "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \
                 \"gauge_{number}\" (1:{number})"
            )
        };
        let infos: Vec<String> = (0..10).map(info).chain(["1 more annotations omitted".to_owned()]).collect();
        let read = read(&infos.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((read.partial, read.warnings.len(), read.infos.len()), (None, 0, 10));
    }

    #[test]
    fn each_known_text_means_what_the_table_says() {
        for (text, meaning) in [
            ("PromQL info: ignored histogram in max aggregation (1:1)", Meaning::Info),
            ("PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)", Meaning::Warning),
            (
                "PromQL warning: bucket label \"le\" is missing or has a malformed value of \"\"",
                Meaning::Warning,
            ),
            ("12 more annotations omitted", Meaning::Info),
            ("3 more warning annotations omitted", Meaning::Warning),
            ("No StoreAPIs matched for this query", Meaning::Partial),
            ("results truncated due to limit", Meaning::Partial),
            ("query result may contain partial data", Meaning::Partial),
            ("Query result may contain partial data.", Meaning::Partial),
        ] {
            assert_eq!(super::meaning(text), meaning, "{text}");
        }
    }

    #[test]
    fn a_warning_that_is_not_known_says_that_data_is_missing() {
        for text in [
            "remote_read: remote server http://10.0.0.1/read returned HTTP status 500",
            // Thanos, pkg/store/proxy_merge.go
            "receive series from Addr: 10.0.0.2:10901 LabelSets: {} Mint: 0 Maxt: 1: rpc error: code = Unavailable",
            "fetch series for {cluster=\"a\"}: rpc error: code = DeadlineExceeded",
            "No StoreAPIs matched for this query: connection refused",
            "more annotations omitted",
            "x 3 more annotations omitted",
            "not a PromQL info: anything",
            "",
        ] {
            assert_eq!(read(&["PromQL warning: w", text]).partial.as_deref(), Some(text));
        }
    }
}
