//! Real files, in a directory that changes as a mounted ConfigMap does, and a Prometheus that counts queries.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::ready;
use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::follow::{DEBOUNCE, POLL_INTERVAL};
use super::*;
use crate::answer::Answers;
use crate::backend::Backends;
use crate::cache::{Cache, Limits, Owner, Query, QuerySource as _};
use crate::catalog::{Catalog, Discovered, ServedCatalog};
use crate::config;
use crate::metric::{MetricId, MetricName, Namespace, Resources, Selector};
use crate::readiness::{Endpoint, Readiness};
use crate::rules::BackendName;
use crate::series::{self, Series};
use crate::testkit::{Ca, FakeSource, reading, scrape};

/// A folder with `config.yaml` as kubelet mounts a ConfigMap: a link to a file in a folder behind the link `..data`.
struct Mount {
    dir: TempDir,
    version: AtomicUsize,
}

impl Mount {
    fn new(text: &str) -> Self {
        let mount = Self { dir: tempfile::tempdir().unwrap(), version: AtomicUsize::new(0) };
        mount.swap(text);
        symlink("..data/config.yaml", mount.file()).unwrap();
        mount
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self) -> PathBuf {
        self.path("config.yaml")
    }

    /// Puts another folder behind `..data`, by a rename, and deletes the one before.
    fn swap(&self, text: &str) {
        let version = self.version.fetch_add(1, Ordering::Relaxed);
        let folder = format!("..version-{version}");
        fs::create_dir(self.path(&folder)).unwrap();
        fs::write(self.path(&folder).join("config.yaml"), text).unwrap();
        symlink(&folder, self.path("..data_tmp")).unwrap();
        fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
        if let Some(before) = version.checked_sub(1) {
            fs::remove_dir_all(self.path(&format!("..version-{before}"))).unwrap();
        }
    }
}

/// A reload, and everything it changes.
struct Scene {
    mount: Mount,
    catalog: Arc<ServedCatalog>,
    backends: Arc<Backends>,
    /// Its queries are answered by `prometheus`, not by the backends.
    cache: Arc<Cache>,
    answers: Arc<Answers>,
    prometheus: Arc<FakeSource>,
    readiness: Readiness,
    registry: Registry,
    now: Instant,
}

impl Scene {
    /// Serves the first content of the file, as after a start.
    fn new(text: &str) -> (Self, Reload) {
        let mount = Mount::new(text);
        let config = config::load(&mount.file(), None).unwrap();
        let mut registry = Registry::default();
        let (file, rules) = sources(config.rules, config.groups, &config.adapter);
        let catalog = Arc::new(ServedCatalog::new(Catalog::merge(Arc::new(file), Discovered::new())));
        let prometheus = FakeSource::new(|_, _| ready(Ok(reading([1.0]))));
        let cache = Arc::new(Cache::new(Arc::clone(&prometheus) as _, Limits::default(), Handle::current()));
        let answers =
            Arc::new(Answers::new(Arc::clone(&catalog), Arc::clone(&cache), Arc::default(), &mut registry));
        let backends = Arc::new(Backends::build(config.backends.clone()).unwrap());
        let readiness = Readiness::default();
        readiness.configuration_loaded();
        let minutes = Duration::from_secs(600);
        let series = series::Parts {
            backends: Arc::clone(&backends),
            objects: Arc::default(),
            catalog: Arc::clone(&catalog),
            readiness: readiness.clone(),
            options: series::Options { relist_interval: minutes, max_age: minutes },
        };
        let series = Series::new(series, rules, &mut registry);
        let parts = Parts {
            file: mount.file(),
            default_backend: None,
            catalog: Arc::clone(&catalog),
            series,
            backends: Arc::clone(&backends),
            cache: Arc::clone(&cache),
            answers: Arc::clone(&answers),
            readiness: readiness.clone(),
            metrics: Metrics::register(&mut registry),
        };
        let reload = Reload::new(parts, config.fingerprint, config.backends, config.adapter);
        let now = Instant::now();
        (Self { mount, catalog, backends, cache, answers, prometheus, readiness, registry, now }, reload)
    }

