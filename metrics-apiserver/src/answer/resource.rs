//! Answers of `metrics.k8s.io`: the CPU and memory usage of pods and nodes.
//!
//! The objects come from the cluster, their usage from Prometheus: two queries for all pods or nodes that are asked
//! for. If a query fails the whole read fails, since a list that lacks objects would look complete.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::future::try_join_all;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{Instrument as _, info_span};

use super::Answers;
use super::error::AnswerError;
use super::metrics::USAGE;
use super::outcome::Outcome;
use super::stats::ReadStats;
use super::usage::{ContainerUsage, ObjectUsage, Usage, UsageAnswer, UsageRequest, UsageTarget, Used};
use crate::cache::{Query, Reading, Subscriber};
use crate::metric::{Format, MetricName, Namespace, Quantity, Resources, Sample};
use crate::objects::{Object, Selection};
use crate::rules::ValueError;
use crate::rules::adapter::{PodLabels, QueryError, ResourceRule, ResourceRules};

/// The resources of the group.
const PODS: &str = "pods";
const NODES: &str = "nodes";

/// Names in one query, in bytes. A query with more asks for all objects instead: it costs Prometheus less than a long
/// regular expression, and stays the same when pods come and go.
const NAMES_BYTES_MAX: usize = 16 << 10;

impl Answers {
    /// The usage of the pods or nodes that are asked for, by `deadline`.
    pub async fn usage(&self, request: &UsageRequest, deadline: Instant) -> Result<UsageAnswer, AnswerError> {
        let began = Instant::now();
        let stats = self.metrics.usage_stats(request.target == UsageTarget::Nodes);
        let span = info_span!(target: "traces", "read", metric.name = request.resource());
        let answer = self.usage_of(request, &stats, deadline).instrument(span).await;
        let outcome = answer.as_ref().map_or_else(Outcome::of_error, |_| Outcome::Ok);
        stats.count(outcome, began.elapsed());
        answer
    }

    async fn usage_of(
        &self,
        request: &UsageRequest,
        stats: &Arc<ReadStats>,
        deadline: Instant,
    ) -> Result<UsageAnswer, AnswerError> {
        let catalog = self.catalog.current();
        let Some(rules) = catalog.resource() else { return Err(AnswerError::NoResourceRules) };
        let objects = self.usage_objects(request, deadline).await?;
        let namespace = match &request.target {
            UsageTarget::Pods(Some(namespace)) => namespace.as_str(),
            UsageTarget::Pods(None) | UsageTarget::Nodes => "",
        };
        let subscriber = Subscriber::new(&rules.owner, Arc::clone(&stats.queries)).in_namespace(namespace);
        let read = UsageRead { answers: self, rules, subscriber: &subscriber, deadline };
        let found = if objects.is_empty() { Found::default() } else { read.found(request, &objects).await? };
        let items: Vec<_> = objects.iter().filter_map(|object| found.usage_of(object)).collect();
        let is_of_pods = request.target != UsageTarget::Nodes;
        if let (Some(name), true) = (&request.name, items.is_empty()) {
            return Err(request.without_usage(name));
        }
        stats.note_missing(request.resource(), objects.len() - items.len(), objects.len());
        Ok(UsageAnswer { is_of_pods, is_single: request.name.is_some(), window: rules.window, items })
    }

    /// The objects that are asked for, sorted by namespace and name.
    async fn usage_objects(
        &self,
        request: &UsageRequest,
        deadline: Instant,
    ) -> Result<Vec<Arc<Object>>, AnswerError> {
        let labels = request.labels.clone();
        let selection = match &request.target {
            UsageTarget::Nodes => Selection::nodes(labels),
            UsageTarget::Pods(namespace) => Selection::running_pods(namespace.clone(), labels),
        };
        let mut objects = self.objects.select(&selection, deadline).await.map_err(AnswerError::Objects)?;
        objects.retain(|object| {
            let namespace = object.namespace.as_ref().map(Namespace::as_str);
            request.fields.matches(&object.name, namespace)
                && request.name.as_ref().is_none_or(|name| *name == object.name)
        });
        match &request.name {
            Some(name) if objects.is_empty() => {
                // metrics-server's own words for the two.
                let resource = if request.target == UsageTarget::Nodes { "node" } else { PODS };
                Err(AnswerError::NoObject { resource, name: name.to_string() })
            }
            _ => Ok(objects),
        }
    }
}

impl UsageRequest {
    fn resource(&self) -> &'static str {
        if self.target == UsageTarget::Nodes { NODES } else { PODS }
    }

    /// The object exists, and has no usage. The name is written as metrics-server writes it.
    fn without_usage(&self, name: &str) -> AnswerError {
        let (resource, name) = match &self.target {
            UsageTarget::Nodes => ("nodemetrics.metrics.k8s.io", name.to_owned()),
            UsageTarget::Pods(namespace) => {
                let namespace = namespace.as_ref().map_or("", Namespace::as_str);
                ("podmetrics.metrics.k8s.io", format!("{namespace}/{name}"))
            }
        };
        AnswerError::NoObject { resource, name }
    }
}

