//! Everything that clients can do to others, at once: connections that say nothing or hold places, large answers read
//! by many and slowly, invented paths, requests that will be denied, ever new selectors, odd lengths, failing queries.
//! Meanwhile the HPA controller reads, and kubelet probes.

mod attack;
mod client;
mod rows;
mod tally;
mod watch;
mod world;

use super::{
    AT_ONCE, Settings, count, counters,
    echo::{self, Listener},
    hpas::{Hpas, Layout, Schedule},
    latency::Latency,
    load::{OpenLoop, Outcome, Read},
    proc::Memory,
    say,
    stage::{self, Served, Stage},
    tally::Tally,
    world as usual,
};
use crate::{Prometheus, Server, prometheus};
use anyhow::{Context as _, Result};
use attack::Attacks;
use serde::Serialize;
use std::{fs, time::Duration};
use watch::{Seen, Sights, Watch};
use world::World;

/// Reads a second by the HPA controller.
const RATE: usize = 67;
/// Reads a second from the bare echo, the measure of what the busy machine costs.
const ECHO_RATE: usize = 20;
/// Until the attackers are given up who have not asked everything.
const LONGEST: u32 = 4;
/// Over which the memory before and after is averaged.
const LEVEL: Duration = Duration::from_secs(5);

/// How much and how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    /// Connections that say nothing.
    silent: usize,
    /// Idle connections of known users.
    holders: usize,
    /// Requests at once that will be denied.
    denied: usize,
    /// Questions with long selectors, in all.
    questions: usize,
    /// How long the attacks last at least.
    time: Duration,
    /// How long the server is left alone afterwards.
    quiet: Duration,
}

/// For figures.
pub(super) const FULL: Scale = Scale {
    silent: 3_500,
    holders: 600,
    denied: 450,
    questions: 40_000,
    time: Duration::from_secs(60),
    quiet: Duration::from_secs(60),
};

/// To see that it works.
pub(super) const QUICK: Scale = Scale {
    silent: 100,
    holders: 20,
    denied: 20,
    questions: 400,
    time: Duration::from_secs(6),
    quiet: Duration::from_secs(6),
};

/// What was seen.
#[derive(Debug, Clone, Serialize)]
pub struct Floods {
    /// How long the attacks lasted.
    pub seconds: f64,
    /// Reads of the HPA controller meanwhile, and before.
    pub reads: Latency,
    /// Before.
    pub reads_before: Latency,
    /// Reads from a bare TLS echo meanwhile.
    pub echo: Latency,
    /// Before.
    pub echo_before: Latency,
    /// Probes meanwhile.
    pub probes: Latency,
    /// Before.
    pub probes_before: Latency,
    /// Resident memory right before the attacks.
    pub memory_before_mb: f64,
    /// The most at any time.
    pub memory_peak_mb: f64,
    /// At the end, a minute after the attacks.
    pub memory_after_mb: f64,
    /// The part that is not backed by a file, right before the attacks and at the end.
    pub anonymous_mb: [f64; 2],
    /// Each ten seconds after the attacks.
    pub memory_by_ten_seconds_mb: Vec<f64>,
    /// Reviews in the second with most of them.
    pub reviews_max: f64,
    /// Reviews per second that kube-apiserver counted.
    pub reviews_per_second: f64,
    /// Connections to kube-apiserver at most.
    pub connections_max: usize,
    /// Reviews whose clients gave up, if the server counts them.
    pub abandoned: Option<f64>,
    /// Log lines.
    pub log_lines_per_second: f64,
    /// Requests with an odd length that were not answered.
    pub hanging: usize,
    /// Of the server meanwhile.
    pub cpu_percent: f64,
    /// All reads.
    pub all: Tally,
    /// Messages of some failed reads and probes.
    pub failures: Vec<String>,
    /// What attackers got.
    pub attackers: Vec<(String, usize)>,
}

