//! `custom.metrics.k8s.io`: the group, its requests, and `MetricValueList`, which a read returns.

mod encode;
mod table;

use super::group::{Group, ListedMetric, Metrics, Resource, Version};
use super::parameters::Parameters;
use super::request::{Request, RequestError};
use super::version::CustomVersion;
use crate::answer::{CustomRequest, WantedObjects};
use crate::catalog::Catalog;
use crate::metric::{FieldSelector, MetricName, Namespace, Scope};

pub(super) use encode::{value_list, value_list_bytes};
pub(super) use table::table;

const NAME: &str = "custom.metrics.k8s.io";
/// The resource that stands for all metrics; a path has a resource of the cluster and a metric's name in its place.
const RESOURCE: &str = "custommetrics";
const LIST_KIND: &str = "MetricValueList";

/// The API group. prometheus-adapter prefers `v1beta1` too; the HPA controller follows the registered `APIServices`.
pub(super) static GROUP: Group = Group {
    name: NAME,
    label: RESOURCE,
    versions: &[
        Version {
            name: "v1beta1",
            openapi: include_str!("v1beta1.json"),
            resources: &[METRICS],
            parse: |segments, parameters| parse(CustomVersion::V1Beta1, segments, parameters),
        },
        Version {
            name: "v1beta2",
            openapi: include_str!("v1beta2.json"),
            resources: &[METRICS],
            parse: |segments, parameters| parse(CustomVersion::V1Beta2, segments, parameters),
        },
    ],
    metrics: |catalog| catalog.serves_custom().then(|| metrics(catalog)),
};

/// `RESOURCE/METRIC`. All metrics of a resource are listed with the scope of the first one: kube-apiserver refuses a
/// group where they differ.
fn metrics(catalog: &Catalog) -> Metrics<'_> {
    let mut first = None;
    Box::new(catalog.custom_metrics().map(move |(resource, scope, metric)| {
        let (_, scope) = first.filter(|(known, _)| *known == resource).unwrap_or((resource, scope));
        first = Some((resource, scope));
        ListedMetric { name: format!("{resource}/{metric}"), is_namespaced: scope == Scope::Namespaced }
    }))
}

const METRICS: Resource =
    Resource { name: RESOURCE, singular_name: "", is_namespaced: true, kind: LIST_KIND, verbs: &["get"] };

/// What kube-apiserver takes for a subresource of the namespace before it, and not for a resource in it.
const SUBRESOURCES_OF_NAMESPACES: [&str; 2] = ["status", "finalize"];

/// All objects of a resource, or all namespaces.
const ALL: &str = "*";

/// `namespaces/NAMESPACE/RESOURCE/NAME/METRIC`, `RESOURCE/NAME/METRIC` or `namespaces/NAMESPACE/metrics/METRIC`, with
/// `?labelSelector=…&metricLabelSelector=…`.
fn parse(
    version: CustomVersion,
    segments: &[&str],
    parameters: &Parameters<'_>,
) -> Result<Option<Request>, RequestError> {
    if segments.contains(&"") {
        return Ok(None);
    }
    let (namespace, resource, name, metric) = match *segments {
        // A metric of the namespace itself.
        ["namespaces", namespace, "metrics", metric] => (None, "namespaces", namespace, metric),
        ["namespaces", _, _] => return Err(RequestError::ShortPath),
        ["namespaces", _, resource, ..] if SUBRESOURCES_OF_NAMESPACES.contains(&resource) => return Ok(None),
        ["namespaces", namespace, resource, name, metric] => (Some(namespace), resource, name, metric),
        [resource, name, metric] => (None, resource, name, metric),
        _ => return Ok(None),
    };
    if parameters.watch {
        return Err(RequestError::Watch { resource: RESOURCE, group: NAME });
    }
    let fields: FieldSelector = parameters.field_selector.parse().map_err(RequestError::FieldSelector)?;
    if !fields.is_empty() && fields.exact_name() != Some(name) {
        return Err(RequestError::FieldName);
    }
    let labels = parameters.label_selector.parse().map_err(RequestError::Selector)?;
    let request = CustomRequest {
        resource: resource.into(),
        namespace: namespace.map(Namespace::parse).transpose().map_err(RequestError::Namespace)?,
        objects: if name == ALL {
            WantedObjects::Selected(labels)
        } else {
            WantedObjects::Named(name.into())
        },
        metric: MetricName::parse(metric).map_err(RequestError::Metric)?,
        selector: parameters.metric_label_selector.parse().map_err(RequestError::MetricSelector)?,
    };
    Ok(Some(Request::Custom { version, request }))
}

#[cfg(test)]
mod tests;