/// One read of usage.
struct UsageRead<'a> {
    answers: &'a Answers,
    rules: &'a Arc<ResourceRules>,
    subscriber: &'a Subscriber,
    deadline: Instant,
}

/// One query, and whose its samples are.
struct UsageQuery {
    query: Query,
    is_cpu: bool,
    labels: UsageLabels,
}

/// The labels of a sample.
enum UsageLabels {
    Node(Arc<str>),
    Pod(PodLabels),
    /// All samples are of one namespace.
    PodOf(Namespace, PodLabels),
}

impl UsageRead<'_> {
    /// The usage of these objects.
    async fn found(&self, request: &UsageRequest, objects: &[Arc<Object>]) -> Result<Found, AnswerError> {
        if request.target == UsageTarget::Nodes {
            let nodes = names(objects.iter());
            return self
                .read(
                    NODES,
                    self.queries(NODES, |rule, resources| {
                        Ok((
                            rule.node_query(&nodes, resources)?,
                            UsageLabels::Node(rule.node_label(resources)?),
                        ))
                    })?,
                )
                .await;
        }
        let mut by_namespace = BTreeMap::<&str, (&Namespace, Vec<&Arc<Object>>)>::new();
        for object in objects {
            let Some(namespace) = &object.namespace else { continue };
            by_namespace.entry(namespace.as_str()).or_insert((namespace, Vec::new())).1.push(object);
        }
        let memory = &self.answers.fixed_by;
        if by_namespace.len() > 1 && !memory.is_of(&self.rules.owner) {
            let mut namespaces: Vec<&str> = by_namespace.keys().copied().collect();
            if length(&namespaces) > NAMES_BYTES_MAX {
                namespaces.clear();
            }
            let found = self
                .read(
                    PODS,
                    self.queries(PODS, |rule, resources| {
                        let query = rule.pod_query(&namespaces, &[], resources)?;
                        Ok((query, UsageLabels::Pod(rule.pod_labels(resources)?)))
                    })?,
                )
                .await?;
            if !found.lacks_namespace {
                return Ok(found);
            }
            memory.remember(&self.rules.owner);
        }
        let mut queries = Vec::with_capacity(2 * by_namespace.len());
        for (namespace, pods) in by_namespace.values() {
            let pods = names(pods.iter().copied());
            queries.extend(self.queries(PODS, |rule, resources| {
                let query = rule.pod_query(&[namespace.as_str()], &pods, resources)?;
                Ok((query, UsageLabels::PodOf((*namespace).clone(), rule.pod_labels(resources)?)))
            })?);
        }
        self.read(PODS, queries).await
    }

    /// The query for CPU and the one for memory. A rule that lacks one of them has no usage at all, as one that has no
    /// query or no label for these objects: there are rules for nodes only.
    fn queries(
        &self,
        resource: &'static str,
        query: impl Fn(&ResourceRule, &Resources) -> Result<(String, UsageLabels), QueryError>,
    ) -> Result<Vec<UsageQuery>, AnswerError> {
        let resources = self.answers.objects.resources();
        let (Some(cpu), Some(memory)) = (&self.rules.cpu, &self.rules.memory) else { return Ok(Vec::new()) };
        let queries = [(true, cpu), (false, memory)].into_iter().map(|(is_cpu, rule)| {
            let (promql, labels) = query(rule, &resources)?;
            let query = Query::new(self.rules.backend.clone(), promql);
            Ok(UsageQuery { query, is_cpu, labels })
        });
        let queries: Result<_, QueryError> = queries.collect();
        if let Err(QueryError::NoLabel { .. } | QueryError::Empty) = queries {
            return Ok(Vec::new());
        }
        queries.map_err(|source| AnswerError::Plan { metric: usage_metric(resource), source: source.into() })
    }

    /// Reads all queries at once.
    async fn read(&self, resource: &'static str, queries: Vec<UsageQuery>) -> Result<Found, AnswerError> {
        let readings = queries.iter().map(|query| self.reading(resource, &query.query));
        let readings = try_join_all(readings).await?;
        let mut found = Found::default();
        for (query, reading) in queries.iter().zip(&readings) {
            found.add(query, reading);
        }
        Ok(found)
    }

    async fn reading(&self, resource: &'static str, query: &Query) -> Result<Arc<Reading>, AnswerError> {
        let metric = || usage_metric(resource);
        let Self { answers, rules, subscriber, deadline } = self;
        let reading = answers.cache.reading(query, rules.max_age, subscriber, *deadline).await;
        let reading = reading.map_err(|source| AnswerError::Read { metric: metric(), source })?;
        match reading.partial.clone() {
            Some(warning) => {
                Err(AnswerError::Value { metric: metric(), source: ValueError::Partial { warning } })
            }
            None => Ok(reading),
        }
    }
}

