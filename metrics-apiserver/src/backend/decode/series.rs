//! The response of `/api/v1/series`: which metric names exist, and with which sets of label names.
//!
//! A response may list 100,000 series in 50 MB, most of which differ in label values only. So it is decoded while it
//! arrives, and label values are skipped: memory grows with the number of distinct names, not with the number of
//! series.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::envelope::Envelope;
use super::error::DecodeError;
use super::labels::{NAME_LABEL, SERIES_LABELS_LIMIT, SERIES_LABELS_MAX, Str};
use crate::backend::annotations::Annotations;

/// What is kept of one response: some 50,000 metric names.
pub(crate) const KEPT_BYTES_MAX: usize = 8 << 20;
const KEPT_LIMIT: &str = "8 MiB of metric and label names";

/// A string of a response, which the JSON reader holds whole. Label values are the longest, and seldom longer than 1
/// KiB.
const STRING_BYTES_MAX: usize = 64 << 10;
const STRING_LIMIT: &str = "64 KiB in a string";

/// Nested lists and objects; the deepest of Prometheus is 3.
const DEPTH_MAX: usize = 32;
const DEPTH_LIMIT: &str = "32 nested lists and objects";

/// What an entry of a map takes besides its text.
const ENTRY_BYTES: usize = 64;

/// The names of a series' labels, sorted, without `__name__`.
pub type LabelNames = Arc<[Arc<str>]>;

/// The series that exist, without label values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesSummary {
    /// By metric name, the distinct sets of label names that its series have, sorted. Metrics share equal sets.
    pub metrics: BTreeMap<Arc<str>, Box<[LabelNames]>>,
    /// About how much memory the names take.
    pub bytes: usize,
    /// The backend's warning that the list is partial, for the log.
    pub partial: Option<Arc<str>>,
}

/// Decodes a body while it is read.
pub(crate) fn series(body: impl Read) -> Result<(SeriesSummary, Annotations), DecodeError> {
    let body = io::BufReader::new(body);
    let mut body = Limited { body, string_bytes: None, is_escaped: false, depth: 0, exceeded: None };
    let decoded = serde_json::from_reader::<_, Envelope<List>>(&mut body);
    if let Some(limit) = body.exceeded {
        return Err(DecodeError::TooMuch(limit));
    }
    let (data, annotations) = decoded?.open()?;
    match data {
        Some(List::Summary(summary)) => {
            let annotations = annotations.of(!summary.metrics.is_empty());
            Ok((summary, annotations))
        }
        Some(List::TooMuch(limit)) => Err(DecodeError::TooMuch(limit)),
        None => Ok((SeriesSummary::default(), annotations.of(false))),
    }
}

/// Reads JSON and ends at a string that is too long or at nesting that is too deep: the JSON reader has no such limits.
struct Limited<R> {
    body: R,
    /// How long the string that is being read is so far.
    string_bytes: Option<usize>,
    is_escaped: bool,
    depth: usize,
    exceeded: Option<&'static str>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.body.read(buffer)?;
        for byte in &buffer[..length] {
            self.note(*byte);
        }
        if self.exceeded.is_some() { Err(io::Error::other("too much")) } else { Ok(length) }
    }
}

impl<R> Limited<R> {
    fn note(&mut self, byte: u8) {
        match (self.string_bytes, byte) {
            (Some(_), b'"') if !self.is_escaped => self.string_bytes = None,
            (Some(length), _) => {
                self.is_escaped = byte == b'\\' && !self.is_escaped;
                self.string_bytes = Some(length + 1);
                if length >= STRING_BYTES_MAX {
                    self.exceeded = Some(STRING_LIMIT);
                }
            }
            (None, b'"') => self.string_bytes = Some(0),
            (None, b'[' | b'{') => {
                self.depth += 1;
                if self.depth > DEPTH_MAX {
                    self.exceeded = Some(DEPTH_LIMIT);
                }
            }
            (None, b']' | b'}') => self.depth = self.depth.saturating_sub(1),
            (None, _) => {}
        }
    }
}

/// The `data` of a response.
enum List {
    Summary(SeriesSummary),
    TooMuch(&'static str),
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = List;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of series")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List, A::Error> {
        let mut seen = Names::default();
        while list.next_element_seed(Series(&mut seen))?.is_some() {
            if let Some(limit) = seen.exceeded() {
                drop(seen);
                while list.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(List::TooMuch(limit));
            }
        }
        Ok(List::Summary(seen.summary()))
    }
}

/// The names seen so far, each kept once, so that a series like one before allocates nothing.
#[derive(Default)]
struct Names {
    labels: HashSet<Arc<str>>,
    label_sets: HashSet<LabelNames>,
    metrics: HashMap<Arc<str>, BTreeSet<LabelNames>>,
    kept_bytes: usize,
    /// Of the series that is being read: its metric name, if it came yet, and its labels.
    metric: String,
    series: Vec<Arc<str>>,
}

impl Names {
    fn exceeded(&self) -> Option<&'static str> {
        let has_many_labels = self.series.len() > SERIES_LABELS_MAX;
        let limit = has_many_labels.then_some(SERIES_LABELS_LIMIT);
        limit.or_else(|| (self.kept_bytes > KEPT_BYTES_MAX).then_some(KEPT_LIMIT))
    }

    /// Adds a label of the series that is being read; whether it is the one with the metric name.
    fn add_label(&mut self, name: &str) -> bool {
        if name == NAME_LABEL {
            return true;
        }
        let label = self.labels.get(name).cloned().unwrap_or_else(|| {
            self.kept_bytes += name.len() + ENTRY_BYTES;
            let label = Arc::from(name);
            self.labels.insert(Arc::clone(&label));
            label
        });
        self.series.push(label);
        false
    }

    /// Adds the series that was read, unless it has no name to be found by.
    fn add_series(&mut self) {
        if self.metric.is_empty() {
            return;
        }
        self.series.sort_unstable();
        self.series.dedup();
        let label_set = self.label_sets.get(&*self.series).cloned().unwrap_or_else(|| {
            self.kept_bytes += self.series.len() * size_of::<Arc<str>>() + ENTRY_BYTES;
            let label_set = LabelNames::from(&*self.series);
            self.label_sets.insert(Arc::clone(&label_set));
            label_set
        });
        if let Some(label_sets) = self.metrics.get_mut(&*self.metric) {
            self.kept_bytes += if label_sets.insert(label_set) { ENTRY_BYTES } else { 0 };
        } else {
            self.kept_bytes += self.metric.len() + 2 * ENTRY_BYTES;
            self.metrics.insert(self.metric.as_str().into(), BTreeSet::from([label_set]));
        }
    }

    fn summary(self) -> SeriesSummary {
        // Lists without spare room: a summary is kept until the next one.
        let metrics =
            self.metrics.into_iter().map(|(name, label_sets)| (name, label_sets.into_iter().collect()));
        SeriesSummary { metrics: metrics.collect(), bytes: self.kept_bytes, partial: None }
    }
}

/// Reads one series.
struct Series<'a>(&'a mut Names);

impl<'de> DeserializeSeed<'de> for Series<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Series<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the labels of a series")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.0.metric.clear();
        self.0.series.clear();
        while let Some(is_metric) = map.next_key_seed(Str(|name: &str| self.0.add_label(name)))? {
            if is_metric {
                map.next_value_seed(Str(|name: &str| name.clone_into(&mut self.0.metric)))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            if self.0.exceeded().is_some() {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(());
            }
        }
        self.0.add_series();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