    /// A poll `seconds` after the one before.
    fn poll(&mut self, reload: &mut Reload, seconds: u64) -> Duration {
        self.now += Duration::from_secs(seconds);
        reload.poll(false, self.now)
    }

    /// The polls that new content takes: one that finds it, and one that finds it unchanged.
    fn settle(&mut self, reload: &mut Reload) {
        assert_eq!(self.poll(reload, 5), DEBOUNCE);
        assert_eq!(self.poll(reload, 1), POLL_INTERVAL);
    }

    fn names(&self) -> String {
        let catalog = self.catalog.current();
        catalog.entries().map(|(_, rule)| rule.name.as_str().to_owned()).collect::<Vec<_>>().join(",")
    }

    fn note(&self) -> String {
        let checks = self.readiness.checks(Endpoint::Readyz);
        let check = checks.into_iter().find(|check| check.name == "configuration").unwrap();
        assert_eq!(check.outcome, Ok(()), "readiness never depends on the file");
        check.note.unwrap().to_string()
    }

    /// Reloads that succeeded, reloads that failed, and whether the last one succeeded.
    fn counted(&self) -> (u64, u64, u64) {
        let read = |name: &str| self.metric(name).parse().unwrap();
        (
            read("reloads_total{outcome=\"success\"}"),
            read("reloads_total{outcome=\"failure\"}"),
            read("last_reload_successful"),
        )
    }

    fn metric(&self, name: &str) -> String {
        let text = scrape(&self.registry);
        let found =
            text.lines().find_map(|line| line.strip_prefix(&format!("metrics_apiserver_config_{name} ")));
        found.unwrap_or_else(|| panic!("no {name} in\n{text}")).to_owned()
    }

    /// Whether a backend has this name: one that exists fails in another way, because nobody listens.
    async fn has_backend(&self, name: &str) -> bool {
        let query = Query::new(BackendName(name.into()), "up");
        let error = self.backends.query(query, Owner::new(&Arc::new(()))).await.unwrap_err();
        !error.detail().contains("there is no backend")
    }

    /// Reads a metric.
    async fn read(&self, name: &str) -> bool {
        let (metric, selector) = (MetricName::parse(name).unwrap(), Selector::default());
        let deadline = Instant::now() + Duration::from_secs(5);
        self.answers.external(&namespace(), &metric, &selector, deadline).await.into_answer().is_ok()
    }

    /// Reads a metric; its query, whose reading is cached now.
    async fn cached(&self, name: &str) -> Query {
        assert!(self.read(name).await);
        let catalog = self.catalog.current();
        let rule = catalog.rule(&MetricId::external(&MetricName::parse(name).unwrap())).unwrap();
        let query = rule
            .external_plan(&namespace(), &Selector::default(), &Resources::default())
            .unwrap()
            .queries
            .remove(0);
        assert!(self.caches(&query));
        query
    }

    /// Whether a reading of the query is cached.
    fn caches(&self, query: &Query) -> bool {
        self.cache.stale_candidates(query, Duration::from_secs(3600)).next().is_some()
    }
}

fn namespace() -> Namespace {
    Namespace::parse("shop").unwrap()
}

/// A file with these metrics, and a backend without a server.
fn file(names: &[&str]) -> String {
    file_with("default", names)
}

fn file_with(backend: &str, names: &[&str]) -> String {
    let rule = |name: &&str| format!("- {{name: {name}, query: up, backend: {backend}}}\n");
    let rules = names.iter().map(rule).collect::<Vec<_>>().concat();
    format!("backends: {{{backend}: {{url: \"http://127.0.0.1:1\", timeout: 2s}}}}\nmetrics:\n{rules}")
}

