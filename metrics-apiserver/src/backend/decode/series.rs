//! The response of `/api/v1/series`: which metric names exist, and with which sets of label names.
//!
//! A response may list 100,000 series in 50 MB, most of which differ in label values only. So it is decoded while it
//! arrives, and label values are skipped: memory grows with the number of distinct names, not with the number of
//! series. Each series is taken out of the body ([`elements`]) and decoded from memory: the JSON reader would need four
//! times as long for the body, which it reads byte by byte.

mod elements;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use elements::Elements;

use super::envelope::Envelope;
use super::error::DecodeError;
use super::labels::{NAME_LABEL, SERIES_LABELS_LIMIT, SERIES_LABELS_MAX, Str};
use crate::backend::annotations::Annotations;

/// What is kept of one response: some 50,000 metric names.
pub(crate) const KEPT_BYTES_MAX: usize = 8 << 20;
const KEPT_LIMIT: &str = "8 MiB of metric and label names";

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
    let mut names = Names::default();
    let mut elements = Elements::new(body, |series: &[u8]| names.add(series));
    let decoded = serde_json::from_reader::<_, Envelope<Taken>>(io::BufReader::new(&mut elements));
    if let Some(error) = elements.into_error() {
        return Err(error);
    }
    let (data, annotations) = decoded?.open()?;
    let summary = data.map(|Taken| names.summary()).unwrap_or_default();
    Ok((summary, annotations))
}

/// The `data` of a response, whose series were taken out before.
struct Taken;

impl<'de> Deserialize<'de> for Taken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(TakenVisitor)
    }
}

struct TakenVisitor;

impl<'de> Visitor<'de> for TakenVisitor {
    type Value = Taken;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of series")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Taken, A::Error> {
        while list.next_element_seed(EmptyObject)?.is_some() {}
        Ok(Taken)
    }
}

/// What is left of a series that was taken out.
struct EmptyObject;

impl<'de> DeserializeSeed<'de> for EmptyObject {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EmptyObject {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the labels of a series")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        match map.next_key::<IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(de::Error::custom("series outside of `data`")),
        }
    }
}

/// Ends a label name in [`Names::series`]: no byte of UTF-8.
const NAME_END: u8 = 0xff;

/// The names seen so far, each kept once, so that a series like one before allocates nothing.
#[derive(Default)]
struct Names {
    labels: HashSet<Arc<str>>,
    /// The sets of label names, and by the names in the order they came in.
    label_sets: HashSet<LabelNames>,
    by_order: HashMap<Box<[u8]>, LabelNames>,
    metrics: HashMap<Arc<str>, BTreeSet<LabelNames>>,
    kept_bytes: usize,
    /// What only the decoder keeps.
    order_bytes: usize,
    /// Of the series that is being read: its metric name, if it came yet, and its label names and their number.
    metric: String,
    series: Vec<u8>,
    series_labels: usize,
    /// Of the series before, which is mostly the same: series come sorted.
    last: (String, Vec<u8>),
}

impl Names {
    /// Adds a series, which is a JSON object.
    fn add(&mut self, series: &[u8]) -> Result<(), DecodeError> {
        let mut json = serde_json::Deserializer::from_slice(series);
        Series(&mut *self).deserialize(&mut json)?;
        json.end()?;
        self.exceeded().map_or(Ok(()), |limit| Err(DecodeError::TooMuch(limit)))
    }

    fn exceeded(&self) -> Option<&'static str> {
        let has_many_labels = self.series_labels > SERIES_LABELS_MAX;
        let limit = has_many_labels.then_some(SERIES_LABELS_LIMIT);
        limit.or_else(|| (self.kept_bytes + self.order_bytes > KEPT_BYTES_MAX).then_some(KEPT_LIMIT))
    }

    /// Adds a label of the series that is being read; whether it is the one with the metric name.
    fn add_label(&mut self, name: &str) -> bool {
        if name == NAME_LABEL {
            return true;
        }
        self.series.extend_from_slice(name.as_bytes());
        self.series.push(NAME_END);
        self.series_labels += 1;
        false
    }

    /// Adds the series that was read, unless it has no name to be found by.
    fn add_series(&mut self) {
        if self.metric.is_empty() || (self.metric == self.last.0 && self.series == self.last.1) {
            return;
        }
        let label_set = match self.by_order.get(&*self.series) {
            Some(known) => Arc::clone(known),
            None => self.label_set(),
        };
        if let Some(label_sets) = self.metrics.get_mut(&*self.metric) {
            self.kept_bytes += if label_sets.insert(label_set) { ENTRY_BYTES } else { 0 };
        } else {
            self.kept_bytes += self.metric.len() + 2 * ENTRY_BYTES;
            self.metrics.insert(self.metric.as_str().into(), BTreeSet::from([label_set]));
        }
        std::mem::swap(&mut self.metric, &mut self.last.0);
        std::mem::swap(&mut self.series, &mut self.last.1);
    }

    /// The set of label names of a series whose labels have not come in this order yet.
    fn label_set(&mut self) -> LabelNames {
        let mut names = Vec::with_capacity(self.series_labels);
        for name in self.series.split(|byte| *byte == NAME_END).take(self.series_labels) {
            let name = str::from_utf8(name).unwrap_or_default();
            let label = self.labels.get(name).cloned().unwrap_or_else(|| {
                self.kept_bytes += name.len() + ENTRY_BYTES;
                let label = Arc::from(name);
                self.labels.insert(Arc::clone(&label));
                label
            });
            names.push(label);
        }
        names.sort_unstable();
        names.dedup();
        let label_set = self.label_sets.get(&*names).cloned().unwrap_or_else(|| {
            self.kept_bytes += names.len() * size_of::<Arc<str>>() + ENTRY_BYTES;
            let label_set = LabelNames::from(names);
            self.label_sets.insert(Arc::clone(&label_set));
            label_set
        });
        self.order_bytes += self.series.len() + ENTRY_BYTES;
        self.by_order.insert(self.series.as_slice().into(), Arc::clone(&label_set));
        label_set
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
        self.0.series_labels = 0;
        while let Some(is_metric) = map.next_key_seed(Str(|name: &str| self.0.add_label(name)))? {
            if is_metric {
                map.next_value_seed(Str(|name: &str| name.clone_into(&mut self.0.metric)))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            if self.0.series_labels > SERIES_LABELS_MAX {
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
