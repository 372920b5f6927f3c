//! Real files, in a folder that changes as a mounted ConfigMap does; no Prometheus is asked.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use tempfile::TempDir;

use super::*;
use crate::answer::Answers;
use crate::backend::Auth;
use crate::cache::{Cache, Limits, Owner, Query, QueryError, QuerySource, Reading};
use crate::metric::{Labels, MetricName, Namespace, Sample, Selector};
use crate::readiness::Endpoint;

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

fn client_options(backend: config::Backend) -> (BackendName, ClientOptions) {
    let options = ClientOptions {
        urls: backend.urls.iter().map(|url| url.as_str().to_owned()).collect(),
        timeout: backend.timeout,
        headers: Vec::new(),
        auth: Auth::None,
        ca_file: backend.ca_file,
        identity: None,
    };
    (backend.name, options)
}

/// What follows a file, and everything it tells.
struct Scene {
    mount: Mount,
    catalog: Arc<ServedCatalog>,
    backends: Arc<Backends>,
    readiness: Readiness,
    registry: Registry,
    /// The backends whose readings were to be forgotten.
    forgotten: Arc<Mutex<Vec<String>>>,
    /// The generations whose first read was prepared.
    prepared: Arc<Mutex<Vec<u64>>>,
    now: Instant,
}

impl Scene {
    /// The file's first content is served, as after a start.
    fn new(text: &str) -> (Self, Reload) {
        let mount = Mount::new(text);
        let config = config::load(&mount.file()).unwrap();
        let configured: Vec<_> = config.backends.into_iter().map(client_options).collect();
        let scene = Self {
            catalog: Arc::new(ServedCatalog::new(Catalog::new(config.rules))),
            backends: Arc::new(Backends::build(configured.clone()).unwrap()),
            readiness: Readiness::default(),
            registry: Registry::default(),
            forgotten: Arc::default(),
            prepared: Arc::default(),
            now: Instant::now(),
            mount,
        };
        scene.readiness.configuration_loaded();
        let mut scene = scene;
        let parts = Parts {
            file: scene.mount.file(),
            catalog: Arc::clone(&scene.catalog),
            backends: Arc::clone(&scene.backends),
            client_options,
            forget: Box::new({
                let forgotten = Arc::clone(&scene.forgotten);
                move |backend| forgotten.lock().unwrap().push(backend.0.to_string())
            }),
            prepare: Box::new({
                let (prepared, catalog) = (Arc::clone(&scene.prepared), Arc::clone(&scene.catalog));
                move || prepared.lock().unwrap().push(catalog.current().generation())
            }),
            readiness: scene.readiness.clone(),
            metrics: Metrics::register(&mut scene.registry),
        };
        (scene, Reload::new(parts, config.fingerprint, configured))
    }

    /// A look `seconds` after the one before.
    fn look(&mut self, reload: &mut Reload, seconds: u64) -> Duration {
        self.now += Duration::from_secs(seconds);
        reload.look(false, self.now)
    }

    /// The looks that new content takes: one that finds it, and one that finds it once more.
    fn settle(&mut self, reload: &mut Reload) {
        assert_eq!(self.look(reload, 5), SETTLE);
        assert_eq!(self.look(reload, 1), POLL_INTERVAL);
    }

    fn names(&self) -> String {
        let catalog = self.catalog.current();
        catalog.rules().map(|rule| rule.name.as_str().to_owned()).collect::<Vec<_>>().join(",")
    }

    fn note(&self) -> String {
        let checks = self.readiness.checks(Endpoint::Readyz);
        let check = checks.into_iter().find(|check| check.name == "configuration").unwrap();
        assert_eq!(check.outcome, Ok(()), "readiness never fails by the file");
        check.note.unwrap().to_string()
    }

    /// Reloads that succeeded, that failed, and whether the last one did.
    fn counted(&self) -> (u64, u64, u64) {
        let read = |name: &str| self.metric(name).parse().unwrap();
        (
            read("reloads_total{outcome=\"success\"}"),
            read("reloads_total{outcome=\"failure\"}"),
            read("last_reload_successful"),
        )
    }

