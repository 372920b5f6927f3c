//! `external.metrics.k8s.io`: the group, its requests, and `ExternalMetricValueList`, which a read returns.

mod table;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::group::{Group, ListedMetric, Metrics, Resource, Version};
use super::json::{self, displayed, labels_bytes, whole_seconds};
use super::parameters::Parameters;
use super::request::{Request, RequestError};
use crate::catalog::Catalog;
use crate::metric::{FieldSelector, Labels, MetricName, Namespace, Quantity, Value};

pub(super) use table::table;

const NAME: &str = "external.metrics.k8s.io";
const API_VERSION: &str = "external.metrics.k8s.io/v1beta1";
/// The one resource that discovery lists; a path has a metric's name in its place.
const RESOURCE: &str = "externalmetrics";
const LIST_KIND: &str = "ExternalMetricValueList";

/// The API group.
pub(super) static GROUP: Group = Group {
    name: NAME,
    label: RESOURCE,
    versions: &[Version {
        name: "v1beta1",
        openapi: include_str!("openapi.json"),
        resources: &[Resource {
            name: RESOURCE,
            singular_name: "",
            is_namespaced: true,
            kind: LIST_KIND,
            verbs: &["get"],
        }],
        parse,
    }],
    metrics: |catalog| catalog.serves_external().then(|| metrics(catalog)),
};

/// Each metric is listed in a namespace, as in prometheus-adapter, whether or not its query is bound to it.
fn metrics(catalog: &Catalog) -> Metrics<'_> {
    let listed = |name: &MetricName| ListedMetric { name: name.to_string(), is_namespaced: true };
    Box::new(catalog.external_metrics().map(listed))
}

/// `namespaces/NAMESPACE/METRIC?labelSelector=…`.
fn parse(segments: &[&str], parameters: &Parameters<'_>) -> Result<Option<Request>, RequestError> {
    let ["namespaces", namespace, metric] = segments else { return Ok(None) };
    if metric.is_empty() {
        return Ok(None);
    }
    if parameters.watch {
        return Err(RequestError::Watch { resource: RESOURCE, group: NAME });
    }
    // It selects nothing here, but a bad one is the client's error.
    parameters.field_selector.parse::<FieldSelector>().map_err(RequestError::FieldSelector)?;
    Ok(Some(Request::External {
        namespace: Namespace::parse(namespace).map_err(RequestError::Namespace)?,
        metric: MetricName::parse(metric).map_err(RequestError::Metric)?,
        selector: parameters.label_selector.parse().map_err(RequestError::Selector)?,
    }))
}

/// What a list has besides its items, and an item besides its name and labels.
const LIST_BYTES: usize = 128;
const ITEM_BYTES: usize = 112;

/// The expected length of [`value_list`]'s JSON; escaped characters make it a little longer.
pub(super) fn value_list_bytes(metric: &str, values: &[Value]) -> usize {
    let item = |value: &Value| ITEM_BYTES + metric.len() + labels_bytes(&value.labels);
    LIST_BYTES + values.iter().map(item).sum::<usize>()
}

/// The JSON of a list of `values` of `metric`.
pub(super) fn value_list(metric: &str, values: &[Value]) -> Vec<u8> {
    json::list(value_list_bytes(metric, values), LIST_KIND, API_VERSION, Items { metric, values })
}

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

/// A scalar has `null`, as in prometheus-adapter.
fn pairs<S: Serializer>(labels: &Labels, serializer: S) -> Result<S::Ok, S::Error> {
    if labels.are_of_scalar() {
        return serializer.serialize_none();
    }
    serializer.collect_map(labels.iter())
}
