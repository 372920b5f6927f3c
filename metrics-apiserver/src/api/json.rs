//! What the JSON encodings share.

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::metric::Labels;

/// Appends the JSON of `content` and a newline, as Go's encoder does.
///
/// Writing to memory cannot fail, and none of our types has a key that is not a string or a number that JSON lacks. The
/// golden tests would notice an empty body.
pub(super) fn write(body: &mut Vec<u8>, content: &impl Serialize) {
    if serde_json::to_writer(&mut *body, content).is_err() {
        body.clear();
    }
    body.push(b'\n');
}

/// `{}`.
#[derive(Serialize)]
pub(super) struct Empty {}

/// An object of a kind.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Object<T> {
    pub(super) kind: &'static str,
    pub(super) api_version: &'static str,
    #[serde(flatten)]
    pub(super) content: T,
}

/// What a label has besides its text.
const LABEL_BYTES: usize = 6;

/// The length of the JSON of labels, without its braces, unless characters are escaped.
pub(super) fn labels_bytes(labels: &Labels) -> usize {
    labels.iter().map(|(name, value)| LABEL_BYTES + name.len() + value.len()).sum()
}

/// Writes a `metav1.Time`: RFC 3339 in UTC with whole seconds.
pub(super) fn whole_seconds<S: Serializer>(timestamp: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    displayed(&Timestamp::from_second(timestamp.as_second()).unwrap_or(*timestamp), serializer)
}

/// Writes a string as `Display` prints it.
pub(super) fn displayed<S: Serializer>(
    value: &impl std::fmt::Display,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// The metadata of an object, with the fields in the order in which Go writes them; empty ones are left out.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObjectMeta<'a> {
    pub(super) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "time")]
    pub(super) creation_timestamp: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "pairs")]
    pub(super) labels: Option<&'a Labels>,
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn time<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => whole_seconds(time, serializer),
        None => serializer.serialize_none(),
    }
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn pairs<S: Serializer>(labels: &Option<&Labels>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels.iter().flat_map(|labels| labels.iter()))
}
