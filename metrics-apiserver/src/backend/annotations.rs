//! What a backend says beside its samples: that the answer is not whole, and remarks on the query.
//!
//! Both come as `warnings`. Prometheus' remarks on the PromQL itself (a bucket label that is missing, a quantile out of
//! range) begin with `PromQL warning` or `PromQL info`; they are the same whenever the query is put, and the numbers are
//! what the query means. Any other warning says that a part of the data was not reached: a remote read that failed, a
//! store of Thanos or Mimir that did not answer. The numbers may then be too small. So is one that Prometheus adds
//! after ten ("3 more warning annotations omitted"): nobody can tell what it hides. `VictoriaMetrics` says `isPartial`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// AnnotationLog kept of one answer; Prometheus itself sends ten of a kind.
const REMARKS_MAX: usize = 10;

/// What is kept of a warning: enough for a sentence with a name in it.
const WARNING_CHARS_MAX: usize = 300;

/// What one answer says beside its samples.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Annotations {
    /// Why the answer is not whole.
    pub(super) partial: Option<String>,
    /// AnnotationLog on the query that something in it is probably wrong.
    pub(super) warnings: Vec<String>,
    /// AnnotationLog on the query that may be nothing.
    pub(super) infos: Vec<String>,
}

impl Annotations {
    pub(super) fn new(warnings: Warnings, infos: Infos, is_partial: bool) -> Self {
        let said = is_partial.then(|| "the answer is marked as partial".to_owned());
        Self { partial: warnings.partial.or(said), warnings: warnings.remarks, infos: infos.0 }
    }
}

/// `warnings`, told apart while they are read: however many there are, one that matters is not missed.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    partial: Option<String>,
    remarks: Vec<String>,
}

impl Warnings {
    fn add(&mut self, text: &str) {
        if text.starts_with("PromQL warning") || text.starts_with("PromQL info") {
            keep(&mut self.remarks, text);
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

/// Hands on each text of a list; null is an empty one.
struct Texts<F>(F);

impl<'de, F: FnMut(&str)> Visitor<'de> for Texts<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts")
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
    if texts.len() < REMARKS_MAX {
        texts.push(short(text));
    }
}

fn short(text: &str) -> String {
    text.chars().take(WARNING_CHARS_MAX).collect()
}
