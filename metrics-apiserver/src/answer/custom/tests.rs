use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;

use super::super::error::Cause;
use super::*;
use crate::cache::{Cache, Limits, QueryError, Reading};
use crate::catalog::{Catalog, ServedCatalog};
use crate::metric::Sample;
use crate::rules::ValueError;
use crate::testkit::series::{adapter_file, cluster, custom, external};
use crate::testkit::{FakeSource, reading, scrape};

/// What the backend returns: series with these labels and values.
type Series = Vec<(&'static [(&'static str, &'static str)], f64)>;

struct Fixture {
    answers: Answers,
    backend: Arc<FakeSource>,
    registry: Registry,
    said: Arc<Mutex<Result<Reading, QueryError>>>,
}

fn samples(series: Series) -> Reading {
    let sample = |(labels, value): (&[(&str, &str)], f64)| Sample {
        labels: labels.iter().copied().collect(),
        value,
        timestamp: Timestamp::UNIX_EPOCH,
    };
    Reading { samples: series.into_iter().map(sample).collect(), ..reading([]) }
}

fn fixture(series: Series) -> Fixture {
    let said = Arc::new(Mutex::new(Ok(samples(series))));
    let says = Arc::clone(&said);
    let backend = FakeSource::new(move |_, _| {
        let said: Result<Reading, _> = says.lock().unwrap().clone();
        let asked = Instant::now();
        async move { said.map(|reading| Reading { asked, ..reading }) }
    });
    let cache = Arc::new(Cache::new(Arc::clone(&backend) as _, Limits::default(), Handle::current()));
    let mut metrics = custom("m");
    metrics.extend(external("queue"));
    let catalog = Arc::new(ServedCatalog::new(Catalog::merge(Arc::new(adapter_file()), metrics)));
    let mut registry = Registry::default();
    let answers = Answers::new(catalog, cache, Arc::new(cluster()), &mut registry);
    Fixture { answers, backend, registry, said }
}

fn request(resource: &str, namespace: Option<&str>, objects: WantedObjects) -> CustomRequest {
    CustomRequest {
        resource: resource.into(),
        namespace: namespace.map(|namespace| Namespace::parse(namespace).unwrap()),
        objects,
        metric: MetricName::parse("m").unwrap(),
        selector: Selector::default(),
    }
}

fn named(name: &str) -> WantedObjects {
    WantedObjects::Named(name.into())
}

fn selected(labels: &str) -> WantedObjects {
    WantedObjects::Selected(labels.parse().unwrap())
}

impl Fixture {
    async fn ask(&self, request: &CustomRequest) -> Result<Vec<(String, String)>, AnswerError> {
        let deadline = Instant::now() + Duration::from_secs(1);
        let answer = self.answers.custom(request, deadline).await?;
        let item =
            |(object, value): &(ObjectRef, Value)| (object.name.to_string(), value.quantity.to_string());
        Ok(answer.values.iter().map(item).collect())
    }

    async fn pods(&self, objects: WantedObjects) -> Result<Vec<(String, String)>, AnswerError> {
        self.ask(&request("pods", Some("shop"), objects)).await
    }

    fn query(&self) -> String {
        self.backend.asked().last().unwrap().promql.to_string()
    }

    fn counted(&self, metric: &str, outcome: &str) -> bool {
        let line = format!("metrics_apiserver_reads_total{{metric=\"{metric}\",outcome=\"{outcome}\"}} 1\n");
        scrape(&self.registry).contains(&line)
    }
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[tokio::test(start_paused = true)]
async fn the_selected_pods_have_their_values_in_the_order_of_their_names_by_one_query() {
    let fixture = fixture(vec![(&[("pod", "till-2")], 2.5), (&[("pod", "till-1")], 1.0)]);
    let items = fixture.pods(selected("app=till")).await.unwrap();
    assert_eq!(items, [pair("till-1", "1"), pair("till-2", "2500m")]);
    assert_eq!(fixture.backend.asked().len(), 1);
    assert_eq!(fixture.query(), r#"m{namespace="shop",pod=~"till-1|till-2"} by (pod)"#);
    assert!(fixture.counted("pods/m", "ok"), "{}", scrape(&fixture.registry));
}

#[tokio::test(start_paused = true)]
async fn an_object_by_name_has_exactly_one_value_the_last_of_its_series() {
    let till: &[(&str, &str)] = &[("pod", "till-1"), ("x", "a")];
    let fixture =
        fixture(vec![(till, 1.0), (&[("pod", "web")], 7.0), (&[("pod", "till-1"), ("x", "b")], -2.0)]);
    assert_eq!(fixture.pods(named("till-1")).await.unwrap(), [pair("till-1", "-2")]);
    assert_eq!(fixture.query(), r#"m{namespace="shop",pod="till-1"} by (pod)"#);
}

#[tokio::test(start_paused = true)]
async fn resources_are_named_as_the_rest_mapper_reads_them_and_scopes_are_kept_apart() {
    let fixture = fixture(vec![(&[("deployment", "d"), ("node", "worker"), ("namespace", "shop")], 1.0)]);
    for resource in ["deployments.apps", "deployment.apps", "deployment", "Deployments"] {
        let request = request(resource, Some("shop"), named("d"));
        assert_eq!(fixture.ask(&request).await.unwrap(), [pair("d", "1")], "{resource}");
    }
    let node = fixture.ask(&request("nodes", None, selected(""))).await.unwrap();
    assert_eq!(node, [pair("worker", "1")]);
    assert_eq!(fixture.query(), r#"m{node="worker"} by (node)"#);
    let namespace = fixture.ask(&request("namespaces", None, named("shop"))).await.unwrap();
    assert_eq!(namespace, [pair("shop", "1")]);
    assert_eq!(fixture.query(), r#"m{namespace="shop"} by (namespace)"#);
    let misplaced = fixture.ask(&request("nodes", Some("shop"), named("worker"))).await.unwrap_err();
    assert_eq!(misplaced.to_string(), "the server could not find the metric m for nodes");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_found_is_said_in_prometheus_adapters_words() {
    let fixture = fixture(vec![]);
    let message = async |request: CustomRequest| {
        let error = fixture.ask(&request).await.unwrap_err();
        assert!(matches!(error, AnswerError::NotFound { .. }), "{error:?}");
        error.to_string()
    };
    let pods = |objects| request("pods", Some("shop"), objects);
    let nothing = "the server could not find the metric m for pods";
    assert_eq!(message(pods(named("till-1"))).await, format!("{nothing} till-1"));
    assert_eq!(message(pods(selected("app=none"))).await, nothing, "no objects are selected");
    let typo = CustomRequest { metric: MetricName::parse("typo").unwrap(), ..pods(selected("")) };
    assert_eq!(message(typo).await, "the server could not find the metric typo for pods");
    let compared = CustomRequest { selector: "a>1".parse().unwrap(), ..pods(selected("")) };
    assert_eq!(message(compared).await, nothing, "no query can be made");
    let unknown = request("pots", Some("shop"), named("a"));
    assert_eq!(message(unknown).await, "the server could not find the metric m for pots");
    let listed = fixture.ask(&request("pots", Some("shop"), selected(""))).await.unwrap_err();
    assert!(listed.to_string().starts_with("unable to list matching resources: the cluster has no resource"));
    assert_eq!(fixture.backend.asked().len(), 1, "only the pod by name was asked for");
}

#[tokio::test(start_paused = true)]
async fn pods_without_data_are_left_out_and_a_list_may_be_empty() {
    let fixture = fixture(vec![(&[("pod", "web")], 3.0)]);
    assert_eq!(fixture.pods(selected("")).await.unwrap(), [pair("web", "3")]);
    assert!(fixture.counted("pods/m", "ok"), "pods may have just been created");
    assert_eq!(fixture.pods(selected("app=till")).await.unwrap(), [], "the series are of other pods");
    assert!(fixture.counted("pods/m", "no_data"));
}

#[tokio::test(start_paused = true)]
async fn a_number_that_is_none_is_left_out_of_a_list_and_an_error_by_name() {
    let fixture = fixture(vec![(&[("pod", "till-1")], f64::NAN), (&[("pod", "till-2")], 2.0)]);
    assert_eq!(fixture.pods(selected("app=till")).await.unwrap(), [pair("till-2", "2")]);
    assert!(fixture.counted("pods/m", "nan"), "the worst outcome is counted");
    let error = fixture.pods(named("till-1")).await.unwrap_err();
    assert!(error.to_string().starts_with("unable to fetch metrics: metric `m`: the query returned NaN"));
    *fixture.said.lock().unwrap() = Ok(samples(vec![(&[("pod", "web")], f64::INFINITY)]));
    let all = fixture.pods(selected("app=web")).await.unwrap_err();
    assert!(all.to_string().contains("+Inf"), "nothing is left: {all}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_backend_is_an_error_and_not_an_empty_list() {
    let fixture = fixture(vec![]);
    *fixture.said.lock().unwrap() = Err(QueryError::Refused { detail: "secret".into() });
    for objects in [selected(""), named("web")] {
        let error = fixture.pods(objects).await.unwrap_err();
        let AnswerError::Custom { error: inner } = &error else { panic!("{error:?}") };
        assert!(matches!(**inner, AnswerError::Read { .. }), "{inner:?}");
        assert!(error.to_string().starts_with("unable to fetch metrics: metric `m`: "), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_external_metric_of_a_series_has_all_labels_of_its_series_and_may_be_empty() {
    let fixture = fixture(vec![(&[("__name__", "queue"), ("q", "a")], 1.0), (&[("q", "b")], 2.0)]);
    let ask = async |metric: &str| {
        let (namespace, metric) = (Namespace::parse("shop").unwrap(), MetricName::parse(metric).unwrap());
        let deadline = Instant::now() + Duration::from_secs(1);
        fixture.answers.external(&namespace, &metric, &Selector::default(), deadline).await
    };
    let values = ask("queue").await.into_answer().unwrap().values;
    assert_eq!(values.len(), 2);
    assert_eq!(values[0].labels, [("__name__", "queue"), ("q", "a")].into_iter().collect());
    assert_eq!(fixture.query(), r#"queue{namespace="shop"}"#);
    tokio::time::advance(Duration::from_secs(20)).await;
    *fixture.said.lock().unwrap() = Ok(samples(vec![]));
    let explanation = ask("queue").await;
    assert!(explanation.groups.as_ref().unwrap()[0].steps.is_empty());
    assert_eq!(explanation.into_answer().unwrap().values, []);
    let nan = Cause::Value(ValueError::NotANumber).into_error(&MetricName::parse("queue").unwrap());
    tokio::time::advance(Duration::from_secs(20)).await;
    *fixture.said.lock().unwrap() = Ok(samples(vec![(&[], f64::NAN)]));
    assert_eq!(ask("queue").await.into_answer().unwrap_err(), nan);
}
