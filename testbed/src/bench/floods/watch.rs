//! What is looked at while the attacks go on: probes, memory, reviews and connections to kube-apiserver.

use super::client::probe;
use crate::bench::{
    connection::{Connection, Target},
    counters,
    load::{Read, Verdict},
    proc::{self, Memory},
    stage::Subject,
    world,
};
use anyhow::{Context as _, Result, anyhow};
use std::{
    collections::HashSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(100);
/// Between two looks at the counters and connections.
const COUNT: Duration = Duration::from_secs(1);
/// Between two probes.
const PROBE: Duration = Duration::from_millis(500);
/// kubelet's patience by default.
const PATIENCE: Duration = Duration::from_secs(1);

/// What was seen at one time, since the beginning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<T> {
    pub(super) at: Duration,
    pub(super) value: T,
}

/// Everything that was seen.
#[derive(Debug)]
pub(super) struct Sights {
    pub(super) memory: Vec<Seen<Memory>>,
    pub(super) counts: Vec<Seen<Counts>>,
    pub(super) probes: Vec<Read>,
    pub(super) failures: Vec<String>,
}

/// The counters and connections at one time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    /// Reviews that were sent, and those whose clients had given up, if the server counts them.
    pub(super) reviews: Option<f64>,
    pub(super) abandoned: Option<f64>,
    /// Connections to kube-apiserver.
    pub(super) connections: usize,
    /// Of the server and in seconds.
    pub(super) cpu: f64,
}

/// Watchers. They end with this value.
pub(super) struct Watch {
    clock: Clock,
    memory: Option<JoinHandle<Result<Vec<Seen<Memory>>>>>,
    counts: Option<JoinHandle<Result<Vec<Seen<Counts>>>>>,
    probes: Option<JoinHandle<(Vec<Read>, Vec<String>)>>,
}

#[derive(Clone)]
struct Clock {
    stop: Arc<AtomicBool>,
    started: Instant,
}

impl Watch {
    /// Looks at `subject`, which `kubelet` probes and which talks to kube-apiserver at `port`.
    pub(super) fn start(subject: &Subject, kubelet: &Target, port: u16) -> Self {
        let clock = Clock { stop: Arc::default(), started: Instant::now() };
        let (looks, counts, probes) = (clock.clone(), clock.clone(), clock.clone());
        let (pid, target) = (subject.pid, Arc::clone(&subject.target));
        let kubelet = Arc::new(kubelet.with_timeout(PATIENCE));
        let look = move || looks.times(LOOK).map(|at| Ok(Seen { at, value: Memory::of(pid)? })).collect();
        let count = move || {
            let mut connection = Connection::new(&target);
            let seen = |_| {
                let value = Counts::look(&mut connection, pid, port);
                Ok(Seen { at: counts.started.elapsed(), value: value.context("counting")? })
            };
            counts.times(COUNT).map(seen).collect()
        };
        Self {
            memory: Some(thread::spawn(look)),
            counts: Some(thread::spawn(count)),
            probes: Some(thread::spawn(move || probe_all(&probes, &kubelet))),
            clock,
        }
    }

    /// The time since the beginning.
    pub(super) fn now(&self) -> Duration {
        self.clock.started.elapsed()
    }

    /// Ends, with all that was seen.
    pub(super) fn stop(mut self) -> Result<Sights> {
        self.clock.stop.store(true, Ordering::Relaxed);
        let ended = || anyhow!("a watcher panicked");
        let memory = self.memory.take().and_then(|thread| thread.join().ok()).ok_or_else(ended)??;
        let counts = self.counts.take().and_then(|thread| thread.join().ok()).ok_or_else(ended)??;
        let (probes, failures) =
            self.probes.take().and_then(|thread| thread.join().ok()).ok_or_else(ended)?;
        Ok(Sights { memory, counts, probes, failures })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.clock.stop.store(true, Ordering::Relaxed);
    }
}

impl Clock {
    /// Every so often, until the watch ends.
    fn times(&self, every: Duration) -> impl Iterator<Item = Duration> {
        let mut due = Duration::ZERO;
        std::iter::from_fn(move || {
            thread::sleep(due.saturating_sub(self.started.elapsed()));
            let at = due;
            // What could not be looked at in time is not looked at twice.
            due = (due + every).max(self.started.elapsed());
            (!self.stop.load(Ordering::Relaxed)).then_some(at)
        })
    }
}

impl Counts {
    fn look(connection: &mut Connection, pid: i32, port: u16) -> Result<Self> {
        let (connections, cpu) = (connections(pid, port)?, proc::cpu_seconds(pid)?);
        let request = world::get("/metrics", "bench", "system:masters");
        // One scrape that fails is missing; the probes say whether the server answers.
        let metrics = connection.send(request.as_bytes()).ok().filter(|(code, _)| *code == 200);
        let metrics = metrics.map(|(_, body)| String::from_utf8_lossy(body).into_owned());
        let sum =
            |labels: &[&str]| counters::sum(metrics.as_ref()?, "metrics_apiserver_reviews_total", labels);
        let sent = [&["outcome=\"success\""], &["outcome=\"failure\""]].map(|outcome| sum(outcome));
        let abandoned = metrics
            .as_ref()
            .and_then(|metrics| counters::sum(metrics, "metrics_apiserver_reviews_abandoned_total", &[]));
        let [answered, failed] = sent;
        let reviews = answered.zip(failed).map(|(answered, failed)| answered + failed);
        Ok(Self { reviews, abandoned, connections, cpu })
    }
}

/// The TCP connections of a process to a port of this machine.
fn connections(pid: i32, port: u16) -> Result<usize> {
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp"))?;
    let remote = format!(":{port:04X}");
    // Address, remote address, state (01: established) and, in the tenth column, the socket's inode.
    let inode = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_meant = fields.get(2)?.ends_with(&remote) && *fields.get(3)? == "01";
        is_meant.then(|| fields.get(9).map(|inode| format!("socket:[{inode}]")))?
    };
    let inodes: HashSet<_> = table.lines().filter_map(inode).collect();
    let files = fs::read_dir(format!("/proc/{pid}/fd"))?.flatten();
    let links = files.filter_map(|file| fs::read_link(file.path()).ok());
    Ok(links.filter(|link| link.to_str().is_some_and(|link| inodes.contains(link))).count())
}

/// Both probes in turn.
fn probe_all(clock: &Clock, kubelet: &Arc<Target>) -> (Vec<Read>, Vec<String>) {
    let mut failures = Vec::new();
    let mut paths = ["/livez", "/readyz"].iter().cycle();
    let probe = |planned: Duration| {
        let late = clock.started.elapsed().saturating_sub(planned);
        let request = world::get(paths.next().unwrap_or(&"/livez"), "", "");
        let (took, failure) = probe(kubelet, request.as_bytes());
        let verdict = if failure.is_none() { Verdict::Right } else { Verdict::Failed };
        failures.extend(failure);
        Read { planned, late, took, verdict }
    };
    let reads = clock.times(PROBE).map(probe).collect();
    failures.truncate(5);
    (reads, failures)
}
