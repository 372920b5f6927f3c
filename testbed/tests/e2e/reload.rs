//! The configuration changes under load, on a server of one's own that is not registered.

use crate::{
    direct::{BASE, Caller, front_proxy},
    fixture::{Fixture, STEADY_NAMESPACE, with_fixture},
};
use nix::sys::signal::Signal;
use std::{
    fmt::Write,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use testbed::{Server, eventually, server};
use tokio::task::JoinSet;

/// So many metrics as the promise is made for.
const METRICS: usize = 1_000;
/// The file is read every five seconds, new content twice; the rest is room for a busy machine.
const RELOADED: Duration = Duration::from_secs(40);
const CALLERS: usize = 4;

/// A folder as kubelet mounts a ConfigMap: `config.yaml` is a link into the folder behind the link `..data`.
struct Mount {
    dir: PathBuf,
    swaps: AtomicUsize,
}

impl Mount {
    fn new(dir: PathBuf, text: &str) -> Self {
        let mount = Self { dir, swaps: AtomicUsize::new(0) };
        mount.swap(text);
        symlink("..data/config.yaml", mount.file()).unwrap();
        mount
    }

    fn file(&self) -> PathBuf {
        self.dir.join("config.yaml")
    }

    fn swap(&self, text: &str) {
        let folder = format!("..version-{}", self.swaps.fetch_add(1, Ordering::Relaxed));
        fs::create_dir(self.dir.join(&folder)).unwrap();
        fs::write(self.dir.join(&folder).join("config.yaml"), text).unwrap();
        symlink(&folder, self.dir.join("..data_tmp")).unwrap();
        fs::rename(self.dir.join("..data_tmp"), self.dir.join("..data")).unwrap();
    }
}

/// Each metric is its number plus the version; the clock, which is the same in all versions, is the time of its
/// reading.
fn configuration(fixture: &Fixture, version: usize) -> String {
    let url = fixture.steady.url();
    // The backend goes with its rules: none of them may be read without it.
    let mut text = format!(
        "backends:\n  clock: {{url: \"{url}\"}}\n  v{version}: {{url: \"{url}\"}}\nmetrics:\n\
         - {{name: clock, backend: clock, namespace: none, selector: ignore, maxAge: 1h, query: \"vector(time())\"}}\n"
    );
    for number in 0..METRICS {
        let value = version * METRICS + number;
        writeln!(
            text,
            "- {{name: m{number}, backend: v{version}, namespace: none, query: \"vector({value})\"}}"
        )
        .unwrap();
    }
    text
}

fn caller(fixture: &Fixture, server: &Server, keeps: bool) -> Caller {
    Caller::new(&server.url(), server.ca(), Some(&front_proxy(&fixture.cluster)), keeps).for_admin()
}

async fn value(caller: &Caller, metric: &str) -> String {
    let answer = caller.get(&format!("{BASE}/namespaces/{STEADY_NAMESPACE}/{metric}")).await;
    assert_eq!(answer.code, 200, "{metric}: {answer:?}");
    answer.json()["items"][0]["value"].as_str().unwrap().to_owned()
}

/// The version that a metric's value is from.
async fn version(caller: &Caller, number: usize) -> usize {
    let value = value(caller, &format!("m{number}")).await;
    // A whole number of thousands is written with its suffix.
    let value: usize = match value.strip_suffix('k') {
        Some(thousands) => thousands.parse::<usize>().unwrap() * 1_000,
        None => value.parse().unwrap(),
    };
    assert_eq!(value % METRICS, number, "of another metric: {value}");
    value / METRICS
}

/// Callers that read one metric after the other until `done`; how many reads each version answered.
fn load(fixture: &Fixture, server: &Server, done: &Arc<AtomicBool>) -> JoinSet<Vec<usize>> {
    let mut load = JoinSet::new();
    for first in 0..CALLERS {
        let caller = caller(fixture, server, first % 2 == 0);
        let done = Arc::clone(done);
        load.spawn(async move {
            let mut counts = vec![0; 5];
            for number in (first..).step_by(CALLERS) {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                counts[version(&caller, number % METRICS).await] += 1;
            }
            counts
        });
    }
    load
}

async fn line_of(caller: &Caller, path: &str, begin: &str) -> String {
    let answer = caller.get(path).await;
    assert_eq!(answer.code, 200, "{answer:?}");
    let line = answer.body.lines().find(|line| line.starts_with(begin)).map(str::to_owned);
    line.unwrap_or_else(|| panic!("no {begin} in {}", answer.body))
}

async fn note_becomes(caller: &Caller, expected: &str) {
    let reached = eventually(expected, RELOADED, || async {
        let line = line_of(caller, "/readyz?verbose", "[+]configuration").await;
        Ok((line == format!("[+]configuration ok: {expected}")).then_some(()))
    });
    reached.await.unwrap();
}

async fn is_successful(caller: &Caller) -> bool {
    let name = "metrics_apiserver_config_last_reload_successful ";
    line_of(caller, "/metrics", name).await.ends_with(" 1")
}

async fn start(fixture: &Fixture, name: &str, config: &Path) -> Server {
    let kubeconfig = Server::account(&fixture.cluster).await.unwrap();
    let options = server::Options { config: config.to_owned(), kubeconfig, args: Vec::new() };
    Server::start(&fixture.cluster, name, &options).await.unwrap()
}

#[test]
fn a_thousand_rules_are_reloaded_under_load_without_a_failed_read() {
    with_fixture(|fixture| async move {
        let dir = fixture.cluster.dir().subdir("reload-mount").unwrap();
        let mount = Mount::new(dir, &configuration(&fixture, 1));
        let server = start(&fixture, "reload", &mount.file()).await;
        let caller = caller(&fixture, &server, true);
        note_becomes(&caller, "generation 1").await;
        let time = value(&caller, "clock").await;
        let done = Arc::new(AtomicBool::new(false));
        let load = load(&fixture, &server, &done);

        // As kubelet changes it; found by itself.
        mount.swap(&configuration(&fixture, 2));
        note_becomes(&caller, "generation 2").await;
        assert_eq!(version(&caller, 7).await, 2);

        // A mistake: everything stays, and who looks finds out what is wrong and where.
        let broken =
            configuration(&fixture, 3).replacen("query: \"vector(3007)\"", "qeury: \"vector(3007)\"", 1);
        mount.swap(&broken);
        server.process().signal(Signal::SIGHUP).unwrap();
        note_becomes(&caller, "the file's newest content is refused, generation 2 is served").await;
        assert!(!is_successful(&caller).await);
        assert_eq!(version(&caller, 7).await, 2);
        let log = fs::read_to_string(server.log()).unwrap();
        assert!(log.contains("config.yaml:13:") && log.contains("unknown key `qeury`"), "{log}");

        // Mended; taken up at once by the signal.
        mount.swap(&configuration(&fixture, 4));
        server.process().signal(Signal::SIGHUP).unwrap();
        note_becomes(&caller, "generation 3").await;
        assert!(is_successful(&caller).await);
        assert_eq!(version(&caller, 7).await, 4);
        assert_eq!(value(&caller, "clock").await, time, "the reading of an unchanged rule must have stayed");

        done.store(true, Ordering::Relaxed);
        let counts = load.join_all().await;
        for of_one in &counts {
            assert!(of_one[1] > 0 && of_one[2] > 0, "the load must have seen the reload: {counts:?}");
            assert_eq!((of_one[0], of_one[3]), (0, 0), "served from a refused file: {counts:?}");
        }
        let log = fs::read_to_string(server.log()).unwrap();
        assert_eq!(log.matches("the configuration file is refused").count(), 1, "{log}");
        assert!(server.process().stop().await.unwrap().success());
    });
}
