//! metrics-apiserver in place of prometheus-adapter on a large cluster: both get the same flags and the same
//! configuration, one after the other, on the same kube-apiserver and the same Prometheus.
//!
//! The configuration is the adapter's default one, a rule for all series of pods and `resourceRules` (`drop_in/world`).
//! Reads are of custom metrics as the HPA controller sends them, and of `kubectl top pods --all-namespaces`.

mod objects;
mod rows;
mod world;

use super::{
    AT_ONCE, Settings,
    connection::Target,
    count,
    hpas::{Hpas, Layout, Schedule},
    latency::Latency,
    load::{self, OpenLoop},
    millis,
    proc::{self, Memory},
    say,
    stage::Stage,
    tally::Tally,
};
use crate::{Process, Prometheus, User, eventually, pki, prometheus, tools, workspace};
use anyhow::{Context, Result, ensure};
use reqwest::{Client, Identity};
use serde::Serialize;
use std::{
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

/// How large the cluster is, and how long it is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    /// Namespaces, each with five applications of ten pods.
    pub(super) namespaces: usize,
    /// Half of them are cAdvisor's, the other half the application's own.
    pub(super) series_per_pod: usize,
    /// `--metrics-relist-interval`.
    pub(super) relist_interval: Duration,
    /// Between two reads of `kubectl top`, longer than answers are cached; their number is that of the reads.
    pub(super) pauses: &'static [Duration],
}

/// 120,000 series of 1,000 pods.
pub(super) const FULL: Scale = Scale {
    namespaces: 20,
    series_per_pod: 120,
    relist_interval: Duration::from_secs(30),
    // Irregular, as a person types: nothing is to be learned from them.
    pauses: &[
        Duration::from_secs(12),
        Duration::from_secs(19),
        Duration::from_secs(11),
        Duration::from_secs(26),
        Duration::from_secs(14),
    ],
};

/// To see that it works.
pub(super) const QUICK: Scale = Scale {
    namespaces: 2,
    series_per_pod: 20,
    relist_interval: Duration::from_secs(2),
    pauses: &[Duration::from_millis(100); 2],
};

/// Reads of custom metrics a second.
const RATE: usize = 67;
/// Intervals for which a server is left alone.
const IDLE_INTERVALS: u32 = 2;
/// Reads of `kubectl top` without a pause between them.
const REPEATED: usize = 20;
/// From a server's start until all that is read is served: it lists all series first.
const SETTLED: Duration = Duration::from_secs(180);
/// How long a read may take outside the measured load.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Both servers get these. The adapter lists the pods of a selector for each read, and waits for its own limit of five
/// requests a second to kube-apiserver unless it is raised. Decisions are cached as in the manifests: by default both
/// review each read of an HPA, whose interval is longer than the 10 s that a decision counts.
const FLAGS: [&str; 5] = [
    "--bind-address=127.0.0.1",
    "--metrics-max-age=2h",
    "--client-qps=500",
    "--client-burst=1000",
    "--authorization-webhook-cache-authorized-ttl=5m",
];
const TOP: &str = "/apis/metrics.k8s.io/v1beta1/pods";

/// Both servers.
#[derive(Debug, Clone, Serialize)]
pub struct DropIn {
    /// Series that the rules find.
    pub series: usize,
    /// Pods of the cluster.
    pub pods: usize,
    /// metrics-apiserver.
    pub ours: Measured,
    /// prometheus-adapter.
    pub adapter: Measured,
}

/// What one server did.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// From its start until it served every metric that is read.
    pub settled_after_seconds: f64,
    /// Metrics in the list of `custom.metrics.k8s.io`.
    pub metrics: usize,
    /// After it was left alone for two intervals.
    pub idle_memory: Memory,
    /// Per cent of a core while it was left alone.
    pub idle_cpu_percent: f64,
    /// Reads of custom metrics at 67/s.
    pub reads: Latency,
    /// All of them, the warm-up's too.
    pub all: Tally,
    /// Messages of some failed reads.
    pub failures: Vec<String>,
    /// Per cent of a core under this load.
    pub cpu_percent: f64,
    /// `kubectl top pods --all-namespaces`.
    pub top: Top,
    /// At the end.
    pub memory: Memory,
}

/// Reads of the usage of all pods.
#[derive(Debug, Clone, Serialize)]
pub struct Top {
    /// How long reads took with a pause before each that is longer than answers are cached; the quickest first.
    pub apart_ms: Vec<f64>,
    /// How long reads took right after one another; the quickest first.
    pub repeated_ms: Vec<f64>,
}

