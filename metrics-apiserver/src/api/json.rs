//! What the JSON encodings share.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::ser::SerializeMap as _;
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

/// The JSON of a list of about so many bytes, with the fields in the order in which Go writes them.
pub(super) fn list(
    bytes: usize,
    kind: &'static str,
    api_version: &'static str,
    items: impl Serialize,
) -> Vec<u8> {
    let mut body = Vec::with_capacity(bytes);
    write(&mut body, &List { kind, api_version, metadata: Empty {}, items });
    body
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<I> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    items: I,
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

/// The metadata of an object; what there is none of is left out.
#[derive(Default)]
pub(super) struct ObjectMeta<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: Option<&'a str>,
    pub(super) creation_timestamp: Option<Timestamp>,
    pub(super) labels: Option<&'a Labels>,
}

/// With the fields in the order in which Go writes them.
impl Serialize for ObjectMeta<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", self.name)?;
        if let Some(namespace) = self.namespace {
            map.serialize_entry("namespace", namespace)?;
        }
        if let Some(time) = self.creation_timestamp {
            map.serialize_entry("creationTimestamp", &Seconds(time))?;
        }
        if let Some(labels) = self.labels {
            map.serialize_entry("labels", &labels.iter().collect::<BTreeMap<_, _>>())?;
        }
        map.end()
    }
}

struct Seconds(Timestamp);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        whole_seconds(&self.0, serializer)
    }
}