    fn metric(&self, name: &str) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let found =
            text.lines().find_map(|line| line.strip_prefix(&format!("metrics_apiserver_config_{name} ")));
        found.unwrap_or_else(|| panic!("no {name} in\n{text}")).to_owned()
    }

    /// Whether there is a backend of this name: one that is there fails in another way, for nobody listens.
    fn has_backend(&self, name: &str) -> bool {
        let query = Query { backend: BackendName(name.into()), promql: "up".into() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let error = runtime.block_on(self.backends.query(query, Owner::new(&Arc::new(())))).unwrap_err();
        !error.detail().contains("there is no backend")
    }
}

/// A file with these metrics, and a backend that nobody listens for.
fn file(names: &[&str]) -> String {
    file_with("default", names)
}

fn file_with(backend: &str, names: &[&str]) -> String {
    let rule = |name: &&str| format!("- {{name: {name}, query: up, backend: {backend}}}\n");
    let rules = names.iter().map(rule).collect::<Vec<_>>().concat();
    format!("backends: {{{backend}: {{url: \"http://127.0.0.1:1\", timeout: 2s}}}}\nmetrics:\n{rules}")
}

#[test]
fn swapped_content_is_served_once_it_was_seen_twice() {
    let (mut scene, mut reload) = Scene::new(&file(&["a"]));
    assert_eq!((scene.note(), scene.counted()), ("generation 1".to_owned(), (0, 0, 1)));
    assert_eq!(scene.look(&mut reload, 5), POLL_INTERVAL);
    scene.mount.swap(&file(&["a", "b"]));
    assert_eq!(scene.look(&mut reload, 5), SETTLE);
    assert_eq!(scene.names(), "a", "it could be half written");
    assert_eq!(scene.look(&mut reload, 1), POLL_INTERVAL);
    assert_eq!((scene.names(), scene.note()), ("a,b".to_owned(), "generation 2".to_owned()));
    assert_eq!((scene.counted(), scene.metric("rules")), ((1, 0, 1), "2".to_owned()));
    assert_eq!(scene.look(&mut reload, 5), POLL_INTERVAL);
    assert_eq!((scene.catalog.current().generation(), scene.counted()), (2, (1, 0, 1)));
}

#[test]
fn content_that_still_changes_is_waited_for() {
    let (mut scene, mut reload) = Scene::new(&file(&["a"]));
    // Written in place, and half of it is a good file, too.
    fs::write(scene.mount.file(), "").unwrap();
    assert_eq!(scene.look(&mut reload, 5), SETTLE);
    fs::write(scene.mount.file(), file(&["b"])).unwrap();
    assert_eq!(scene.look(&mut reload, 1), SETTLE);
    assert_eq!(scene.names(), "a");
    scene.look(&mut reload, 1);
    assert_eq!((scene.names(), scene.counted()), ("b".to_owned(), (1, 0, 1)));
}

#[test]
fn who_asks_is_served_at_once() {
    let (scene, mut reload) = Scene::new(&file(&["a"]));
    scene.mount.swap(&file(&["b"]));
    assert_eq!(reload.look(true, scene.now), POLL_INTERVAL);
    assert_eq!((scene.names(), scene.note()), ("b".to_owned(), "generation 2".to_owned()));
}

#[test]
fn a_broken_file_changes_nothing_and_is_told_of_once() {
    let (mut scene, mut reload) = Scene::new(&file(&["a"]));
    let before = scene.catalog.current();
    scene.mount.swap(&(file(&["b"]) + "- {name: c, query: 'sum('}\n"));
    scene.settle(&mut reload);
    for _ in 0..3 {
        assert_eq!(scene.look(&mut reload, 5), POLL_INTERVAL);
    }
    assert!(Arc::ptr_eq(&before, &scene.catalog.current()));
    assert_eq!(scene.counted(), (0, 1, 0));
    assert_eq!(scene.note(), "the file's newest content is refused, generation 1 is served");
    // Checked again and found the same: nothing new to tell.
    scene.look(&mut reload, 60);
    assert_eq!(scene.counted(), (0, 1, 0));
    let problems = &reload.refused.as_ref().unwrap().problems;
    assert!(problems.contains("config.yaml:4:") && problems.contains("metrics[1].query"), "{problems}");
    // Who asks is told again.
    reload.look(true, scene.now);
    assert_eq!(scene.counted(), (0, 2, 0));
    scene.mount.swap(": other nonsense");
    scene.settle(&mut reload);
    assert_eq!(scene.counted(), (0, 3, 0));
}

