//! The answer of Prometheus' `/api/v1/query`, decoded within bounds.
//!
//! In two passes over the bytes, since what `result` holds depends on `resultType`, which may come after it.

use std::borrow::Cow;
use std::fmt;

use jiff::{SignedDuration, Timestamp, Unit};
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::annotations::{Annotations, Infos, Warnings};
use crate::metric::{Labels, Packing, Sample};

/// Series in one answer: more than the pods of the largest workloads, for rules that let one value a pod pass.
pub(super) const SAMPLES_MAX: usize = 10_000;
const SAMPLES_LIMIT: &str = "10000 series";

/// Labels of one series; Mimir refuses series with more than 40.
const SERIES_LABELS_MAX: usize = 256;
const SERIES_LABELS_LIMIT: &str = "256 labels in a series";

/// Labels in one answer, 20 for each of [`SAMPLES_MAX`] series.
const LABELS_MAX: usize = 200_000;
const LABELS_LIMIT: &str = "200000 labels";

/// The label that holds a series' metric name, which is no label of what was measured; an answer names its metric itself.
const NAME_LABEL: &str = "__name__";

/// When year 1 begins, in milliseconds; the library's own range ends with year 9999, as RFC 3339's does.
const YEAR_1: i64 = -62_135_596_800_000;

/// Why a body gives no samples.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DecodeError {
    /// `status: error`.
    Failure(Failure),
    /// Not JSON, or not what Prometheus sends.
    Malformed(String),
    /// What Prometheus sends, but no numbers: the query is at fault.
    Unfit(&'static str),
    /// More than so many.
    TooMuch(&'static str),
}

/// What Prometheus says went wrong.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Failure {
    /// `errorType`: `timeout`, `execution`, `bad_data` …
    pub(super) kind: String,
    /// `error`, in Prometheus' words.
    pub(super) message: String,
}

/// The samples of a vector, or the one of a scalar; and what else the answer says.
pub(super) fn answer(body: &[u8]) -> Result<(Vec<Sample>, Annotations), DecodeError> {
    let head: Head<'_> = parse(body)?;
    if let Some(failure) = head.failure() {
        return Err(DecodeError::Failure(failure));
    }
    let samples = samples(body, head.result_type())?;
    Ok((samples, Annotations::new(head.warnings, head.infos, head.is_partial)))
}

fn samples(body: &[u8], result_type: Option<&str>) -> Result<Vec<Sample>, DecodeError> {
    match result_type {
        Some("vector") => match parse::<Body<Vector>>(body)?.data.result {
            Vector::Samples(samples) => Ok(samples),
            Vector::TooMuch(limit) => Err(DecodeError::TooMuch(limit)),
            Vector::Histogram => Err(DecodeError::Unfit(
                "the query gives a native histogram; make it a number, as by histogram_quantile()",
            )),
        },
        Some("scalar") => {
            let point = parse::<Body<Point<'_>>>(body)?.data.result;
            Ok(vec![
                point.sample(Labels::new()).map_err(|problem| DecodeError::Malformed(problem.to_owned()))?,
            ])
        }
        Some("matrix") => {
            Err(DecodeError::Unfit("the query gives a matrix; it must give an instant vector or a scalar"))
        }
        Some("string") => {
            Err(DecodeError::Unfit("the query gives a string; it must give an instant vector or a scalar"))
        }
        Some(_) => Err(DecodeError::Malformed("an unknown resultType".to_owned())),
        None => Err(DecodeError::Malformed("no resultType".to_owned())),
    }
}

/// What a body with an error's status code says, if it is Prometheus'.
pub(super) fn failure(body: &[u8]) -> Option<Failure> {
    parse::<Head<'_>>(body).ok()?.failure()
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(body).map_err(|error| DecodeError::Malformed(error.to_string()))
}

/// All but the result.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<DataHead<'a>>,
    #[serde(rename = "errorType")]
    error_type: Option<String>,
    error: Option<String>,
    #[serde(default)]
    warnings: Warnings,
    #[serde(default)]
    infos: Infos,
    #[serde(rename = "isPartial", default)]
    is_partial: bool,
}

#[derive(Deserialize)]
struct DataHead<'a> {
    #[serde(rename = "resultType", borrow)]
    result_type: Option<Cow<'a, str>>,
}