pub(super) async fn drop_in(stage: &Stage, settings: &Settings) -> Result<DropIn> {
    let scale = &settings.drop_in;
    let (series, pods) = (world::series(scale), world::pods(scale).count());
    let ours = workspace::binary("metrics-apiserver").await?;
    let adapter = tools::prometheus_adapter().await?;
    say(&format!("a cluster of {pods} pods with {series} series"));
    objects::create(&stage.cluster, scale).await.context("creating the pods")?;
    let prometheus = Prometheus::start(prometheus::Options {
        name: "bench-drop-in".into(),
        openmetrics: Some(world::samples(scale, jiff::Timestamp::now().as_second())),
        ..prometheus::Options::default()
    })
    .await?;
    let counted = prometheus.instant(world::COUNT).await?;
    let counted = counted.first().map_or(0.0, |sample| sample.value);
    ensure!((counted - count(series)).abs() < 0.5, "Prometheus has {counted} series instead of {series}");
    let lab = Lab { stage, settings, prometheus: &prometheus };
    Ok(DropIn {
        series,
        pods,
        ours: lab.measure("metrics-apiserver", &ours).await?,
        adapter: lab.measure("prometheus-adapter", &adapter).await?,
    })
}

/// What both servers are measured with.
struct Lab<'a> {
    stage: &'a Stage,
    settings: &'a Settings,
    prometheus: &'a Prometheus,
}

/// A running server. It ends with this value.
struct Running {
    process: Process,
    started: Instant,
    target: Arc<Target>,
    client: Client,
    url: String,
}

