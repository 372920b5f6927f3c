//! `metrics.k8s.io`: the group, its requests, and the CPU and memory usage that a read returns.
//!
//! The two versions have one schema. `kubectl top`, and HPAs with metrics of type `Resource` and `ContainerResource`,
//! read this API.

mod encode;
mod table;
#[cfg(test)]
mod tests;

use crate::answer::{UsageRequest, UsageTarget};
use crate::metric::Namespace;

use super::group::{Group, Metrics, Resource, Version};
use super::parameters::Parameters;
use super::request::{Request, RequestError};
use super::version::UsageVersion;

pub(super) use encode::{usage, usage_bytes};
pub(super) use table::table;

const NAME: &str = "metrics.k8s.io";

/// The API group.
pub(super) static GROUP: Group = Group {
    name: NAME,
    label: "resourcemetrics",
    versions: &[
        Version {
            name: "v1beta1",
            openapi: include_str!("v1beta1.json"),
            resources: RESOURCES,
            parse: |segments, parameters| parse(UsageVersion::V1Beta1, segments, parameters),
        },
        Version {
            name: "v1",
            openapi: include_str!("v1.json"),
            resources: RESOURCES,
            parse: |segments, parameters| parse(UsageVersion::V1, segments, parameters),
        },
    ],
    metrics: |catalog| catalog.resource().map(|_| -> Metrics<'_> { Box::new(std::iter::empty()) }),
};

const RESOURCES: &[Resource] = &[
    Resource {
        name: "nodes",
        singular_name: "",
        is_namespaced: false,
        kind: "NodeMetrics",
        verbs: &["get", "list"],
    },
    Resource {
        name: "pods",
        singular_name: "",
        is_namespaced: true,
        kind: "PodMetrics",
        verbs: &["get", "list"],
    },
];

/// `nodes`, `nodes/NODE`, `pods`, `namespaces/NAMESPACE/pods`, `namespaces/NAMESPACE/pods/POD`, with `labelSelector`
/// and `fieldSelector`.
fn parse(
    version: UsageVersion,
    segments: &[&str],
    parameters: &Parameters<'_>,
) -> Result<Option<Request>, RequestError> {
    let namespace = |text| Namespace::parse(text).map_err(RequestError::Namespace);
    let (resource, target, name) = match segments {
        ["nodes"] => ("nodes", UsageTarget::Nodes, None),
        ["nodes", name] => ("nodes", UsageTarget::Nodes, Some(*name)),
        ["pods"] => ("pods", UsageTarget::Pods(None), None),
        ["namespaces", of, "pods"] => ("pods", UsageTarget::Pods(Some(namespace(of)?)), None),
        ["namespaces", of, "pods", name] => ("pods", UsageTarget::Pods(Some(namespace(of)?)), Some(*name)),
        _ => return Ok(None),
    };
    if name.is_some_and(str::is_empty) {
        return Ok(None);
    }
    if parameters.watch {
        return Err(RequestError::Watch { resource, group: NAME });
    }
    // A get ignores selectors, as in Go's API servers.
    let (labels, fields) = match name {
        Some(_) => Default::default(),
        None => (
            parameters.label_selector.parse().map_err(RequestError::Selector)?,
            parameters.field_selector.parse().map_err(RequestError::FieldSelector)?,
        ),
    };
    let name = name.map(Into::into);
    Ok(Some(Request::Usage { version, request: UsageRequest { target, name, labels, fields } }))
}
