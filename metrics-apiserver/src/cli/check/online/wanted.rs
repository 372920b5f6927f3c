//! What an HPA reads: the paths that its controller asks for, and how it makes one number of the answer.

use form_urlencoded::Serializer;
use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, MetricIdentifier, MetricSpec, MetricTarget,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::raw::Refusal;
use crate::metric::Resources;

pub(super) const CUSTOM: &str = "custom.metrics.k8s.io";
pub(super) const EXTERNAL: &str = "external.metrics.k8s.io";
pub(super) const RESOURCE: &str = "metrics.k8s.io";

/// What is escaped in a segment of a path.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*').remove(b':');

/// How the controller makes a number of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reduce {
    /// The mean of the items, one for each pod.
    Mean,
    /// The only item.
    One,
    /// The sum of the items.
    Sum,
    /// The mean of a resource's usage by pod, of all containers or of one.
    Usage { resource: String, container: Option<String> },
}

/// One metric that an HPA reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The type as the HPA has it.
    pub(super) kind: &'static str,
    /// The metric's name.
    pub(super) metric: String,
    pub(super) group: &'static str,
    /// The versions that the controller knows, the preferred one first.
    pub(super) versions: &'static [&'static str],
    /// What follows the version in the path.
    pub(super) segments: Vec<String>,
    parameters: Vec<(&'static str, String)>,
    /// How discovery lists the metric; none if it lists no metrics.
    pub(super) listed: Option<String>,
    pub(super) reduce: Reduce,
    pub(super) target: String,
    /// Whether the target is for each replica, while the answer is for all.
    pub(super) is_per_replica: bool,
}

/// What is known of an HPA besides the metric.
pub(super) struct Context<'a> {
    pub(super) namespace: &'a str,
    /// The label selector of its pods; an error if it cannot be read.
    pub(super) pods: &'a Result<String, Refusal>,
    /// The cluster's resources.
    pub(super) resources: &'a Resources,
}

impl Wanted {
    /// What the controller reads for this metric; why it could not.
    pub(super) fn of(spec: &MetricSpec, context: &Context<'_>) -> Result<Self, Refusal> {
        let namespaced = |rest: &[&str]| {
            ["namespaces", context.namespace].iter().chain(rest).map(|&part| part.to_owned()).collect()
        };
        match (&spec.pods, &spec.object, &spec.external, &spec.resource, &spec.container_resource) {
            (Some(pods), ..) => {
                let name = &pods.metric.name;
                let mut wanted = Self::custom("Pods", name, &pods.target, Reduce::Mean);
                wanted.segments = namespaced(&["pods", "*", name]);
                wanted.listed = Some(format!("pods/{name}"));
                wanted.parameters.push(("labelSelector", context.pods.clone()?));
                wanted.select("metricLabelSelector", &pods.metric);
                Ok(wanted)
            }
            (_, Some(object), ..) => {
                let name = &object.metric.name;
                let mut wanted = Self::custom("Object", name, &object.target, Reduce::One);
                let described = &object.described_object;
                if described.kind == "Namespace" && group_of(described).is_empty() {
                    // The controller ignores the object's name.
                    wanted.segments = namespaced(&["metrics", name]);
                    wanted.listed = Some(format!("namespaces/{name}"));
                } else {
                    let resource = resource(described, context.resources)?;
                    wanted.segments = namespaced(&[&resource, &described.name, name]);
                    wanted.listed = Some(format!("{resource}/{name}"));
                }
                wanted.select("metricLabelSelector", &object.metric);
                Ok(wanted)
            }
            (_, _, Some(external), ..) => {
                // Clients send the name in lower case.
                let name = external.metric.name.to_lowercase();
                let mut wanted = Self {
                    group: EXTERNAL,
                    versions: &["v1beta1"],
                    segments: namespaced(&[&name]),
                    listed: Some(name),
                    ..Self::custom("External", &external.metric.name, &external.target, Reduce::Sum)
                };
                wanted.select("labelSelector", &external.metric);
                Ok(wanted)
            }
            (_, _, _, Some(resource), _) => {
                Self::usage("Resource", &resource.name, None, &resource.target, context)
            }
            (_, _, _, _, Some(resource)) => {
                let container = Some(resource.container.clone());
                Self::usage("ContainerResource", &resource.name, container, &resource.target, context)
            }
            _ => Err(Refusal::without_answer(format_args!("the type {} is not known", spec.type_))),
        }
    }

