//! `PodMetrics`, `NodeMetrics` and their lists, with the fields in the order in which Go writes them.

use std::time::Duration;

use jiff::Timestamp;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use crate::answer::{ContainerUsage, ObjectUsage, Usage, UsageAnswer, Used};
use crate::api::json::{self, Object, ObjectMeta, displayed, labels_bytes, whole_seconds};
use crate::api::version::UsageVersion;
use crate::metric::{Namespace, Quantity};
use crate::syntax::format_duration;

/// What an object has besides its name, labels and containers.
const OBJECT_BYTES: usize = 160;
/// What a container has besides its name.
const CONTAINER_BYTES: usize = 64;

/// The expected length of [`usage`]'s JSON.
pub(in crate::api) fn usage_bytes(answer: &UsageAnswer) -> usize {
    let object = |usage: &ObjectUsage| {
        let containers: usize = match &usage.used {
            Used::Node(_) => CONTAINER_BYTES,
            Used::Pod(containers) => containers.iter().map(|c| CONTAINER_BYTES + c.name.len()).sum(),
        };
        OBJECT_BYTES + usage.object.name.len() + labels_bytes(&usage.object.labels) + containers
    };
    OBJECT_BYTES + answer.items.iter().map(object).sum::<usize>()
}

/// The JSON of an answer: one object, or a list.
pub(in crate::api) fn usage(version: UsageVersion, answer: &UsageAnswer, now: Timestamp) -> Vec<u8> {
    let (bytes, api_version) = (usage_bytes(answer), version.api_version());
    let item = |usage| Item::new(usage, answer.window, now);
    match answer.items.first() {
        Some(one) if answer.is_single => {
            let kind = if answer.is_of_pods { "PodMetrics" } else { "NodeMetrics" };
            let mut body = Vec::with_capacity(bytes);
            json::write(&mut body, &Object { kind, api_version, content: item(one) });
            body
        }
        _ => {
            let kind = if answer.is_of_pods { "PodMetricsList" } else { "NodeMetricsList" };
            json::list(bytes, kind, api_version, answer.items.iter().map(item).collect::<Vec<_>>())
        }
    }
}

/// An object counts as created `now`, as in metrics-server.
pub(super) fn metadata(of: &ObjectUsage, now: Timestamp) -> ObjectMeta<'_> {
    ObjectMeta {
        name: &of.object.name,
        namespace: of.object.namespace.as_ref().map(Namespace::as_str),
        creation_timestamp: Some(now),
        labels: Some(&of.object.labels).filter(|labels| !labels.is_empty()),
    }
}

#[derive(Serialize)]
struct Item<'a> {
    metadata: ObjectMeta<'a>,
    #[serde(serialize_with = "whole_seconds")]
    timestamp: Timestamp,
    #[serde(serialize_with = "go_duration")]
    window: Duration,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Amounts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    containers: Option<Containers<'a>>,
}

impl<'a> Item<'a> {
    fn new(of: &'a ObjectUsage, window: Duration, now: Timestamp) -> Self {
        let metadata = metadata(of, now);
        let (usage, containers) = match &of.used {
            Used::Node(usage) => (Some(usage.into()), None),
            Used::Pod(containers) => (None, Some(Containers(containers))),
        };
        Self { metadata, timestamp: of.timestamp, window, usage, containers }
    }
}

fn go_duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_duration(*duration))
}

struct Containers<'a>(&'a [ContainerUsage]);

impl Serialize for Containers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Container))
    }
}

struct Container<'a>(&'a ContainerUsage);

impl Serialize for Container<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("name", &*self.0.name)?;
        map.serialize_entry("usage", &Amounts::from(&self.0.usage))?;
        map.end()
    }
}

/// Go prints the map sorted.
#[derive(Serialize)]
struct Amounts {
    #[serde(serialize_with = "displayed")]
    cpu: Quantity,
    #[serde(serialize_with = "displayed")]
    memory: Quantity,
}

impl From<&Usage> for Amounts {
    fn from(usage: &Usage) -> Self {
        Self { cpu: usage.cpu, memory: usage.memory }
    }
}
