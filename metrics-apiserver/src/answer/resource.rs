//! Answers of `metrics.k8s.io`: the CPU and memory usage of pods and nodes.
//!
//! The objects come from the cluster, their usage from Prometheus: two queries for all pods or nodes that are asked
//! for. If a query fails the whole read fails, since a list that lacks objects would look complete.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

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
use crate::cache::{Reading, Subscriber};
use crate::metric::{Format, MetricName, Namespace, Quantity, Sample};
use crate::objects::{Object, Selection};
use crate::rules::{PodScope, ResourceRules, UsagePlan, UsageQuery, ValueError};

/// The resources of the group.
const PODS: &str = "pods";
const NODES: &str = "nodes";

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
        let Some(rules) = catalog.resource_rules() else { return Err(AnswerError::NoResourceRules) };
        let objects = self.usage_objects(request, deadline).await?;
        let subscriber = Subscriber::new(&rules.owner, Arc::clone(&stats.queries));
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
                Err(AnswerError::NoObject { resource: request.resource(), name: name.to_string() })
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

impl UsageRead<'_> {
    /// The usage of these objects.
    async fn found(&self, request: &UsageRequest, objects: &[Arc<Object>]) -> Result<Found, AnswerError> {
        let resources = self.answers.objects.resources();
        let plan_error = |source| AnswerError::Plan { metric: usage_metric(request.resource()), source };
        if request.target == UsageTarget::Nodes {
            let names: Vec<&str> = objects.iter().map(|object| &*object.name).collect();
            let plan = self.rules.node_plan(&names, &resources).map_err(plan_error)?;
            return self.read(NODES, &[plan]).await;
        }
        let mut by_namespace = BTreeMap::<&str, Vec<&str>>::new();
        for object in objects {
            let namespace = object.namespace.as_ref().map_or("", Namespace::as_str);
            by_namespace.entry(namespace).or_default().push(&object.name);
        }
        let namespaces: Vec<&str> = by_namespace.keys().copied().collect();
        if namespaces.len() > 1 && !self.rules.lacks_namespace.load(Ordering::Relaxed) {
            let plan = self.rules.pod_plan(&PodScope::Namespaces(&namespaces), &resources);
            let found = self.read(PODS, &[plan.map_err(plan_error)?]).await?;
            if !found.lacks_namespace {
                return Ok(found);
            }
            // A template with a fixed list of labels: from now on each namespace is queried by itself.
            self.rules.lacks_namespace.store(true, Ordering::Relaxed);
        }
        let plans = by_namespace.iter().map(|(namespace, pods)| {
            self.rules.pod_plan(&PodScope::Pods { namespace, pods }, &resources).map_err(plan_error)
        });
        self.read(PODS, &plans.collect::<Result<Vec<_>, _>>()?).await
    }

    /// Reads all queries at once.
    async fn read(&self, resource: &'static str, plans: &[UsagePlan]) -> Result<Found, AnswerError> {
        let queries = plans.iter().flat_map(|plan| [(true, &plan.cpu), (false, &plan.memory)]);
        let readings = queries.map(async |(is_cpu, query)| {
            let reading = self.reading(resource, query).await?;
            Ok((is_cpu, query, reading))
        });
        let mut found = Found::default();
        for (is_cpu, query, reading) in try_join_all(readings).await? {
            found.add(is_cpu, query, &reading);
        }
        Ok(found)
    }

    async fn reading(&self, resource: &'static str, query: &UsageQuery) -> Result<Arc<Reading>, AnswerError> {
        let metric = || usage_metric(resource);
        let Self { answers, rules, subscriber, deadline } = self;
        let reading = answers.cache.reading(&query.query, rules.max_age, subscriber, *deadline).await;
        let reading = reading.map_err(|source| AnswerError::Read { metric: metric(), source })?;
        match reading.partial.clone() {
            Some(warning) => {
                Err(AnswerError::Value { metric: metric(), source: ValueError::Partial { warning } })
            }
            None => Ok(reading),
        }
    }
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
    fn add(&mut self, is_cpu: bool, query: &UsageQuery, reading: &Reading) {
        for sample in &reading.samples {
            let label = |name: &Option<Arc<str>>| name.as_ref().and_then(|name| sample.labels.get(name));
            let namespace = query.fixed_namespace.as_deref().or_else(|| label(&query.namespace));
            let Some(namespace) = namespace else {
                self.lacks_namespace = true;
                continue;
            };
            let Some(quantity) = quantity(is_cpu, sample) else { continue };
            let object = sample.labels.get(&query.object).unwrap_or_default();
            let container = label(&query.container).unwrap_or_default();
            let objects = self.by_namespace.entry(namespace.into()).or_default();
            let found = objects.entry(object.into()).or_default();
            found.add(is_cpu, container, quantity, sample.timestamp, query.container.is_none());
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
            Used::Pod(containers.map(|(name, usage)| ContainerUsage { name: Arc::clone(name), usage: *usage }).collect())
        } else {
            Used::Node(*found.containers.values().next()?)
        };
        Some(ObjectUsage { object: Arc::clone(object), timestamp: found.timestamp?, used })
    }
}

impl FoundObject {
    /// Of several samples of one container the last one counts; of a node the first, as in prometheus-adapter.
    fn add(&mut self, is_cpu: bool, container: &str, quantity: Quantity, at: Timestamp, is_node: bool) {
        let has = if is_cpu { &mut self.has_cpu } else { &mut self.has_memory };
        if std::mem::replace(has, true) && is_node {
            return;
        }
        self.timestamp = Some(self.timestamp.map_or(at, |earliest| earliest.min(at)));
        let usage = match self.containers.get_mut(container) {
            Some(usage) => usage,
            None => self.containers.entry(container.into()).or_default(),
        };
        *(if is_cpu { &mut usage.cpu } else { &mut usage.memory }) = quantity;
    }
}

/// Neither usage can be negative.
fn quantity(is_cpu: bool, sample: &Sample) -> Option<Quantity> {
    let format = if is_cpu { Format::Milli } else { Format::Binary };
    Quantity::of(sample.value, format).ok().filter(|quantity| !quantity.is_negative())
}