    fn custom(kind: &'static str, metric: &str, target: &MetricTarget, reduce: Reduce) -> Self {
        Self {
            kind,
            metric: metric.to_owned(),
            group: CUSTOM,
            versions: &["v1beta2", "v1beta1"],
            segments: Vec::new(),
            parameters: Vec::new(),
            listed: None,
            is_per_replica: target.type_ == "AverageValue" && matches!(reduce, Reduce::One | Reduce::Sum),
            reduce,
            target: described(target),
        }
    }

    fn usage(
        kind: &'static str,
        resource: &str,
        container: Option<String>,
        target: &MetricTarget,
        context: &Context<'_>,
    ) -> Result<Self, Refusal> {
        let name = container
            .as_ref()
            .map_or_else(|| resource.to_owned(), |container| of_container(resource, container));
        let reduce = Reduce::Usage { resource: resource.to_owned(), container };
        let segments = ["namespaces", context.namespace, "pods"];
        Ok(Self {
            group: RESOURCE,
            versions: &["v1beta1", "v1"],
            segments: segments.map(str::to_owned).into(),
            parameters: vec![("labelSelector", context.pods.clone()?)],
            ..Self::custom(kind, &name, target, reduce)
        })
    }

    fn select(&mut self, parameter: &'static str, metric: &MetricIdentifier) {
        if let Some(selector) = &metric.selector {
            self.parameters.push((parameter, selector_text(selector)));
        }
    }

    /// The query string.
    pub(super) fn query(&self) -> String {
        let given = self.parameters.iter().filter(|(_, value)| !value.is_empty());
        Serializer::new(String::new()).extend_pairs(given).finish()
    }

    /// The path of the read in this version.
    pub(super) fn path(&self, version: &str) -> String {
        let encoded = |segment: &String| utf8_percent_encode(segment, ESCAPED).to_string();
        let segments: Vec<_> = self.segments.iter().map(encoded).collect();
        let (query, path) = (self.query(), segments.join("/"));
        let mark = if query.is_empty() { "" } else { "?" };
        format!("/apis/{}/{version}/{path}{mark}{query}", self.group)
    }
}

fn group_of(object: &CrossVersionObjectReference) -> &str {
    object.api_version.as_deref().and_then(|version| version.split_once('/')).map_or("", |(group, _)| group)
}

/// The resource of an object, with its group unless it is the core group.
pub(super) fn resource(
    object: &CrossVersionObjectReference,
    resources: &Resources,
) -> Result<String, Refusal> {
    let group = group_of(object);
    let is_it = |info: &&std::sync::Arc<crate::metric::ResourceInfo>| {
        *info.kind == *object.kind && *info.resource.group == *group
    };
    let found = resources.all().iter().find(is_it);
    found.map(|info| info.resource.to_string()).ok_or_else(|| {
        let version = object.api_version.as_deref().unwrap_or("v1");
        let kind = &object.kind;
        Refusal::without_answer(format_args!("the cluster has no resource for the kind {kind} of {version}"))
    })
}

/// The name and the target of a metric, also of one that cannot be read.
pub(super) fn name_and_target(spec: &MetricSpec) -> (String, String) {
    match (&spec.pods, &spec.object, &spec.external, &spec.resource, &spec.container_resource) {
        (Some(pods), ..) => (pods.metric.name.clone(), described(&pods.target)),
        (_, Some(object), ..) => (object.metric.name.clone(), described(&object.target)),
        (_, _, Some(external), ..) => (external.metric.name.clone(), described(&external.target)),
        (_, _, _, Some(resource), _) => (resource.name.clone(), described(&resource.target)),
        (_, _, _, _, Some(resource)) => {
            (of_container(&resource.name, &resource.container), described(&resource.target))
        }
        _ => ("without a source".to_owned(), "none".to_owned()),
    }
}