impl Lab<'_> {
    async fn measure(&self, name: &str, program: &Path) -> Result<Measured> {
        say(&format!("{name} lists the series"));
        let server = self.start(name, program)?;
        self.settle(&server).await.with_context(|| server.process.log_tail())?;
        let settled = server.started.elapsed();
        let metrics = server.metrics().await?;
        let pid = server.process.pid().as_raw();
        say(&format!(
            "{name} serves {metrics} metrics after {:.1} s, and is left alone",
            settled.as_secs_f64()
        ));
        let idle = self.settings.drop_in.relist_interval * IDLE_INTERVALS;
        let before = (proc::cpu_seconds(pid)?, Instant::now());
        tokio::time::sleep(idle).await;
        let idle_cpu_percent = percent(pid, before)?;
        let idle_memory = Memory::of(pid)?;
        let (outcome, cpu_percent) = self.read(name, &server).await?;
        let counted = outcome.reads.iter().filter(|read| read.planned >= self.settings.warm_up);
        let reads = Latency::of(counted);
        let top = self.top(name, &server).await?;
        Ok(Measured {
            settled_after_seconds: settled.as_secs_f64(),
            metrics,
            idle_memory,
            idle_cpu_percent,
            reads,
            all: Tally::of(&outcome.reads),
            failures: outcome.failures,
            cpu_percent,
            top,
            memory: Memory::of(pid)?,
        })
    }

    fn start(&self, name: &str, program: &Path) -> Result<Running> {
        let cluster = &self.stage.cluster;
        let name = format!("bench-drop-in-{name}");
        let dir = cluster.dir().subdir(&name)?;
        let config = dir.join("config.yaml");
        pki::write(&config, world::CONFIGURATION)?;
        let (serving, target) = self.stage.serving(&dir)?;
        let mut command = Command::new(program);
        command.args(FLAGS).arg("--config").arg(&config);
        command.args([
            format!("--secure-port={}", serving.port),
            format!("--prometheus-url={}", self.prometheus.url()),
            format!("--metrics-relist-interval={}s", self.settings.drop_in.relist_interval.as_secs()),
        ]);
        command.arg("--tls-cert-file").arg(&serving.files.certificate);
        command.arg("--tls-private-key-file").arg(&serving.files.key);
        for flag in ["--lister-kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig"] {
            command.arg(flag).arg(cluster.kubeconfig(User::Admin));
        }
        command.current_dir(&dir);
        let started = Instant::now();
        let process = Process::start(&name, &mut command, &cluster.dir().log(&name))?;
        let identity = cluster.credentials().request_header_ca.client("front-proxy-client", None)?;
        let identity = Identity::from_pem(format!("{}{}", identity.certificate, identity.key).as_bytes())?;
        let roots = reqwest::Certificate::from_pem_bundle(serving.ca.as_bytes())?;
        let client = Client::builder().no_proxy().timeout(TIMEOUT).tls_certs_only(roots).identity(identity);
        let url = format!("https://localhost:{}", serving.port);
        Ok(Running { process, started, target, client: client.build()?, url })
    }

    /// Waits until every read has its right answer, and the usage of every pod is known.
    async fn settle(&self, server: &Running) -> Result<()> {
        let requests = world::requests(&self.settings.drop_in);
        let of_each_list: Arc<[_]> = world::of_each_list().into();
        let target = Arc::new(server.target.with_timeout(TIMEOUT));
        eventually("a right answer to each read", SETTLED, async || {
            let (target, requests) = (Arc::clone(&target), Arc::clone(&requests));
            let of_each_list = Arc::clone(&of_each_list);
            let read = move || {
                load::all_right(&target, &of_each_list)?;
                load::all_right(&target, &requests)
            };
            tokio::task::spawn_blocking(read).await?.map(Some)
        })
        .await?;
        let pods = world::pods(&self.settings.drop_in).count();
        eventually("the usage of all pods", SETTLED, async || {
            let (found, _) = server.top().await?;
            ensure!(found == pods, "the usage of {found} of {pods} pods");
            Ok(Some(()))
        })
        .await
    }

    /// Reads custom metrics for some intervals; all reads, and the processor time.
    async fn read(&self, name: &str, server: &Running) -> Result<(load::Outcome, f64)> {
        let settings = self.settings;
        let requests = world::requests(&settings.drop_in);
        let hpas = Hpas::at_rate(RATE, settings.interval, requests.len(), Layout::Together);
        say(&format!("{name}: {} HPAs on {} custom metrics", hpas.number, hpas.queries));
        let end = settings.warm_up + hpas.mean() * settings.intervals;
        let load = OpenLoop::start(&server.target, &requests, Schedule::new(hpas), end, AT_ONCE);
        load.at(settings.warm_up).await;
        let pid = server.process.pid().as_raw();
        let before = (proc::cpu_seconds(pid)?, Instant::now());
        load.at(end).await;
        let percent = percent(pid, before)?;
        Ok((load.finish().await?, percent))
    }

    async fn top(&self, name: &str, server: &Running) -> Result<Top> {
        say(&format!("{name}: kubectl top pods"));
        let pods = world::pods(&self.settings.drop_in).count();
        let read = async || {
            let (found, took) = server.top().await?;
            ensure!(found == pods, "{name} gave the usage of {found} of {pods} pods");
            anyhow::Ok(millis(took))
        };
        let (mut apart_ms, mut repeated_ms) = (Vec::new(), Vec::new());
        for pause in self.settings.drop_in.pauses {
            tokio::time::sleep(*pause).await;
            apart_ms.push(read().await?);
        }
        for _ in 0..REPEATED {
            repeated_ms.push(read().await?);
        }
        for times in [&mut apart_ms, &mut repeated_ms] {
            times.sort_by(f64::total_cmp);
        }
        Ok(Top { apart_ms, repeated_ms })
    }
}

/// Per cent of a core since then.
fn percent(pid: i32, (cpu, at): (f64, Instant)) -> Result<f64> {
    Ok((proc::cpu_seconds(pid)? - cpu) * 100.0 / at.elapsed().as_secs_f64())
}

impl Running {
    /// As kube-apiserver passes on what kubectl sends: compressed, if the server can.
    async fn get(&self, path: &str) -> Result<reqwest::Response> {
        let request = self.client.get(format!("{}{path}", self.url));
        let request = request.header("accept", "application/json, */*");
        let request = request.header("x-remote-user", "bench").header("x-remote-group", "system:masters");
        Ok(request.send().await?.error_for_status()?)
    }

    /// How many pods have usage, and how long the answer took.
    async fn top(&self) -> Result<(usize, Duration)> {
        let started = Instant::now();
        let body = self.get(TOP).await?.bytes().await?;
        Ok((items(&body, "items")?, started.elapsed()))
    }

    async fn metrics(&self) -> Result<usize> {
        items(&self.get("/apis/custom.metrics.k8s.io/v1beta1").await?.bytes().await?, "resources")
    }
}

fn items(body: &[u8], list: &str) -> Result<usize> {
    let body: serde_json::Value = serde_json::from_slice(body)?;
    Ok(body.get(list).and_then(|list| list.as_array()).with_context(|| format!("no {list}"))?.len())
}