#[test]
fn a_good_file_after_a_broken_one_is_served() {
    let (mut scene, mut reload) = Scene::new(&file(&["a"]));
    scene.mount.swap("metrics: {");
    scene.settle(&mut reload);
    scene.mount.swap(&file(&["b"]));
    scene.settle(&mut reload);
    assert_eq!((scene.names(), scene.note()), ("b".to_owned(), "generation 2".to_owned()));
    assert_eq!(scene.counted(), (1, 1, 1));
}

#[test]
fn a_file_put_back_to_what_is_served_is_no_new_generation() {
    let (mut scene, mut reload) = Scene::new(&file(&["a"]));
    scene.mount.swap("metrics: {");
    scene.settle(&mut reload);
    scene.mount.swap(&file(&["a"]));
    assert_eq!(scene.look(&mut reload, 5), POLL_INTERVAL);
    assert_eq!((scene.note(), scene.counted()), ("generation 1".to_owned(), (1, 1, 1)));
}

#[test]
fn a_file_that_vanishes_or_is_no_text_leaves_the_last_good_one() {
    let (mut scene, mut reload) = Scene::new(&file(&["a"]));
    fs::rename(scene.mount.path("..data"), scene.mount.path("elsewhere")).unwrap();
    scene.settle(&mut reload);
    scene.look(&mut reload, 5);
    assert_eq!((scene.names(), scene.counted()), ("a".to_owned(), (0, 1, 0)));
    assert_eq!(scene.note(), "the file can't be read, generation 1 is served");
    fs::rename(scene.mount.path("elsewhere"), scene.mount.path("..data")).unwrap();
    scene.look(&mut reload, 5);
    assert_eq!((scene.note(), scene.counted()), ("generation 1".to_owned(), (1, 1, 1)));
    fs::write(scene.mount.file(), b"metrics: \xff").unwrap();
    scene.settle(&mut reload);
    assert_eq!((scene.names(), scene.counted()), ("a".to_owned(), (1, 2, 0)));
}

#[test]
fn a_file_that_lacks_another_file_is_served_when_that_one_comes() {
    let (mut scene, mut reload) = Scene::new(&file(&["a"]));
    let ca = scene.mount.path("ca.crt");
    let text = format!(
        "backends: {{default: {{url: 'https://127.0.0.1:1', caFile: {}}}}}\nmetrics: [{{name: b, query: up}}]\n",
        ca.display()
    );
    scene.mount.swap(&text);
    scene.settle(&mut reload);
    assert_eq!((scene.names(), scene.counted()), ("a".to_owned(), (0, 1, 0)));
    // There, but of no use: the client of this backend can't be made, so nothing is served of it.
    fs::write(&ca, "no certificate").unwrap();
    scene.look(&mut reload, 60);
    assert_eq!((scene.names(), scene.counted()), ("a".to_owned(), (0, 2, 0)));
    let problems = &reload.refused.as_ref().unwrap().problems;
    assert!(problems.contains("backend `default`") && problems.contains("ca.crt"), "{problems}");
    fs::write(&ca, crate::authn::fake::Ca::new("backend").pem()).unwrap();
    assert_eq!(scene.look(&mut reload, 30), POLL_INTERVAL);
    assert_eq!(scene.names(), "a", "refused content is checked again after a minute");
    scene.look(&mut reload, 30);
    assert_eq!((scene.names(), scene.counted()), ("b".to_owned(), (1, 2, 1)));
}

#[test]
fn a_backend_outlives_the_last_rule_that_names_it_by_a_minute() {
    let (mut scene, mut reload) = Scene::new(&file_with("old", &["a"]));
    scene.mount.swap(&file_with("new", &["a"]));
    scene.settle(&mut reload);
    assert!(scene.has_backend("new") && scene.has_backend("old"));
    // Its time begins anew when it comes back and goes again.
    scene.mount.swap(&file_with("old", &["a"]));
    scene.settle(&mut reload);
    scene.mount.swap(&file_with("newest", &["a"]));
    scene.settle(&mut reload);
    scene.look(&mut reload, 54);
    assert!(!scene.has_backend("new") && scene.has_backend("old") && scene.has_backend("newest"));
    assert_eq!(*scene.forgotten.lock().unwrap(), ["new"], "nothing is fetched ahead from it any more");
    scene.look(&mut reload, 6);
    assert!(!scene.has_backend("old") && scene.has_backend("newest"));
    assert_eq!(*scene.forgotten.lock().unwrap(), ["new", "old"]);
}

