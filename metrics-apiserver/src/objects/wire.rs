//! The JSON of the Kubernetes API, as far as it is used. Everything else, such as annotations and managed fields, is
//! skipped while decoding.

use std::collections::BTreeMap;

use serde::Deserialize;

/// An object of a `PartialObjectMetadataList`, or of a watch event.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PartialObject {
    #[serde(default)]
    pub(super) metadata: Metadata,
    /// The status code, if the object is a `Status`.
    pub(super) code: Option<u16>,
}

/// Metadata of an object.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) resource_version: String,
}

/// Metadata of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ListMetadata {
    pub(super) resource_version: String,
    pub(super) r#continue: String,
}

/// One line of a watch.
#[derive(Debug, Deserialize)]
pub(super) struct WatchEvent {
    pub(super) r#type: String,
    pub(super) object: PartialObject,
}

/// A group in `APIGroupDiscoveryList`, v2 or v2beta1.
#[derive(Debug, Deserialize)]
pub(super) struct AggregatedGroup {
    #[serde(default)]
    pub(super) metadata: Metadata,
    #[serde(default)]
    pub(super) versions: Vec<AggregatedVersion>,
}

/// A version of a group.
#[derive(Debug, Deserialize)]
pub(super) struct AggregatedVersion {
    pub(super) version: String,
    #[serde(default)]
    pub(super) freshness: String,
    #[serde(default)]
    pub(super) resources: Vec<AggregatedResource>,
}

/// A resource of a version.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AggregatedResource {
    pub(super) resource: String,
    pub(super) response_kind: Option<ResponseKind>,
    #[serde(default)]
    pub(super) scope: String,
    #[serde(default)]
    pub(super) singular_resource: String,
}

/// The kind of a resource's objects.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ResponseKind {
    #[serde(default)]
    pub(super) kind: String,
}

/// A group in `APIGroupList`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LegacyGroup {
    pub(super) name: String,
    pub(super) versions: Vec<LegacyVersion>,
    pub(super) preferred_version: Option<LegacyVersion>,
}

/// A version in `APIGroupList`.
#[derive(Debug, Deserialize)]
pub(super) struct LegacyVersion {
    pub(super) version: String,
}

/// A resource in `APIResourceList`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LegacyResource {
    pub(super) name: String,
    #[serde(default)]
    pub(super) singular_name: String,
    #[serde(default)]
    pub(super) namespaced: bool,
    #[serde(default)]
    pub(super) kind: String,
}
