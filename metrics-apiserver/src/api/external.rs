//! `ExternalMetricValueList`: what a read answers (contract §4.3).

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::{GROUP_VERSION, LIST_KIND};
use crate::metric::{Labels, Quantity, Value};

/// What a list has besides its items, and an item besides its name and labels.
const LIST_BYTES: usize = 128;
const ITEM_BYTES: usize = 112;
/// What a label has besides its text.
const LABEL_BYTES: usize = 6;

/// How long [`value_list`]'s JSON will be, or a little less: what must be escaped takes more.
pub fn value_list_bytes(metric: &str, values: &[Value]) -> usize {
    let labels = |labels: &Labels| {
        labels.iter().map(|(name, value)| LABEL_BYTES + name.len() + value.len()).sum::<usize>()
    };
    LIST_BYTES + values.iter().map(|value| ITEM_BYTES + metric.len() + labels(&value.labels)).sum::<usize>()
}

/// The JSON of a list of `values` of `metric`, ended by one newline as Go's encoder does.
pub fn value_list(metric: &str, values: &[Value]) -> Vec<u8> {
    let mut body = Vec::with_capacity(value_list_bytes(metric, values));
    let list = List {
        kind: LIST_KIND,
        api_version: GROUP_VERSION,
        metadata: Empty {},
        items: Items { metric, values },
    };
    super::document::write_json(&mut body, &list);
    body
}

/// The fields in the order in which Go writes them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    items: Items<'a>,
}

/// `{}`.
#[derive(Serialize)]
pub(super) struct Empty {}

struct Items<'a> {
    metric: &'a str,
    values: &'a [Value],
}

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.values.iter().map(|value| Item {
            metric_name: self.metric,
            metric_labels: &value.labels,
            timestamp: value.timestamp,
            value: value.quantity,
        }))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    metric_name: &'a str,
    #[serde(serialize_with = "pairs")]
    metric_labels: &'a Labels,
    #[serde(serialize_with = "whole_seconds")]
    timestamp: Timestamp,
    #[serde(serialize_with = "displayed")]
    value: Quantity,
}

fn pairs<S: Serializer>(labels: &Labels, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels.iter())
}

/// RFC 3339 in UTC without a fraction: `metav1.Time` has whole seconds.
fn whole_seconds<S: Serializer>(timestamp: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&seconds(*timestamp))
}

/// The timestamp without its fraction.
pub(super) fn seconds(timestamp: Timestamp) -> Timestamp {
    Timestamp::from_second(timestamp.as_second()).unwrap_or(timestamp)
}

fn displayed<S: Serializer>(value: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