#[test]
fn the_readings_of_a_backend_with_another_address_are_forgotten() {
    let text = |url: &str| format!("backends: {{default: {{url: \"{url}\"}}}}\nmetrics: []\n");
    let (mut scene, mut reload) = Scene::new(&text("http://127.0.0.1:1"));
    scene.mount.swap(&(text("http://127.0.0.1:1") + "# nothing else\n"));
    scene.settle(&mut reload);
    assert!(scene.forgotten.lock().unwrap().is_empty(), "the same server");
    let patient = text("http://127.0.0.1:1").replace("\"}}", "\", timeout: 20s}}");
    scene.mount.swap(&patient);
    scene.settle(&mut reload);
    assert_eq!(scene.catalog.current().generation(), 3);
    assert!(
        scene.forgotten.lock().unwrap().is_empty(),
        "what is held through an outage outlives a longer timeout"
    );
    scene.mount.swap(&text("http://127.0.0.1:2"));
    scene.settle(&mut reload);
    assert_eq!(*scene.forgotten.lock().unwrap(), ["default"]);
    scene.mount.swap("metrics: []\n");
    scene.settle(&mut reload);
    scene.mount.swap(&text("http://127.0.0.1:3"));
    scene.settle(&mut reload);
    assert_eq!(*scene.forgotten.lock().unwrap(), ["default", "default"], "also one that had gone in between");
}

#[test]
fn the_rules_of_before_are_freed_by_the_look_after() {
    let (mut scene, mut reload) = Scene::new(&file(&["a"]));
    let before = Arc::downgrade(&scene.catalog.current());
    scene.mount.swap(&file(&["b"]));
    scene.settle(&mut reload);
    assert!(before.upgrade().is_some(), "a request that ends now must not be the one that frees them");
    scene.look(&mut reload, 5);
    assert!(before.upgrade().is_none());
}

/// Counts what it is asked.
#[derive(Default)]
struct Counting(AtomicUsize);

impl QuerySource for Counting {
    fn query(&self, _: Query, _: Owner) -> BoxFuture<'static, Result<Reading, QueryError>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let sample = Sample { labels: Labels::new(), value: 1.0, timestamp: Timestamp::now() };
        async move { Ok(Reading { samples: vec![sample], partial: None, asked: Instant::now() }) }.boxed()
    }
}

#[tokio::test]
async fn the_reading_of_an_unchanged_rule_answers_after_a_reload() {
    let (mut scene, mut reload) = Scene::new(&file(&["kept"]));
    let prometheus = Arc::new(Counting::default());
    let cache =
        Cache::new(Arc::clone(&prometheus) as _, Limits::default(), tokio::runtime::Handle::current());
    let answers = Answers::new(Arc::clone(&scene.catalog), Arc::new(cache), &mut Registry::default());
    let namespace = Namespace::parse("shop").unwrap();
    let read = async |name: &str| {
        let (metric, selector) = (MetricName::parse(name).unwrap(), "".parse::<Selector>().unwrap());
        let deadline = Instant::now() + Duration::from_secs(5);
        answers.external(&namespace, &metric, &selector, deadline).await.is_ok()
    };
    assert!(read("kept").await);
    scene.mount.swap(&(file(&["kept"]) + "- {name: new, query: down}\n"));
    scene.settle(&mut reload);
    assert!(read("kept").await);
    assert_eq!(prometheus.0.load(Ordering::Relaxed), 1, "answered from memory");
    assert!(read("new").await);
    assert_eq!(prometheus.0.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn the_file_is_looked_at_every_five_seconds() {
    let (scene, reload) = Scene::new(&file(&["a"]));
    let following = tokio::spawn(reload.run(Sighup::install().unwrap()));
    scene.mount.swap(&file(&["b"]));
    // The clock goes on by itself, but not while a look is under way.
    tokio::time::sleep(Duration::from_millis(5_900)).await;
    assert_eq!(scene.names(), "a");
    tokio::time::sleep(Duration::from_millis(200)).await;
    while scene.names() == "a" {
        assert!(scene.now.elapsed() < Duration::from_secs(8), "never looked at");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    following.abort();
}
