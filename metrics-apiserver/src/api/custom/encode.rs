//! `MetricValueList` of both versions.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::LIST_KIND;
use crate::answer::{CustomAnswer, CustomRequest};
use crate::api::json::{self, displayed, whole_seconds};
use crate::api::version::CustomVersion;
use crate::metric::{Namespace, Operator, Quantity, ResourceInfo, Selector};

/// What a list has besides its items, and an item besides its names.
const LIST_BYTES: usize = 128;
const ITEM_BYTES: usize = 224;
/// What a requirement of the metric's selector has besides its text.
const REQUIREMENT_BYTES: usize = 48;

/// The expected length of [`value_list`]'s JSON.
pub(in crate::api) fn value_list_bytes(request: &CustomRequest, answer: &CustomAnswer) -> usize {
    let namespace = request.namespace.as_ref().map_or(0, |namespace| namespace.as_str().len());
    let requirements = request.selector.requirements();
    let selector = if requirements.is_empty() {
        0
    } else {
        request.selector.to_string().len() + requirements.len() * REQUIREMENT_BYTES
    };
    let item = ITEM_BYTES + namespace + request.metric.as_str().len() + selector;
    LIST_BYTES + answer.values.iter().map(|(object, _)| item + object.name.len()).sum::<usize>()
}

/// The JSON of the values that a request gets at `now`.
pub(in crate::api) fn value_list(
    version: CustomVersion,
    request: &CustomRequest,
    answer: &CustomAnswer,
    now: Timestamp,
) -> Vec<u8> {
    let api_version = match version {
        CustomVersion::V1Beta1 => "custom.metrics.k8s.io/v1beta1",
        CustomVersion::V1Beta2 => "custom.metrics.k8s.io/v1beta2",
    };
    let items = Items { version, request, answer, now };
    json::list(value_list_bytes(request, answer), LIST_KIND, api_version, items)
}

struct Items<'a> {
    version: CustomVersion,
    request: &'a CustomRequest,
    answer: &'a CustomAnswer,
    now: Timestamp,
}

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ResourceInfo { resource, version, kind, .. } = &*self.answer.resource;
        // The core group has a slash before its version too: so prometheus-adapter writes it.
        let api_version = format!("{}/{version}", resource.group);
        let selector = LabelSelector::new(&self.request.selector);
        let metric = self.request.metric.as_str();
        serializer.collect_seq(self.answer.values.iter().map(|(object, value)| {
            let described_object = ObjectReference {
                kind,
                namespace: object.namespace.as_ref().map(Namespace::as_str),
                name: &object.name,
                api_version: &api_version,
            };
            let (timestamp, value) = (self.now, value.quantity);
            match self.version {
                CustomVersion::V1Beta1 => Item::V1Beta1(ItemV1Beta1 {
                    described_object,
                    metric_name: metric,
                    timestamp,
                    value,
                    selector: selector.as_ref(),
                }),
                CustomVersion::V1Beta2 => Item::V1Beta2(ItemV1Beta2 {
                    described_object,
                    metric: MetricIdentifier { name: metric, selector: selector.as_ref() },
                    timestamp,
                    value,
                }),
            }
        }))
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Item<'a> {
    V1Beta1(ItemV1Beta1<'a>),
    V1Beta2(ItemV1Beta2<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemV1Beta1<'a> {
    described_object: ObjectReference<'a>,
    metric_name: &'a str,
    #[serde(serialize_with = "whole_seconds")]
    timestamp: Timestamp,
    #[serde(serialize_with = "displayed")]
    value: Quantity,
    selector: Option<&'a LabelSelector<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemV1Beta2<'a> {
    described_object: ObjectReference<'a>,
    metric: MetricIdentifier<'a>,
    #[serde(serialize_with = "whole_seconds")]
    timestamp: Timestamp,
    #[serde(serialize_with = "displayed")]
    value: Quantity,
}

#[derive(Serialize)]
struct MetricIdentifier<'a> {
    name: &'a str,
    selector: Option<&'a LabelSelector<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectReference<'a> {
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    name: &'a str,
    api_version: &'a str,
}

/// The metric's selector as the request had it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LabelSelector<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    match_labels: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    match_expressions: Vec<Expression<'a>>,
}

#[derive(Serialize)]
struct Expression<'a> {
    key: &'a str,
    operator: &'static str,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    values: BTreeSet<&'a str>,
}

impl<'a> LabelSelector<'a> {
    /// None if the selector is empty. A `LabelSelector` has no `!=`, which is `NotIn` with one value:
    /// prometheus-adapter fails there. It has no `>` and `<` either, for which no query can be made.
    fn new(selector: &'a Selector) -> Option<Self> {
        let (mut match_labels, mut match_expressions) = (BTreeMap::new(), Vec::new());
        for requirement in selector.requirements() {
            let key = requirement.key.as_str();
            let all = |values: &'a BTreeSet<String>| values.iter().map(String::as_str).collect();
            let (operator, values) = match &requirement.operator {
                Operator::Equals(value) => {
                    match_labels.insert(key, value.as_str());
                    continue;
                }
                Operator::NotEquals(value) => ("NotIn", BTreeSet::from([value.as_str()])),
                Operator::In(values) => ("In", all(values)),
                Operator::NotIn(values) => ("NotIn", all(values)),
                Operator::Exists => ("Exists", BTreeSet::new()),
                Operator::DoesNotExist => ("DoesNotExist", BTreeSet::new()),
                Operator::GreaterThan(_) | Operator::LessThan(_) => continue,
            };
            match_expressions.push(Expression { key, operator, values });
        }
        let is_empty = match_labels.is_empty() && match_expressions.is_empty();
        (!is_empty).then_some(Self { match_labels, match_expressions })
    }
}