impl Head<'_> {
    fn failure(&self) -> Option<Failure> {
        let said = |text: &Option<String>| text.clone().unwrap_or_default();
        let failure = Failure { kind: said(&self.error_type), message: said(&self.error) };
        (self.status != "success").then_some(failure)
    }

    fn result_type(&self) -> Option<&str> {
        self.data.as_ref()?.result_type.as_deref()
    }
}

#[derive(Deserialize)]
struct Body<T> {
    data: Data<T>,
}

#[derive(Deserialize)]
struct Data<T> {
    result: T,
}

enum Vector {
    Samples(Vec<Sample>),
    Histogram,
    TooMuch(&'static str),
}

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VectorVisitor)
    }
}

struct VectorVisitor;

impl<'de> Visitor<'de> for VectorVisitor {
    type Value = Vector;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of series")
    }

    /// No data, as Prometheus 2.0, old Thanos and Google's frontend say it.
    fn visit_unit<E>(self) -> Result<Vector, E> {
        Ok(Vector::Samples(Vec::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vector, A::Error> {
        let (mut samples, mut labels) = (Vec::new(), 0);
        let end = loop {
            let Some(series) = list.next_element::<Series<'_>>()? else {
                samples.shrink_to_fit();
                return Ok(Vector::Samples(samples));
            };
            labels += series.metric.0.labels();
            if series.metric.0.labels() > SERIES_LABELS_MAX {
                break Vector::TooMuch(SERIES_LABELS_LIMIT);
            }
            if labels > LABELS_MAX {
                break Vector::TooMuch(LABELS_LIMIT);
            }
            if samples.len() == SAMPLES_MAX {
                break Vector::TooMuch(SAMPLES_LIMIT);
            }
            if series.histogram.is_some() {
                break Vector::Histogram;
            }
            samples.push(series.sample().map_err(A::Error::custom)?);
        };
        drop(samples);
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(end)
    }
}

/// The labels of a series; one more than there may be, if there are too many.
struct SeriesLabels(Packing);

impl<'de> Deserialize<'de> for SeriesLabels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LabelsVisitor)
    }
}

struct LabelsVisitor;

impl<'de> Visitor<'de> for LabelsVisitor {
    type Value = SeriesLabels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("labels")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SeriesLabels, A::Error> {
        let mut labels = Packing::default();
        while map.next_key_seed(Piece(&mut labels))?.is_some() {
            map.next_value_seed(Piece(&mut labels))?;
            if labels.labels() > SERIES_LABELS_MAX {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                break;
            }
        }
        Ok(SeriesLabels(labels))
    }
}

/// Adds a name or a value without a text of its own for it.
struct Piece<'a>(&'a mut Packing);

impl<'de> DeserializeSeed<'de> for Piece<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Piece<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.push(text);
        Ok(())
    }
}

#[derive(Deserialize)]
struct Series<'a> {
    metric: SeriesLabels,
    #[serde(borrow)]
    value: Option<Point<'a>>,
    histogram: Option<IgnoredAny>,
}

impl Series<'_> {
    fn sample(self) -> Result<Sample, &'static str> {
        self.value.ok_or("a series has no value")?.sample(self.metric.0.pack().without(NAME_LABEL))
    }
}

/// Time in seconds, and the value as text.
#[derive(Deserialize)]
struct Point<'a>(f64, #[serde(borrow)] Cow<'a, str>);

impl Point<'_> {
    fn sample(&self, labels: Labels) -> Result<Sample, &'static str> {
        // Rust reads all that Go writes: 1e-7, NaN, +Inf, -Inf.
        let value = self.1.parse().map_err(|_| "a value is no number")?;
        Ok(Sample { labels, value, timestamp: timestamp(self.0).ok_or("a timestamp is out of range")? })
    }
}

/// Prometheus counts in milliseconds; a float of seconds is off by less than half of one. None for what RFC 3339 has no
/// year for: an HPA could not read the whole answer.
fn timestamp(seconds: f64) -> Option<Timestamp> {
    let since_epoch = SignedDuration::try_from_secs_f64(seconds).ok()?;
    let timestamp = Timestamp::from_duration(since_epoch).ok()?.round(Unit::Millisecond).ok()?;
    (timestamp.as_millisecond() >= YEAR_1).then_some(timestamp)
}

#[cfg(test)]
mod tests;
