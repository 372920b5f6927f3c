//! The response of `/api/v1/query`: the samples of an instant vector, or the one of a scalar.
//!
//! In two passes over the bytes, because what `result` holds depends on `resultType`, which may come after it.

use std::borrow::Cow;
use std::fmt;

use jiff::{SignedDuration, Timestamp, Unit};
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::envelope::Envelope;
use super::error::DecodeError;
use super::labels::{SERIES_LABELS_LIMIT, SERIES_LABELS_MAX, Str};
use crate::backend::annotations::Annotations;
use crate::metric::{Labels, Packing, Sample};

/// Series in one response: more than the pods of the largest workloads, for rules that return one value per pod.
pub(crate) const SAMPLES_MAX: usize = 10_000;
const SAMPLES_LIMIT: &str = "10000 series";

/// Labels in one response, 20 for each of [`SAMPLES_MAX`] series.
const LABELS_MAX: usize = 200_000;
const LABELS_LIMIT: &str = "200000 labels";

/// When year 1 begins, in milliseconds. The range of [`Timestamp`] ends with year 9999, as RFC 3339's does.
const YEAR_1: i64 = -62_135_596_800_000;

/// The samples of a vector, or the one of a scalar, and the annotations.
pub(crate) fn vector(body: &[u8]) -> Result<(Vec<Sample>, Annotations), DecodeError> {
    let (data, annotations) = serde_json::from_slice::<Envelope<Head>>(body)?.open()?;
    let samples = samples(body, data.and_then(|data| data.result_type).as_deref())?;
    Ok((samples, annotations))
}

fn samples(body: &[u8], result_type: Option<&str>) -> Result<Vec<Sample>, DecodeError> {
    match result_type {
        Some("vector") => match serde_json::from_slice::<Body<Vector>>(body)?.data.result {
            Vector::Samples(samples) => Ok(samples),
            Vector::TooMuch(limit) => Err(DecodeError::TooMuch(limit)),
            Vector::Histogram => Err(DecodeError::Unfit(
                "the query returns a native histogram; make it a number, for example with histogram_quantile()",
            )),
        },
        Some("scalar") => {
            let point = serde_json::from_slice::<Body<Point<'_>>>(body)?.data.result;
            Ok(vec![
                point
                    .sample(Labels::of_scalar())
                    .map_err(|problem| DecodeError::Malformed(problem.to_owned()))?,
            ])
        }
        Some("matrix") => Err(DecodeError::Unfit(
            "the query returns a matrix; it must return an instant vector or a scalar",
        )),
        Some("string") => Err(DecodeError::Unfit(
            "the query returns a string; it must return an instant vector or a scalar",
        )),
        Some(_) => Err(DecodeError::Malformed("an unknown resultType".to_owned())),
        None => Err(DecodeError::Malformed("no resultType".to_owned())),
    }
}

/// The data without its result.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "resultType")]
    result_type: Option<String>,
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

    /// No data, as Prometheus 2.0, old Thanos and Google's frontend write it.
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

/// The labels of a series; one more than the limit, if there are too many.
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
        while map.next_key_seed(Str(|name: &str| labels.push(name)))?.is_some() {
            map.next_value_seed(Str(|value: &str| labels.push(value)))?;
            if labels.labels() > SERIES_LABELS_MAX {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                break;
            }
        }
        Ok(SeriesLabels(labels))
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
        self.value.ok_or("a series has no value")?.sample(self.metric.0.pack())
    }
}

/// Time in seconds, and the value as text.
#[derive(Deserialize)]
struct Point<'a>(f64, #[serde(borrow)] Cow<'a, str>);

impl Point<'_> {
    fn sample(&self, labels: Labels) -> Result<Sample, &'static str> {
        // Rust parses all that Go prints: 1e-7, NaN, +Inf, -Inf.
        let value = self.1.parse().map_err(|_| "a value is not a number")?;
        Ok(Sample { labels, value, timestamp: timestamp(self.0).ok_or("a timestamp is out of range")? })
    }
}

/// Prometheus counts in milliseconds; a float of seconds is off by less than half of one. None for a year that RFC 3339
/// does not have: an HPA could not decode the answer.
fn timestamp(seconds: f64) -> Option<Timestamp> {
    let since_epoch = SignedDuration::try_from_secs_f64(seconds).ok()?;
    let timestamp = Timestamp::from_duration(since_epoch).ok()?.round(Unit::Millisecond).ok()?;
    (timestamp.as_millisecond() >= YEAR_1).then_some(timestamp)
}

#[cfg(test)]
mod tests;
