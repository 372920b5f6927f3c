//! Discovery against a Prometheus on loopback.

use tokio::task::JoinHandle;

use super::*;
use crate::backend;
use crate::metric::{MetricId, MetricName};
use crate::readiness::{Check, Endpoint};
use crate::syntax::BaseUrl;
use crate::testkit::{Play, Request, Server, adapter_rule, cluster, scrape};

/// So that a test sees one call for each list, unless it asks for more.
const LONG: Duration = Duration::from_secs(3600);

/// A discovery that runs, and everything around it.
struct Scene {
    prometheus: Server,
    objects: Arc<Objects>,
    catalog: Arc<ServedCatalog>,
    readiness: Readiness,
    registry: Registry,
    series: Arc<Series>,
    running: JoinHandle<()>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// A response with series of these names, each with the labels `namespace` and `pod`.
fn list(names: &[&str]) -> Play {
    let series = names.iter().map(|name| format!(r#"{{"__name__":"{name}","namespace":"a","pod":"p"}}"#));
    let series: Vec<_> = series.collect();
    Play::json(200, format!(r#"{{"status":"success","data":[{}]}}"#, series.join(",")))
}

fn rules(custom: &[&str], external: &[&str]) -> Rules {
    let rules = |selectors: &[&str]| selectors.iter().map(|selector| adapter_rule(selector)).collect();
    Rules { custom: rules(custom), external: rules(external) }
}

/// The decoded selector of a request, if it is a word.
fn selector(request: &Request) -> &str {
    request.line.split_once("match%5B%5D=").and_then(|(_, rest)| rest.split('&').next()).unwrap_or_default()
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let until_so = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), until_so).await.expect("it never happened");
}

impl Scene {
    fn new(play: Play, rules: Rules, relist_interval: Duration) -> Self {
        Self::with(Server::plain(play), cluster(), rules, relist_interval)
    }

    fn with(
        prometheus: Server,
        resources: crate::metric::Resources,
        rules: Rules,
        relist_interval: Duration,
    ) -> Self {
        let options = backend::Options::new(vec![BaseUrl::parse(&prometheus.url, "/api/v1").unwrap()]);
        let backends = Backends::build(vec![(BackendName("default".into()), options)]).unwrap();
        let objects = Arc::new(Objects::fixed(resources, std::collections::HashMap::new()));
        let catalog = Arc::new(ServedCatalog::new(Catalog::default()));
        let (readiness, mut registry) = (Readiness::default(), Registry::default());
        let parts = Parts {
            backends: Arc::new(backends),
            objects: Arc::clone(&objects),
            catalog: Arc::clone(&catalog),
            readiness: readiness.clone(),
            options: Options { relist_interval, max_age: LONG },
        };
        let series = Series::new(parts, rules, &mut registry);
        let running = tokio::spawn(Arc::clone(&series).run());
        Self { prometheus, objects, catalog, readiness, registry, series, running }
    }

    fn custom(&self) -> String {
        let catalog = self.catalog.current();
        let names = catalog.custom_metrics().map(|(resource, _, name)| format!("{resource}/{name}"));
        names.collect::<Vec<_>>().join(",")
    }

    fn external(&self) -> String {
        let catalog = self.catalog.current();
        catalog.external_metrics().map(MetricName::as_str).collect::<Vec<_>>().join(",")
    }

    fn pending(&self) -> Option<Arc<str>> {
        self.catalog.pending(&MetricId::external(&MetricName::parse("m").unwrap()))
    }

    fn note(&self) -> Option<Arc<str>> {
        self.check().and_then(|check| check.note)
    }

    fn is_ready(&self) -> bool {
        self.check().is_some_and(|check| check.outcome.is_ok())
    }

    fn check(&self) -> Option<Check> {
        self.readiness.checks(Endpoint::Readyz).into_iter().find(|check| check.name == "series")
    }
}

#[tokio::test]
async fn a_process_is_ready_once_series_were_looked_for() {
    let scene = Scene::new(list(&["m"]), rules(&["up"], &["up"]), LONG);
    assert!(!scene.is_ready());
    until(|| scene.is_ready()).await;
    assert_eq!((scene.custom().as_str(), scene.external().as_str()), ("namespaces/m,pods/m", "m"));

    let refused = Scene::new(Play::json(503, "{}"), rules(&[], &["up"]), LONG);
    until(|| refused.is_ready()).await;
    assert_eq!(refused.external(), "");
}

#[tokio::test]
async fn a_prometheus_that_hangs_does_not_keep_a_process_from_being_ready() {
    let scene = Scene::new(Play::Hang, rules(&[], &["up"]), LONG);
    until(|| !scene.prometheus.requests().is_empty()).await;
    assert!(!scene.is_ready());
    tokio::time::pause();
    tokio::time::advance(FIRST_TIME_MAX).await;
    until(|| scene.is_ready()).await;
}

#[tokio::test]
async fn metrics_are_served_after_one_discovery_and_custom_and_external_rules_share_a_call() {
    let scene = Scene::new(list(&["m", "n"]), rules(&["up"], &["up"]), LONG);
    until(|| scene.external() == "m,n").await;
    assert_eq!(scene.custom(), "namespaces/m,namespaces/n,pods/m,pods/n");
    let requests = scene.prometheus.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].line.starts_with("GET /api/v1/series?match%5B%5D=up&start="), "{}", requests[0].line);
    assert!(!requests[0].line.contains("end="));
    until(|| scene.pending().is_none()).await;
    assert_eq!(scene.note().unwrap().as_ref(), "1 series queries, 0 failing");
    let page = scrape(&scene.registry);
    for line in ["calls_total{outcome=\"success\"} 1", "names 2.0", "metrics 6.0", "queries 1.0"] {
        assert!(page.contains(&format!("metrics_apiserver_series_{line}")), "{line} not in\n{page}");
    }
}

#[tokio::test]
async fn a_metric_whose_series_are_gone_is_served_no_longer_and_one_that_appears_is() {
    let scene = Scene::new(list(&["m", "n"]), rules(&[], &["up"]), Duration::from_millis(10));
    until(|| scene.external() == "m,n").await;
    let generation = scene.catalog.current().generation();
    let calls = scene.prometheus.requests().len();
    until(|| scene.prometheus.requests().len() > calls + 3).await;
    assert_eq!(scene.catalog.current().generation(), generation, "nothing has changed");
    scene.prometheus.play(list(&["n", "o"]));
    until(|| scene.external() == "n,o").await;
}

#[tokio::test]
async fn a_list_that_fails_keeps_its_metrics_and_does_not_stop_the_others() {
    let scene = Scene::new(list(&["m"]), rules(&[], &["one", "two"]), Duration::from_millis(10));
    until(|| scene.external() == "m").await;
    let refused = Play::json(400, r#"{"status":"error","errorType":"bad_data","error":"no"}"#);
    scene.prometheus.script(move |request| match selector(request) {
        "one" => refused.clone(),
        _ => list(&["other"]),
    });
    until(|| scene.external() == "m,other").await;
    until(|| scene.note().unwrap().as_ref() == "2 series queries, 1 failing").await;
    assert_eq!(scene.external(), "m,other");
    assert_eq!(scene.pending(), None, "it was discovered once");
}

#[tokio::test]
async fn at_most_four_lists_are_called_for_at_a_time() {
    let selectors: Vec<String> = ('a'..='z').map(String::from).collect();
    let selectors: Vec<&str> = selectors.iter().map(String::as_str).collect();
    let scene = Scene::new(Play::Hang, rules(&selectors, &[]), LONG);
    until(|| scene.prometheus.requests().len() == CALLS_MAX).await;
    assert_eq!(scene.series.queries().in_flight(), CALLS_MAX);
    assert_eq!(scene.prometheus.requests().len(), CALLS_MAX, "the others wait");
}

#[tokio::test]
async fn what_is_not_discovered_yet_is_told_from_what_does_not_exist() {
    let scene = Scene::new(Play::json(503, ""), rules(&[], &["up"]), Duration::from_millis(10));
    let reason = "the series of 1 of 1 rules have not been discovered yet: prometheus is not reachable";
    until(|| scene.pending().as_deref() == Some(reason)).await;
    scene.prometheus.play(list(&["m"]));
    until(|| scene.external() == "m").await;
    until(|| scene.pending().is_none()).await;
}

#[tokio::test]
async fn resources_that_the_cluster_gets_are_linked_without_another_call() {
    let none = crate::metric::Resources::default();
    let scene = Scene::with(Server::plain(list(&["m"])), none, rules(&["up"], &[]), LONG);
    let custom = MetricId::Custom {
        resource: cluster().all()[2].resource.clone(),
        scope: crate::metric::Scope::Namespaced,
        name: MetricName::parse("m").unwrap(),
    };
    until(|| scene.catalog.pending(&custom).as_deref() == Some(NO_RESOURCES)).await;
    assert_eq!(scene.custom(), "");
    scene.objects.set_resources(cluster());
    until(|| scene.custom() == "namespaces/m,pods/m").await;
    until(|| scene.catalog.pending(&custom).is_none()).await;
    assert_eq!(scene.prometheus.requests().len(), 1);
}

#[tokio::test]
async fn without_adapter_rules_nothing_is_called_or_shown_until_a_reload_brings_some() {
    let scene = Scene::new(list(&["m"]), Rules::default(), Duration::from_millis(10));
    assert_eq!((scene.note(), scene.pending()), (None, None));
    let page = scrape(&scene.registry);
    assert!(page.lines().all(|line| !line.starts_with("metrics_apiserver_series")), "{page}");
    scene.series.replace(FilePart { external: true, ..FilePart::default() }, rules(&[], &["up"]), &[]);
    until(|| scene.external() == "m").await;
    assert!(scene.catalog.current().serves_external() && !scene.catalog.current().serves_custom());
    scene.series.replace(FilePart::default(), Rules::default(), &[]);
    assert_eq!((scene.external().as_str(), scene.note()), ("", None));
}

#[tokio::test]
async fn a_reload_serves_what_is_known_at_once() {
    let scene = Scene::new(list(&["m"]), rules(&[], &["up"]), LONG);
    until(|| scene.external() == "m").await;
    scene.prometheus.play(Play::Hang);
    let native = FilePart::native(vec![crate::testkit::rule("native", "up")]);
    scene.series.replace(native, rules(&["up"], &["up", "down"]), &[]);
    assert_eq!(scene.external(), "m,native");
    assert_eq!(scene.custom(), "namespaces/m,pods/m");
    let reason = "the series of 1 of 2 rules have not been discovered yet: prometheus has not answered yet";
    assert_eq!(scene.pending().as_deref(), Some(reason));
    until(|| scene.prometheus.requests().len() == 2).await;
    assert_eq!(selector(&scene.prometheus.last()), "down");
}
