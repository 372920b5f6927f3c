//! The usage of pods and nodes.

use std::collections::HashMap;

use super::*;
use crate::catalog::{Discovered, FilePart};
use crate::metric::{FieldSelector, Labels, Resources, Selector};
use crate::objects::{Object, Objects, ObjectsError, Selection};
use crate::rules::adapter::{Override, ResourceLabels, ResourceRule, ResourceRules, Template};

const CPU: &str = "sum(rate(cpu{<<.LabelMatchers>>}[5m])) by (<<.GroupBy>>)";

/// A cluster with these pods and nodes, and a Prometheus that answers queries by `says`.
struct World {
    answers: Answers,
    backend: Arc<FakeSource>,
}

type Says = fn(&str) -> Result<Vec<(&'static [(&'static str, &'static str)], f64)>, QueryError>;

impl World {
    fn new(container_query: &str, pods: &[(&str, &str)], says: Says) -> Self {
        let backend = FakeSource::new(move |_, query| async move {
            let sample = |(labels, value): (&[(&str, &str)], f64)| Sample {
                labels: labels.iter().copied().collect(),
                value,
                timestamp: Timestamp::from_second(if query.promql.contains("cpu") { 1_000 } else { 999 })
                    .unwrap(),
            };
            let samples = says(&query.promql)?.into_iter().map(sample).collect();
            Ok(Reading { samples, partial: None, asked: Instant::now() })
        });
        Self::with_rules(rules(container_query), pods, backend)
    }

    fn with_rules(rules: ResourceRules, pods: &[(&str, &str)], backend: Arc<FakeSource>) -> Self {
        let cache = Arc::new(Cache::new(Arc::clone(&backend) as _, Limits::default(), Handle::current()));
        let file = FilePart { resource: Some(Arc::new(rules)), ..FilePart::default() };
        let catalog = Catalog::merge(Arc::new(file), Discovered::new());
        let object = |namespace: Option<&str>, name: &str| {
            let namespace = namespace.map(|namespace| Namespace::parse(namespace).unwrap());
            let labels: Labels = [("app", name.split('-').next().unwrap())].into_iter().collect();
            Arc::new(Object { namespace, name: name.into(), labels })
        };
        let everything = || Selector::default();
        let objects = HashMap::from([
            (
                Selection::running_pods(None, everything()).resource,
                pods.iter().map(|(namespace, name)| object(Some(namespace), name)).collect(),
            ),
            (Selection::nodes(everything()).resource, ["n1", "n2"].map(|name| object(None, name)).into()),
        ]);
        let objects = Arc::new(Objects::fixed(Resources::default(), objects));
        let mut registry = Registry::default();
        let answers = Answers::new(Arc::new(ServedCatalog::new(catalog)), cache, objects, &mut registry);
        Self { answers, backend }
    }

    async fn read(&self, request: UsageRequest) -> Result<UsageAnswer, AnswerError> {
        self.answers.usage(&request, Instant::now() + Duration::from_secs(1)).await
    }

    /// What Prometheus was asked, sorted.
    fn asked(&self) -> Vec<String> {
        let mut asked: Vec<_> = self.backend.asked().iter().map(|query| query.promql.to_string()).collect();
        asked.sort();
        asked
    }
}

fn rules(container_query: &str) -> ResourceRules {
    let labels =
        [("namespace", "namespace"), ("pod", "pod"), ("instance", "node")].map(|(label, resource)| {
            Override { label: label.into(), resource: resource.into(), group: Arc::default() }
        });
    let rule = |query: &str| ResourceRule {
        container_query: Template::parse(query).unwrap(),
        node_query: Template::parse(&query.replace("<<.LabelMatchers>>", "<<.LabelMatchers>>,id='/'"))
            .unwrap(),
        resources: ResourceLabels::parse(labels.clone().into(), "").unwrap(),
        container_label: "container".into(),
    };
    ResourceRules {
        cpu: Some(rule(container_query)),
        memory: Some(rule(&container_query.replace("cpu", "memory"))),
        window: Duration::from_secs(300),
        backend: BackendName("main".into()),
        max_age: Duration::from_secs(10),
        owner: Arc::default(),
    }
}

fn request(target: UsageTarget, name: Option<&str>) -> UsageRequest {
    UsageRequest {
        target,
        name: name.map(Into::into),
        labels: Selector::default(),
        fields: FieldSelector::default(),
    }
}

fn pods_of(namespace: &str, name: Option<&str>) -> UsageRequest {
    request(UsageTarget::Pods(Some(Namespace::parse(namespace).unwrap())), name)
}

/// `namespace/name container=cpu/memory …` of each item.
fn told(answer: &UsageAnswer) -> Vec<String> {
    let usage = |usage: &Usage| format!("{}/{}", usage.cpu, usage.memory);
    let tell = |item: &ObjectUsage| {
        let name = match &item.object.namespace {
            Some(namespace) => format!("{namespace}/{}", item.object.name),
            None => item.object.name.to_string(),
        };
        let used = match &item.used {
            Used::Node(node) => usage(node),
            Used::Pod(containers) => {
                let containers = containers.iter().map(|one| format!("{}={}", one.name, usage(&one.usage)));
                containers.collect::<Vec<_>>().join(" ")
            }
        };
        format!("{name} {used}")
    };
    answer.items.iter().map(tell).collect()
}

const WEB_MAIN: &[(&str, &str)] = &[("namespace", "shop"), ("pod", "web-1"), ("container", "main")];
const WEB_SIDE: &[(&str, &str)] = &[("namespace", "shop"), ("pod", "web-1"), ("container", "side")];
const API_MAIN: &[(&str, &str)] = &[("namespace", "other"), ("pod", "web-1"), ("container", "main")];

#[tokio::test(start_paused = true)]
async fn one_namespace_is_queried_as_prometheus_adapter_queries_it() {
    let says: Says = |query| {
        let is_cpu = query.contains("cpu");
        Ok(vec![
            (WEB_MAIN, if is_cpu { 0.25 } else { 64.0 * 1024.0 * 1024.0 }),
            (WEB_SIDE, if is_cpu { f64::NAN } else { 1000.0 }),
            (&[("pod", "gone"), ("container", "main")], 1.0),
        ])
    };
    let world = World::new(CPU, &[("shop", "web-1"), ("shop", "web-2"), ("other", "web-1")], says);
    let answer = world.read(pods_of("shop", None)).await.unwrap();
    assert_eq!(told(&answer), ["shop/web-1 main=250m/64Mi side=0/1k"], "web-2 has no usage");
    assert_eq!(answer.items[0].timestamp, Timestamp::from_second(999).unwrap(), "the earliest");
    assert_eq!(
        world.asked(),
        [
            r#"sum(rate(cpu{namespace="shop",pod=~"web-1|web-2"}[5m])) by (pod,container)"#,
            r#"sum(rate(memory{namespace="shop",pod=~"web-1|web-2"}[5m])) by (pod,container)"#,
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn all_namespaces_take_one_query_per_metric() {
    let says: Says = |_| Ok(vec![(WEB_MAIN, 1.0), (API_MAIN, 2.0)]);
    let world = World::new(CPU, &[("other", "web-1"), ("shop", "web-1")], says);
    let answer = world.read(request(UsageTarget::Pods(None), None)).await.unwrap();
    assert_eq!(told(&answer), ["other/web-1 main=2/2", "shop/web-1 main=1/1"]);
    assert_eq!(
        world.asked(),
        [
            r#"sum(rate(cpu{namespace=~"other|shop",pod!=""}[5m])) by (namespace,pod,container)"#,
            r#"sum(rate(memory{namespace=~"other|shop",pod!=""}[5m])) by (namespace,pod,container)"#,
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_query_that_drops_the_namespace_is_sent_once_per_namespace_from_then_on() {
    let says: Says = |query| {
        let value = if query.contains(r#"namespace="shop""#) { 1.0 } else { 2.0 };
        Ok(vec![(&[("pod", "web-1"), ("container", "main")], value)])
    };
    let fixed = "sum(cpu{<<.LabelMatchers>>}) by (pod, container)";
    let world = World::new(fixed, &[("other", "web-1"), ("shop", "web-1")], says);
    let all = || world.read(request(UsageTarget::Pods(None), None));
    assert_eq!(told(&all().await.unwrap()), ["other/web-1 main=2/2", "shop/web-1 main=1/1"]);
    assert_eq!(world.asked().len(), 6, "two for all namespaces, and two for each");
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(told(&all().await.unwrap()), ["other/web-1 main=2/2", "shop/web-1 main=1/1"]);
    assert_eq!(world.asked().len(), 10, "two for each namespace");
}

#[tokio::test(start_paused = true)]
async fn too_many_names_are_not_named() {
    let says: Says = |_| Ok(vec![(WEB_MAIN, 1.0)]);
    let names: Vec<String> = (1..3_000).map(|number| format!("web-{number}")).collect();
    let pods: Vec<_> = names.iter().map(|name| ("shop", name.as_str())).collect();
    let world = World::new(CPU, &pods, says);
    assert_eq!(told(&world.read(pods_of("shop", None)).await.unwrap()), ["shop/web-1 main=1/1"]);
    assert!(world.asked()[0].contains(r#"{namespace="shop",pod!=""}"#), "{}", world.asked()[0]);
}

#[tokio::test(start_paused = true)]
async fn nodes_have_the_first_sample_of_each_query() {
    let says: Says = |_| {
        let node: &[_] = &[("instance", "n1")];
        Ok(vec![(node, 1.5), (node, 7.0), (&[("instance", "n2")], -0.002), (&[("instance", "n3")], 1.0)])
    };
    let world = World::new(CPU, &[], says);
    let answer = world.read(request(UsageTarget::Nodes, None)).await.unwrap();
    assert_eq!(told(&answer), ["n1 1500m/1500m", "n2 0/0"]);
    assert_eq!(world.asked()[0], r#"sum(rate(cpu{instance=~"n1|n2",id='/'}[5m])) by (instance)"#,);
}

#[tokio::test(start_paused = true)]
async fn one_object_is_found_or_an_error_with_kubernetes_sentence() {
    let says: Says = |_| Ok(vec![(WEB_MAIN, 1.0)]);
    let world = World::new(CPU, &[("shop", "web-1"), ("shop", "web-2")], says);
    let message = async |request| world.read(request).await.unwrap_err().to_string();
    let answer = world.read(pods_of("shop", Some("web-1"))).await.unwrap();
    assert_eq!((told(&answer), answer.is_single), (vec!["shop/web-1 main=1/1".to_owned()], true));
    assert_eq!(
        message(pods_of("shop", Some("web-2"))).await,
        r#"podmetrics.metrics.k8s.io "shop/web-2" not found"#
    );
    assert_eq!(message(pods_of("shop", Some("gone"))).await, r#"pods "gone" not found"#);
    assert_eq!(message(request(UsageTarget::Nodes, Some("n9"))).await, r#"node "n9" not found"#);
    assert_eq!(
        message(request(UsageTarget::Nodes, Some("n1"))).await,
        r#"nodemetrics.metrics.k8s.io "n1" not found"#
    );
}

#[tokio::test(start_paused = true)]
async fn objects_are_selected_by_labels_and_fields_and_no_object_is_no_query() {
    let says: Says = |_| Ok(vec![(WEB_MAIN, 1.0)]);
    let world = World::new(CPU, &[("shop", "api-1"), ("shop", "web-1")], says);
    let by_label = UsageRequest { labels: "app=web".parse().unwrap(), ..pods_of("shop", None) };
    assert_eq!(told(&world.read(by_label).await.unwrap()), ["shop/web-1 main=1/1"]);
    let fields = "metadata.name!=web-1,metadata.name!=api-1".parse().unwrap();
    let by_field = UsageRequest { fields, ..pods_of("shop", None) };
    assert!(world.read(by_field).await.unwrap().items.is_empty());
    assert_eq!(world.asked().len(), 2, "only the first read had objects");
}

#[tokio::test(start_paused = true)]
async fn a_failed_query_fails_the_read_instead_of_leaving_objects_out() {
    let says: Says = |query| {
        let unavailable = QueryError::Unavailable { detail: "connection refused".into() };
        if query.contains("memory") { Err(unavailable) } else { Ok(vec![(WEB_MAIN, 1.0)]) }
    };
    let world = World::new(CPU, &[("shop", "web-1")], says);
    for name in [None, Some("web-1")] {
        let error = world.read(pods_of("shop", name)).await.unwrap_err();
        assert!(matches!(error, AnswerError::Read { .. }), "{error}");
        assert!(error.to_string().contains("pods.metrics.k8s.io"), "{error}");
    }
}

/// As prometheus-adapter answers: such rules are published for clusters whose pods are measured elsewhere.
#[tokio::test(start_paused = true)]
async fn objects_that_the_rules_have_no_label_or_no_query_for_have_no_usage() {
    let for_nodes = |mut rules: ResourceRules| {
        for rule in [&mut rules.cpu, &mut rules.memory] {
            let label = Override { label: "instance".into(), resource: "node".into(), group: Arc::default() };
            rule.as_mut().unwrap().resources = ResourceLabels::parse(vec![label], "").unwrap();
        }
        rules
    };
    for rules in [for_nodes(rules(CPU)), rules("")] {
        let backend = FakeSource::new(|_, _| async {
            Ok(Reading { samples: Vec::new(), partial: None, asked: Instant::now() })
        });
        let world = World::with_rules(rules, &[("shop", "web-1"), ("other", "web-1")], backend);
        assert!(world.read(pods_of("shop", None)).await.unwrap().items.is_empty());
        assert!(world.read(request(UsageTarget::Pods(None), None)).await.unwrap().items.is_empty());
        let error = world.read(pods_of("shop", Some("web-1"))).await.unwrap_err();
        assert_eq!(error.to_string(), r#"podmetrics.metrics.k8s.io "shop/web-1" not found"#);
        assert!(world.asked().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passed_is_told() {
    let world = World::new(CPU, &[("shop", "web-1")], |_| Ok(Vec::new()));
    let error = world.answers.usage(&pods_of("shop", None), Instant::now()).await.unwrap_err();
    assert!(matches!(error, AnswerError::Objects(ObjectsError::Deadline { .. })), "{error}");
}
