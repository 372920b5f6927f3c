//! Annotations: what a backend says beside its data.
//!
//! All of them come as `warnings` or `infos`. Annotations on the PromQL itself (a missing bucket label, a quantile
//! out of range) begin with `PromQL warning` or `PromQL info`; they come with every response to the query, and the
//! numbers are what the query means. Any other warning says that a part of the data was not reached: a remote read
//! that failed, a store of Thanos or Mimir that did not answer. The numbers may then be too small. The same is
//! assumed of the line that Prometheus adds after ten ("3 more warning annotations omitted"), because it may hide
//! such a warning. `VictoriaMetrics` says `isPartial`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Annotations kept of one response; Prometheus sends ten of a kind.
const ANNOTATIONS_MAX: usize = 10;

/// What is kept of one annotation: enough for a sentence with a name in it.
const ANNOTATION_CHARS_MAX: usize = 300;

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
    pub(super) fn new(warnings: Warnings, infos: Infos, is_partial: bool) -> Self {
        let marked = is_partial.then(|| "the response is marked as partial".to_owned());
        Self { partial: warnings.partial.or(marked), warnings: warnings.on_query, infos: infos.0 }
    }
}

/// `warnings`, sorted while they are read: one about partial data is not missed, however many there are.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    partial: Option<String>,
    on_query: Vec<String>,
}

impl Warnings {
    fn add(&mut self, text: &str) {
        if text.starts_with("PromQL warning") || text.starts_with("PromQL info") {
            keep(&mut self.on_query, text);
        } else {
            self.partial.get_or_insert_with(|| short(text));
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