pub(super) async fn floods(stage: &Stage, settings: &Settings) -> Result<Floods> {
    let prometheus = Prometheus::start(prometheus::Options {
        name: "bench-floods".into(),
        openmetrics: Some(world::samples()),
        ..prometheus::Options::default()
    })
    .await?;
    let usual = usual::Configuration { url: prometheus.url(), ..stage.configuration() };
    let planned = stage.plan_text("bench-floods", &world::configuration(&usual), stage::ARGS)?;
    let served = stage.start_server(planned).await?;
    let world = World::new(&stage.cluster, served.server.ca(), served.server.port()).await?;
    Ok(Run::new(stage, settings, &served, world).await?.figures(settings))
}

/// What a run shows.
struct Run {
    began: Moment,
    ended: Moment,
    reads: Outcome,
    echoes: Outcome,
    sights: Sights,
    attackers: Vec<(String, usize)>,
    /// Reviews that kube-apiserver answered during the attacks.
    reviews: f64,
    /// Log lines meanwhile.
    lines: usize,
}

impl Run {
    async fn new(stage: &Stage, settings: &Settings, served: &Served, world: World) -> Result<Self> {
        let (scale, subject) = (settings.floods, &served.subject);
        let listener = Listener::start(&Server::identity(&stage.cluster)?)?;
        let longest = settings.warm_up + scale.time * (LONGEST + 1) + scale.quiet;
        let load = |target: &_, requests: &_, rate, at_once| {
            let hpas = Hpas::at_rate(rate, settings.interval, usual::RULES, Layout::Together);
            OpenLoop::start(target, requests, Schedule::new(hpas), longest, at_once)
        };
        let requests = usual::requests(usual::Source::Cache, usual::RULES);
        say("reads and probes, before the floods");
        let watch = Watch::start(subject, &world.unknown, port(stage.cluster.url())?);
        let reads = load(&subject.target, &requests, RATE, AT_ONCE);
        let echoes = load(&listener.target(stage)?, &echo::requests(), ECHO_RATE, AT_ONCE / 4);
        reads.at(settings.warm_up).await;

        say("all floods at once");
        let (reviews, lines) = (reviews(stage).await?, lines(&served.server)?);
        let began = Moment::now(&reads, &watch);
        let attacks = Attacks::start(world, scale)?;
        reads.at(began.load + scale.time).await;
        while !attacks.have_asked_all() && reads.now() < began.load + scale.time * LONGEST {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let attackers = tokio::task::spawn_blocking(move || attacks.stop()).await?;
        let ended = Moment::now(&reads, &watch);
        let reviews = self::reviews(stage).await? - reviews;
        let lines = self::lines(&served.server)? - lines;

        say("the floods are over");
        reads.at(ended.load + scale.quiet).await;
        let sights = tokio::task::spawn_blocking(move || watch.stop()).await??;
        let (reads, echoes) = (reads.stop().await?, echoes.stop().await?);
        Ok(Self { began, ended, reads, echoes, sights, attackers, reviews, lines })
    }

    fn figures(self, settings: &Settings) -> Floods {
        let (began, ended, quiet) = (self.began, self.ended, settings.floods.quiet);
        let before = settings.interval * 2;
        let of = |reads: &[Read], from: Duration, to: Duration| {
            Latency::of(reads.iter().filter(|read| (from..to).contains(&read.planned)))
        };
        let during = |reads: &[Read]| of(reads, began.load, ended.load);
        let earlier = |reads: &[Read]| of(reads, began.load.saturating_sub(before), began.load);
        let seconds = ended.watch.saturating_sub(began.watch).as_secs_f64();
        let sights = &self.sights;
        let level = |at| level(sights, at, |memory| memory.resident_mb);
        let anonymous = |at| self::level(sights, at, |memory| memory.anonymous_mb);
        let hanging = self.attackers.iter().filter(|(what, _)| what.ends_with(": hangs"));
        Floods {
            seconds,
            reads: during(&self.reads.reads),
            reads_before: earlier(&self.reads.reads),
            echo: during(&self.echoes.reads),
            echo_before: earlier(&self.echoes.reads),
            probes: of(&sights.probes, began.watch, ended.watch),
            probes_before: of(&sights.probes, began.watch.saturating_sub(before), began.watch),
            memory_before_mb: level(began.watch),
            memory_peak_mb: sights.memory.iter().map(|seen| seen.value.peak_mb).fold(0.0, f64::max),
            memory_after_mb: level(ended.watch + quiet),
            anonymous_mb: [began.watch, ended.watch + quiet].map(anonymous),
            memory_by_ten_seconds_mb: (0..=quiet.as_secs() / 10)
                .map(|ten| level(ended.watch + Duration::from_secs(10 * ten)))
                .collect(),
            reviews_max: busiest(sights),
            reviews_per_second: self.reviews / seconds,
            connections_max: sights
                .counts
                .iter()
                .map(|seen| seen.value.connections)
                .max()
                .unwrap_or_default(),
            abandoned: sights.counts.iter().rev().find_map(|seen| seen.value.abandoned),
            log_lines_per_second: count(self.lines) / seconds,
            hanging: hanging.map(|(_, number)| number).sum(),
            cpu_percent: cpu(sights, began.watch, ended.watch) * 100.0 / seconds,
            all: Tally::of(&self.reads.reads),
            failures: self.reads.failures.into_iter().chain(self.sights.failures).collect(),
            attackers: self.attackers,
        }
    }
}

/// A time on the clocks of the load and of the watchers.
#[derive(Clone, Copy)]
struct Moment {
    load: Duration,
    watch: Duration,
}

impl Moment {
    fn now(load: &OpenLoop, watch: &Watch) -> Self {
        Self { load: load.now(), watch: watch.now() }
    }
}

/// The port of a URL such as `https://127.0.0.1:18123`.
fn port(url: &str) -> Result<u16> {
    url.rsplit(':').next().and_then(|port| port.parse().ok()).context("kube-apiserver has no port")
}

/// How many reviews kube-apiserver has answered.
async fn reviews(stage: &Stage) -> Result<f64> {
    let metrics = stage.cluster.kubectl().run(&["get", "--raw", "/metrics"]).await?.success()?;
    let kinds = ["resource=\"subjectaccessreviews\"", "resource=\"tokenreviews\""];
    Ok(kinds.iter().filter_map(|kind| counters::sum(&metrics, "apiserver_request_total", &[kind])).sum())
}

/// The lines in the server's log.
fn lines(server: &Server) -> Result<usize> {
    Ok(fs::read_to_string(server.log())?.lines().count())
}

/// The memory of a kind in the seconds before `at`: the median.
fn level(sights: &Sights, at: Duration, kind: fn(&Memory) -> f64) -> f64 {
    let window = at.saturating_sub(LEVEL)..=at;
    let seen = sights.memory.iter().filter(|seen| window.contains(&seen.at));
    let mut levels: Vec<_> = seen.map(|seen| kind(&seen.value)).collect();
    levels.sort_by(f64::total_cmp);
    levels.get(levels.len() / 2).copied().unwrap_or_default()
}

/// Reviews per second between the two looks with most between them.
fn busiest(sights: &Sights) -> f64 {
    let counts: Vec<Seen<f64>> = sights
        .counts
        .iter()
        .filter_map(|seen| Some(Seen { at: seen.at, value: seen.value.reviews? }))
        .collect();
    let rate = |[one, other]: &[Seen<f64>; 2]| {
        (other.value - one.value) / other.at.saturating_sub(one.at).as_secs_f64().max(1.0)
    };
    counts.windows(2).filter_map(<[_]>::first_chunk).map(rate).fold(0.0, f64::max)
}

/// The server's processor time between two times.
fn cpu(sights: &Sights, from: Duration, to: Duration) -> f64 {
    let within =
        || sights.counts.iter().filter(|seen| (from..=to).contains(&seen.at)).map(|seen| seen.value.cpu);
    within().next_back().unwrap_or_default() - within().next().unwrap_or_default()
}
