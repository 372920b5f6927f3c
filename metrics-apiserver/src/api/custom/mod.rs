//! `custom.metrics.k8s.io`: the group, as yet without metrics. Discovery lists it, and every read is a 404.

use super::group::{Group, Resource, Version};
use super::parameters::Parameters;
use super::request::{Request, RequestError};

/// The one resource that discovery lists: client-go takes an empty list for an error.
const RESOURCE: Resource = Resource {
    name: "custommetrics",
    singular_name: "",
    is_namespaced: true,
    kind: "MetricValueList",
    verbs: &["get"],
};

/// The API group.
pub(super) static GROUP: Group = Group {
    name: "custom.metrics.k8s.io",
    label: "custommetrics",
    versions: &[
        Version { name: "v1beta2", openapi: include_str!("v1beta2.json"), resources: &[RESOURCE], parse },
        Version { name: "v1beta1", openapi: include_str!("v1beta1.json"), resources: &[RESOURCE], parse },
    ],
};

/// No metric exists.
fn parse(_: &[&str], _: &Parameters<'_>) -> Result<Option<Request>, RequestError> {
    Ok(None)
}