/// The names that a query is to name; none if there are too many, so that it asks for all objects.
fn names<'a>(objects: impl Iterator<Item = &'a Arc<Object>>) -> Vec<&'a str> {
    let names: Vec<&str> = objects.map(|object| &*object.name).collect();
    if length(&names) > NAMES_BYTES_MAX { Vec::new() } else { names }
}

fn length(names: &[&str]) -> usize {
    names.iter().map(|name| name.len() + 1).sum()
}

/// What metrics and messages call the metric.
fn usage_metric(resource: &str) -> MetricName {
    let [pods, nodes] = USAGE;
    MetricName::from_static(if resource == NODES { nodes } else { pods })
}

/// Usage by namespace (empty for nodes), object and container (empty for nodes).
#[derive(Default)]
struct Found {
    by_namespace: HashMap<Box<str>, HashMap<Box<str>, FoundObject>>,
    /// Whether samples of several namespaces have no namespace.
    lacks_namespace: bool,
}

#[derive(Default)]
struct FoundObject {
    /// The time of its earliest sample.
    timestamp: Option<Timestamp>,
    has_cpu: bool,
    has_memory: bool,
    containers: BTreeMap<Arc<str>, Usage>,
}

impl Found {
    /// Adds the samples of one query. One that is not a usable number is dropped, as if Prometheus did not have it.
    fn add(&mut self, query: &UsageQuery, reading: &Reading) {
        for sample in &reading.samples {
            let label = |name: &str| sample.labels.get(name);
            let (namespace, object, container) = match &query.labels {
                UsageLabels::Node(node) => (Some(""), label(node), None),
                UsageLabels::Pod(PodLabels { namespace, pod, container }) => {
                    (label(namespace), label(pod), Some(label(container).unwrap_or_default()))
                }
                UsageLabels::PodOf(namespace, PodLabels { pod, container, .. }) => {
                    (Some(namespace.as_str()), label(pod), Some(label(container).unwrap_or_default()))
                }
            };
            let Some(namespace) = namespace else {
                self.lacks_namespace = true;
                continue;
            };
            if let (Some(object), Some(quantity)) = (object, quantity(query.is_cpu, sample)) {
                let objects = self.by_namespace.entry(namespace.into()).or_default();
                let found = objects.entry(object.into()).or_default();
                found.add(query.is_cpu, container, quantity, sample.timestamp);
            }
        }
    }

    /// The usage of an object that has a sample of CPU and one of memory.
    fn usage_of(&self, object: &Arc<Object>) -> Option<ObjectUsage> {
        let namespace = object.namespace.as_ref().map_or("", Namespace::as_str);
        let found = self.by_namespace.get(namespace)?.get(&*object.name)?;
        if !(found.has_cpu && found.has_memory) {
            return None;
        }
        let used = if object.namespace.is_some() {
            let containers = found.containers.iter();
            Used::Pod(
                containers
                    .map(|(name, usage)| ContainerUsage { name: Arc::clone(name), usage: *usage })
                    .collect(),
            )
        } else {
            Used::Node(*found.containers.values().next()?)
        };
        Some(ObjectUsage { object: Arc::clone(object), timestamp: found.timestamp?, used })
    }
}

impl FoundObject {
    /// Of several samples of one container the last one counts; of a node the first, as in prometheus-adapter.
    fn add(&mut self, is_cpu: bool, container: Option<&str>, quantity: Quantity, at: Timestamp) {
        let has = if is_cpu { &mut self.has_cpu } else { &mut self.has_memory };
        let is_first = !std::mem::replace(has, true);
        if container.is_none() && !is_first {
            return;
        }
        let container = container.unwrap_or_default();
        self.timestamp = Some(self.timestamp.map_or(at, |earliest| earliest.min(at)));
        let usage = match self.containers.get_mut(container) {
            Some(usage) => usage,
            None => self.containers.entry(container.into()).or_default(),
        };
        *(if is_cpu { &mut usage.cpu } else { &mut usage.memory }) = quantity;
    }
}

/// Neither usage can be negative: what a query such as `1 - idle` makes of measurements that are not quite of one time
/// is zero, as in prometheus-adapter.
fn quantity(is_cpu: bool, sample: &Sample) -> Option<Quantity> {
    let format = if is_cpu { Format::Milli } else { Format::Binary };
    let quantity = Quantity::of(sample.value, format).ok()?;
    Some(if quantity.is_negative() { Quantity::new(0, format) } else { quantity })
}