fn of_container(resource: &str, container: &str) -> String {
    format!("{resource} of {container}")
}

fn described(target: &MetricTarget) -> String {
    let MetricTarget { average_utilization, average_value, value, .. } = target;
    match (average_utilization, average_value, value) {
        (Some(percent), ..) => format!("{percent}% of the requests"),
        (_, Some(average), _) => format!("{} per pod", average.0),
        (_, _, Some(value)) => value.0.clone(),
        _ => "none".to_owned(),
    }
}

/// A selector as a query parameter has it.
fn selector_text(selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    let expressions = selector.match_expressions.iter().flatten().map(|expression| {
        let (key, values) = (&expression.key, expression.values.iter().flatten());
        let values = values.map(String::as_str).collect::<Vec<_>>().join(",");
        match expression.operator.as_str() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.clone(),
        }
    });
    labels.chain(expressions).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::metric::{GroupResource, ResourceInfo, Scope};

    fn deployments() -> ResourceInfo {
        let resource = GroupResource { resource: "deployments".into(), group: "apps".into() };
        let (singular, kind) = ("deployment".into(), "Deployment".into());
        ResourceInfo { resource, singular, kind, version: "v1".into(), scope: Scope::Namespaced }
    }

    fn wanted(spec: Value) -> Result<Wanted, Refusal> {
        let resources = Resources::new(vec![Arc::new(deployments())]);
        let pods = Ok("app=web".to_owned());
        let context = Context { namespace: "shop", pods: &pods, resources: &resources };
        Wanted::of(&serde_json::from_value(spec).unwrap(), &context)
    }

    #[test]
    fn each_type_of_metric_is_read_as_the_controller_reads_it() {
        let average = json!({"type": "AverageValue", "averageValue": "10"});
        let object = |version: &str, kind: &str| {
            let described = json!({"apiVersion": version, "kind": kind, "name": "web"});
            json!({"type": "Object", "object": {"metric": {"name": "rps"}, "describedObject": described,
                "target": {"type": "Value", "value": "2"}}})
        };
        let expressions = json!([{"key": "a", "operator": "In", "values": ["b", "c"]},
            {"key": "d", "operator": "Exists"}, {"key": "e", "operator": "DoesNotExist"},
            {"key": "f", "operator": "NotIn", "values": ["g"]}]);
        let selector = json!({"matchLabels": {"q": "x"}, "matchExpressions": expressions});
        let external = json!({"metric": {"name": "Queue_Depth", "selector": selector}, "target": average});
        let half = json!({"type": "Utilization", "averageUtilization": 50});
        let cpu = json!({"name": "cpu", "container": "web", "target": half});
        for (spec, path, target) in [
            (
                json!({"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": average}}),
                "custom.metrics.k8s.io/v/namespaces/shop/pods/*/rps?labelSelector=app%3Dweb",
                "10 per pod",
            ),
            (
                object("apps/v1", "Deployment"),
                "custom.metrics.k8s.io/v/namespaces/shop/deployments.apps/web/rps",
                "2",
            ),
            (object("v1", "Namespace"), "custom.metrics.k8s.io/v/namespaces/shop/metrics/rps", "2"),
            (
                json!({"type": "External", "external": external}),
                "external.metrics.k8s.io/v/namespaces/shop/queue_depth?labelSelector=\
                 q%3Dx%2Ca+in+%28b%2Cc%29%2Cd%2C%21e%2Cf+notin+%28g%29",
                "10 per pod",
            ),
            (
                json!({"type": "ContainerResource", "containerResource": cpu}),
                "metrics.k8s.io/v/namespaces/shop/pods?labelSelector=app%3Dweb",
                "50% of the requests",
            ),
        ] {
            let wanted = wanted(spec).unwrap();
            assert_eq!(wanted.path("v"), format!("/apis/{path}"));
            assert_eq!(wanted.target, target);
        }
        let unknown = wanted(object("example.com/v1", "Model")).unwrap_err();
        assert_eq!(unknown.message, "the cluster has no resource for the kind Model of example.com/v1");
    }
}
