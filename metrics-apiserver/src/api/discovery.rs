//! Discovery: the groups, versions and resources that exist.
//!
//! The aggregated document lists one pseudo-resource for all metrics of a group: thousands of names would bloat every
//! client's discovery and change its entity tag with each new series. The legacy list of a group has the metrics'
//! names, which people look for after they added a rule.

use serde::Serialize;

use super::group::{Group, ListedMetric, Resource, Version};
use super::json::{Empty, Object};

/// The aggregator compares these parameters before it accepts the body.
pub(super) const AGGREGATED_CONTENT_TYPE: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// `/apis`.
pub(super) fn group_list(groups: &[&Group]) -> impl Serialize + use<> {
    let groups = groups.iter().map(|group| ApiGroup::new(group)).collect();
    Object { kind: "APIGroupList", api_version: "v1", content: GroupList { groups } }
}

/// `/apis/G`.
pub(super) fn group(group: &Group) -> impl Serialize + use<> {
    Object { kind: "APIGroup", api_version: "v1", content: ApiGroup::new(group) }
}

/// `/apis/G/V`: these metrics; the group's own resources if they are not all there are, or if there are none.
pub(super) fn resource_list<'a>(
    group: &Group,
    version: &Version,
    metrics: &'a [ListedMetric],
    is_complete: bool,
) -> impl Serialize + use<'a> {
    let own = if is_complete && !metrics.is_empty() { &[] } else { version.resources };
    // Metrics are read as the group's first resource is.
    let like = version.resources.first();
    let metrics = metrics.iter().zip(like.into_iter().cycle()).map(|(metric, like)| ListedResource {
        name: &metric.name,
        is_namespaced: metric.is_namespaced,
        ..ListedResource::new(like)
    });
    let resources = own.iter().map(ListedResource::new).chain(metrics).collect();
    let content = ResourceList { group_version: group.api_version(version), resources };
    Object { kind: "APIResourceList", api_version: "v1", content }
}

/// `/apis` for clients that know aggregated discovery.
pub(super) fn aggregated(groups: &[&Group]) -> impl Serialize + use<> {
    let items = groups.iter().map(|group| DiscoveryGroup::new(group)).collect();
    Object {
        kind: "APIGroupDiscoveryList",
        api_version: "apidiscovery.k8s.io/v2",
        content: DiscoveryList { metadata: Empty {}, items },
    }
}

#[derive(Serialize)]
struct GroupList {
    groups: Vec<ApiGroup>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceList<'a> {
    group_version: String,
    resources: Vec<ListedResource<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedResource<'a> {
    name: &'a str,
    singular_name: &'static str,
    #[serde(rename = "namespaced")]
    is_namespaced: bool,
    kind: &'static str,
    verbs: &'static [&'static str],
}

impl ListedResource<'_> {
    const fn new(resource: &Resource) -> Self {
        let Resource { name, singular_name, is_namespaced, kind, verbs } = *resource;
        Self { name, singular_name, is_namespaced, kind, verbs }
    }
}

#[derive(Serialize)]
struct DiscoveryList {
    metadata: Empty,
    items: Vec<DiscoveryGroup>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ApiGroup {
    name: &'static str,
    versions: Vec<GroupVersion>,
    preferred_version: Option<GroupVersion>,
}

impl ApiGroup {
    fn new(group: &Group) -> Self {
        let versions = group
            .versions
            .iter()
            .map(|version| GroupVersion { group_version: group.api_version(version), version: version.name });
        let versions: Vec<_> = versions.collect();
        Self { name: group.name, preferred_version: versions.first().cloned(), versions }
    }
}

#[derive(Serialize, Clone)]
#[serde(rename_all = "camelCase")]
struct GroupVersion {
    group_version: String,
    version: &'static str,
}

#[derive(Serialize)]
struct DiscoveryGroup {
    metadata: Named,
    versions: Vec<DiscoveryVersion>,
}

impl DiscoveryGroup {
    fn new(group: &Group) -> Self {
        let resource = |version: &Version, resource: &Resource| DiscoveryResource {
            resource: resource.name,
            response_kind: ResponseKind { group: group.name, version: version.name, kind: resource.kind },
            scope: if resource.is_namespaced { "Namespaced" } else { "Cluster" },
            singular_resource: resource.singular_name,
            verbs: resource.verbs,
        };
        let versions = group.versions.iter().map(|version| DiscoveryVersion {
            version: version.name,
            resources: version.resources.iter().map(|listed| resource(version, listed)).collect(),
            freshness: "Current",
        });
        Self { metadata: Named { name: group.name }, versions: versions.collect() }
    }
}

#[derive(Serialize)]
struct Named {
    name: &'static str,
}

#[derive(Serialize)]
struct DiscoveryVersion {
    version: &'static str,
    resources: Vec<DiscoveryResource>,
    freshness: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DiscoveryResource {
    resource: &'static str,
    response_kind: ResponseKind,
    scope: &'static str,
    singular_resource: &'static str,
    verbs: &'static [&'static str],
}

#[derive(Serialize)]
struct ResponseKind {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
}