#[tokio::test]
async fn swapped_content_is_served_once_it_is_found_twice() {
    let (mut scene, mut reload) = Scene::new(&file(&["a"]));
    assert_eq!((scene.note(), scene.counted()), ("generation 1".to_owned(), (0, 0, 1)));
    assert_eq!(scene.poll(&mut reload, 5), POLL_INTERVAL);
    scene.mount.swap(&file(&["a", "b"]));
    assert_eq!(scene.poll(&mut reload, 5), DEBOUNCE);
    assert_eq!(scene.names(), "a", "it could be half written");
    assert_eq!(scene.poll(&mut reload, 1), POLL_INTERVAL);
    assert_eq!((scene.names(), scene.note()), ("a,b".to_owned(), "generation 2".to_owned()));
    assert_eq!((scene.counted(), scene.metric("rules")), ((1, 0, 1), "2".to_owned()));
    assert_eq!(scene.poll(&mut reload, 5), POLL_INTERVAL);
    assert_eq!((scene.catalog.current().generation(), scene.counted()), (2, (1, 0, 1)));
}

#[tokio::test]
async fn content_that_still_changes_is_not_served_yet() {
    let (mut scene, mut reload) = Scene::new(&file(&["a"]));
    // Written in place; its first half is a valid file, too.
    fs::write(scene.mount.file(), "").unwrap();
    assert_eq!(scene.poll(&mut reload, 5), DEBOUNCE);
    fs::write(scene.mount.file(), file(&["b"])).unwrap();
    assert_eq!(scene.poll(&mut reload, 1), DEBOUNCE);
    assert_eq!(scene.names(), "a");
    scene.poll(&mut reload, 1);
    assert_eq!((scene.names(), scene.counted()), ("b".to_owned(), (1, 0, 1)));
}

