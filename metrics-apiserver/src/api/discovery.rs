//! Discovery: which group, version and resource there are (contract §3.2, §3.3).
//!
//! One pseudo-resource stands for every metric: thousands of names would bloat each client's discovery and change its tag
//! at every reload, and an empty list would be an error to clients. Only `get` is advertised: with `list`, `delete` or
//! `watch` the garbage collector, the quota and the namespace controller would start to read us.

use serde::Serialize;

use super::external::Empty;
use super::{GROUP, GROUP_VERSION, LIST_KIND, PSEUDO_RESOURCE, VERSION};

/// The aggregator compares these parameters before it believes the body.
pub(super) const AGGREGATED_CONTENT_TYPE: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// `/apis`.
pub(super) fn group_list() -> impl Serialize {
    GroupList { kind: "APIGroupList", api_version: "v1", groups: [Group::new()] }
}

/// `/apis/G`.
pub(super) fn group() -> impl Serialize {
    TypedGroup { kind: "APIGroup", api_version: "v1", group: Group::new() }
}

/// `/apis/G/V`.
pub(super) fn resource_list() -> impl Serialize {
    ResourceList {
        kind: "APIResourceList",
        api_version: "v1",
        group_version: GROUP_VERSION,
        resources: [Resource {
            name: PSEUDO_RESOURCE,
            singular_name: "",
            namespaced: true,
            kind: LIST_KIND,
            verbs: ["get"],
        }],
    }
}

/// `/apis` for clients that know aggregated discovery.
pub(super) fn aggregated() -> impl Serialize {
    DiscoveryList {
        kind: "APIGroupDiscoveryList",
        api_version: "apidiscovery.k8s.io/v2",
        metadata: Empty {},
        items: [DiscoveryGroup {
            metadata: Named { name: GROUP },
            versions: [DiscoveryVersion {
                version: VERSION,
                resources: [DiscoveryResource {
                    resource: PSEUDO_RESOURCE,
                    response_kind: ResponseKind { group: GROUP, version: VERSION, kind: LIST_KIND },
                    scope: "Namespaced",
                    singular_resource: "",
                    verbs: ["get"],
                }],
                freshness: "Current",
            }],
        }],
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupList {
    kind: &'static str,
    api_version: &'static str,
    groups: [Group; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TypedGroup {
    kind: &'static str,
    api_version: &'static str,
    #[serde(flatten)]
    group: Group,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: &'static str,
    versions: [GroupVersion; 1],
    preferred_version: GroupVersion,
}

impl Group {
    fn new() -> Self {
        let version = GroupVersion { group_version: GROUP_VERSION, version: VERSION };
        Self { name: GROUP, versions: [version], preferred_version: version }
    }
}

#[derive(Serialize, Clone, Copy)]
#[serde(rename_all = "camelCase")]
struct GroupVersion {
    group_version: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceList {
    kind: &'static str,
    api_version: &'static str,
    group_version: &'static str,
    resources: [Resource; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    name: &'static str,
    singular_name: &'static str,
    namespaced: bool,
    kind: &'static str,
    verbs: [&'static str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DiscoveryList {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    items: [DiscoveryGroup; 1],
}

#[derive(Serialize)]
struct DiscoveryGroup {
    metadata: Named,
    versions: [DiscoveryVersion; 1],
}

#[derive(Serialize)]
struct Named {
    name: &'static str,
}

#[derive(Serialize)]
struct DiscoveryVersion {
    version: &'static str,
    resources: [DiscoveryResource; 1],
    freshness: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DiscoveryResource {
    resource: &'static str,
    response_kind: ResponseKind,
    scope: &'static str,
    singular_resource: &'static str,
    verbs: [&'static str; 1],
}

#[derive(Serialize)]
struct ResponseKind {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
}