#[tokio::test]
async fn sighup_skips_the_debounce() {
    let (scene, mut reload) = Scene::new(&file(&["a"]));
    scene.mount.swap(&file(&["b"]));
    assert_eq!(reload.poll(true, scene.now), POLL_INTERVAL);
    assert_eq!((scene.names(), scene.note()), ("b".to_owned(), "generation 2".to_owned()));
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_is_reported_once() {
    let (mut scene, mut reload) = Scene::new(&file(&["a"]));
    let before = scene.catalog.current();
    scene.mount.swap(&(file(&["b"]) + "- {name: c, query: 'sum('}\n"));
    scene.settle(&mut reload);
    for _ in 0..3 {
        assert_eq!(scene.poll(&mut reload, 5), POLL_INTERVAL);
    }
    assert!(Arc::ptr_eq(&before, &scene.catalog.current()));
    assert_eq!(scene.counted(), (0, 1, 0));
    assert_eq!(scene.note(), "the file's newest content is refused, generation 1 is served");
    // Checked again with the same result: not reported again.
    scene.poll(&mut reload, 60);
    assert_eq!(scene.counted(), (0, 1, 0));
    let problems = &reload.refused.as_ref().unwrap().problems;
    assert!(problems.contains("config.yaml:4:") && problems.contains("metrics[1].query"), "{problems}");
    // On SIGHUP it is reported again.
    reload.poll(true, scene.now);
    assert_eq!(scene.counted(), (0, 2, 0));
    scene.mount.swap(": other nonsense");
    scene.settle(&mut reload);
    assert_eq!(scene.counted(), (0, 3, 0));
}

#[tokio::test]
async fn a_good_file_after_a_broken_one_is_served() {
    let (mut scene, mut reload) = Scene::new(&file(&["a"]));
    scene.mount.swap("metrics: {");
    scene.settle(&mut reload);
    scene.mount.swap(&file(&["b"]));
    scene.settle(&mut reload);
    assert_eq!((scene.names(), scene.note()), ("b".to_owned(), "generation 2".to_owned()));
    assert_eq!(scene.counted(), (1, 1, 1));
}

#[tokio::test]
async fn a_file_reverted_to_what_is_served_is_not_a_new_generation() {
    let (mut scene, mut reload) = Scene::new(&file(&["a"]));
    scene.mount.swap("metrics: {");
    scene.settle(&mut reload);
    scene.mount.swap(&file(&["a"]));
    assert_eq!(scene.poll(&mut reload, 5), POLL_INTERVAL);
    assert_eq!((scene.note(), scene.counted()), ("generation 1".to_owned(), (1, 1, 1)));
}

#[tokio::test]
async fn a_missing_file_or_one_that_is_not_utf8_leaves_the_last_good_one() {
    let (mut scene, mut reload) = Scene::new(&file(&["a"]));
    fs::rename(scene.mount.path("..data"), scene.mount.path("elsewhere")).unwrap();
    scene.settle(&mut reload);
    scene.poll(&mut reload, 5);
    assert_eq!((scene.names(), scene.counted()), ("a".to_owned(), (0, 1, 0)));
    assert_eq!(scene.note(), "the file cannot be read, generation 1 is served");
    fs::rename(scene.mount.path("elsewhere"), scene.mount.path("..data")).unwrap();
    scene.poll(&mut reload, 5);
    assert_eq!((scene.note(), scene.counted()), ("generation 1".to_owned(), (1, 1, 1)));
    fs::write(scene.mount.file(), b"metrics: \xff").unwrap();
    scene.settle(&mut reload);
    assert_eq!((scene.names(), scene.counted()), ("a".to_owned(), (1, 2, 0)));
}

#[tokio::test]
async fn a_file_that_names_a_missing_file_is_served_once_that_file_exists() {
    let (mut scene, mut reload) = Scene::new(&file(&["a"]));
    let ca = scene.mount.path("ca.crt");
    let text = format!(
        "backends: {{default: {{url: 'https://127.0.0.1:1', caFile: {}}}}}\nmetrics: [{{name: b, query: up}}]\n",
        ca.display()
    );
    scene.mount.swap(&text);
    scene.settle(&mut reload);
    assert_eq!((scene.names(), scene.counted()), ("a".to_owned(), (0, 1, 0)));
    // It exists, but the client of this backend cannot be set up: nothing is served.
    fs::write(&ca, "no certificate").unwrap();
    scene.poll(&mut reload, 60);
    assert_eq!((scene.names(), scene.counted()), ("a".to_owned(), (0, 2, 0)));
    let problems = &reload.refused.as_ref().unwrap().problems;
    assert!(problems.contains("backend `default`") && problems.contains("ca.crt"), "{problems}");
    fs::write(&ca, Ca::new("backend").pem()).unwrap();
    assert_eq!(scene.poll(&mut reload, 30), POLL_INTERVAL);
    assert_eq!(scene.names(), "a", "refused content is checked again after a minute");
    scene.poll(&mut reload, 30);
    assert_eq!((scene.names(), scene.counted()), ("b".to_owned(), (1, 2, 1)));
}

#[tokio::test]
async fn a_backend_outlives_its_last_rule_by_a_minute() {
    let (mut scene, mut reload) = Scene::new(&file_with("old", &["a"]));
    let old = scene.cached("a").await;
    scene.mount.swap(&file_with("new", &["a"]));
    scene.settle(&mut reload);
    let new = scene.cached("a").await;
    assert!(scene.has_backend("new").await && scene.has_backend("old").await);
    // Its retirement starts again when it comes back and goes again.
    scene.mount.swap(&file_with("old", &["a"]));
    scene.settle(&mut reload);
    scene.mount.swap(&file_with("newest", &["a"]));
    scene.settle(&mut reload);
    scene.poll(&mut reload, 54);
    assert!(!scene.has_backend("new").await);
    assert!(scene.has_backend("old").await && scene.has_backend("newest").await);
    assert!(!scene.caches(&new), "it is not refreshed any more");
    assert!(scene.caches(&old));
    scene.poll(&mut reload, 6);
    assert!(!scene.has_backend("old").await && scene.has_backend("newest").await);
    assert!(!scene.caches(&old));
}

#[tokio::test]
async fn the_readings_of_a_backend_with_another_address_are_dropped() {
    let metrics = "metrics: [{name: a, query: up}]\n";
    let text = |url: &str| format!("backends: {{default: {{url: \"{url}\"}}}}\n{metrics}");
    let (mut scene, mut reload) = Scene::new(&text("http://127.0.0.1:1"));
    let query = scene.cached("a").await;
    scene.mount.swap(&(text("http://127.0.0.1:1") + "# nothing else\n"));
    scene.settle(&mut reload);
    assert!(scene.caches(&query), "the same server");
    let patient = text("http://127.0.0.1:1").replace("\"}}", "\", timeout: 20s}}");
    scene.mount.swap(&patient);
    scene.settle(&mut reload);
    assert_eq!(scene.catalog.current().generation(), 3);
    assert!(scene.caches(&query), "a reading that is held through an outage outlives a longer timeout");
    scene.mount.swap(&text("http://127.0.0.1:2"));
    scene.settle(&mut reload);
    assert!(!scene.caches(&query));
    scene.cached("a").await;
    scene.mount.swap("metrics: []\n");
    scene.settle(&mut reload);
    assert!(scene.caches(&query), "a read of the old rules may still need it");
    scene.mount.swap(&text("http://127.0.0.1:3"));
    scene.settle(&mut reload);
    assert!(!scene.caches(&query), "also of a backend that was gone in between");
}

#[tokio::test]
async fn the_previous_rules_are_freed_by_the_next_poll() {
    let (mut scene, mut reload) = Scene::new(&file(&["a"]));
    let before = Arc::downgrade(&scene.catalog.current());
    scene.mount.swap(&file(&["b"]));
    scene.settle(&mut reload);
    assert!(before.upgrade().is_some(), "a request that ends now must not have to free them");
    scene.poll(&mut reload, 5);
    assert!(before.upgrade().is_none());
}

#[tokio::test]
async fn the_reading_of_an_unchanged_rule_answers_after_a_reload() {
    let (mut scene, mut reload) = Scene::new(&file(&["kept"]));
    assert!(scene.read("kept").await);
    scene.mount.swap(&(file(&["kept"]) + "- {name: new, query: down}\n"));
    scene.settle(&mut reload);
    assert!(scene.read("kept").await);
    assert_eq!(scene.prometheus.asked().len(), 1, "answered from the cache");
    assert!(scene.read("new").await);
    assert_eq!(scene.prometheus.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_file_is_polled_every_five_seconds() {
    let (scene, reload) = Scene::new(&file(&["a"]));
    let following = tokio::spawn(reload.run(Sighup::install().unwrap()));
    scene.mount.swap(&file(&["b"]));
    // The clock advances by itself, but not during a poll.
    tokio::time::sleep(Duration::from_millis(5_900)).await;
    assert_eq!(scene.names(), "a");
    tokio::time::sleep(Duration::from_millis(200)).await;
    while scene.names() == "a" {
        assert!(scene.now.elapsed() < Duration::from_secs(8), "never polled");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    following.abort();
}

#[tokio::test]
async fn adapter_rules_come_and_go_beside_native_ones() {
    let (mut scene, mut reload) = Scene::new(&file(&["a"]));
    let adapter = "rules: [{seriesQuery: up, resources: {template: <<.Resource>>}, metricsQuery: <<.Series>>}]\n\
                   externalRules: [{seriesQuery: up, resources: {namespaced: false}, metricsQuery: <<.Series>>}]\n";
    scene.mount.swap(&format!("{}{adapter}", file(&["a"])));
    scene.settle(&mut reload);
    let catalog = scene.catalog.current();
    assert!(catalog.serves_custom() && catalog.serves_external());
    assert_eq!((scene.names().as_str(), scene.metric("rules").as_str()), ("a", "3"));
    let metric = MetricId::external(&MetricName::parse("up").unwrap());
    assert!(scene.catalog.pending(&metric).unwrap().contains("1 of 1 rules have not been discovered yet"));
    scene.mount.swap(&file(&["a"]));
    scene.settle(&mut reload);
    assert!(!scene.catalog.current().serves_custom());
    assert_eq!((scene.catalog.pending(&metric), scene.metric("rules").as_str()), (None, "1"));
}
