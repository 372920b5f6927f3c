//! Open loops, in rounds of some intervals, and closed loops.

use super::{
    AT_ONCE, Settings, count,
    hpas::{Hpas, Layout, Schedule},
    latency::Latency,
    load::{self, OpenLoop},
    proc::{self, Memory},
    say,
    stage::{self, Stage, Subject},
    tally::Tally,
    world::{self, Source},
};
use anyhow::Result;
use serde::Serialize;
use std::time::Duration;

/// Connections of a closed loop, few enough that two cores serve them all at once.
pub(super) const CONNECTIONS: usize = 5;
/// The time to which processor time is scaled.
const CPU_TIME: f64 = 20.0;

/// One round.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    /// What it was about.
    pub name: String,
    /// Simulated HPAs.
    pub hpas: usize,
    /// Queries they read.
    pub queries: usize,
    /// Reads a second.
    pub reads_per_second: f64,
    /// How long the reads took.
    pub latency: Latency,
    /// All reads, the warm-up's too.
    pub all: Tally,
    /// The server's processor time for 20 s of it.
    pub cpu_seconds_per_20s: f64,
    /// How often Prometheus answered each query in an interval.
    pub queries_per_interval: f64,
    /// The part of the reads that found a reading in the cache.
    pub from_cache: Option<f64>,
    /// The server's memory at its end.
    pub memory: Memory,
    /// Messages of some failed reads.
    pub failures: Vec<String>,
}

/// A closed loop.
#[derive(Debug, Clone, Serialize)]
pub struct ClosedLoop {
    /// Reads a second.
    pub reads_per_second: f64,
    /// The server's processor time for a thousand of them.
    pub cpu_ms_per_1000_reads: f64,
    /// How long the reads took.
    pub latency: Latency,
    /// All reads, the warm-up's too.
    pub all: Tally,
    /// Messages of some failed reads.
    pub failures: Vec<String>,
}

/// Variants of the round at 333 reads a second.
pub(super) async fn rounds(stage: &Stage, settings: &Settings) -> Result<Vec<Round>> {
    let hpas = |layout| Hpas::at_rate(333, settings.interval, world::RULES, layout);
    let served = stage.serve("bench-apart", stage::ARGS).await?;
    let apart = round(stage, &served.subject, "333/s, HPAs apart", hpas(Layout::Apart), settings).await?;
    drop(served);
    let served = stage.serve("bench-reviews", &[]).await?;
    let name = "333/s, decisions cached for 10 s";
    let reviews = round(stage, &served.subject, name, hpas(Layout::Together), settings).await?;
    Ok(vec![apart, reviews])
}

/// One round: until the interval is learned, and then for some intervals that count.
pub(super) async fn round(
    stage: &Stage,
    subject: &Subject,
    name: &str,
    hpas: Hpas,
    settings: &Settings,
) -> Result<Round> {
    say(&format!("{name}: {} HPAs on {} queries", hpas.number, hpas.queries));
    let warm_up = settings.warm_up;
    let time = hpas.mean() * settings.intervals;
    let requests = world::requests(Source::Cache, hpas.queries);
    let load = OpenLoop::start(&subject.target, &requests, Schedule::new(hpas), warm_up + time, AT_ONCE);
    load.at(warm_up).await;
    let before = stage.counts(subject).await?;
    load.at(warm_up + time).await;
    let after = stage.counts(subject).await?;
    let memory = Memory::of(subject.pid)?;
    let outcome = load.finish().await?;
    let counted = outcome.reads.iter().filter(|read| read.planned >= warm_up);
    let latency = Latency::of(counted);
    let queries = after.queries - before.queries;
    let from_cache = before
        .lookups
        .zip(after.lookups)
        .map(|((hits, all), (hits_after, all_after))| (hits_after - hits) / (all_after - all).max(1.0));
    let seconds = time.as_secs_f64();
    Ok(Round {
        name: name.to_owned(),
        hpas: hpas.number,
        queries: hpas.queries,
        reads_per_second: count(latency.reads) / seconds,
        latency,
        all: Tally::of(&outcome.reads),
        cpu_seconds_per_20s: (after.cpu_seconds - before.cpu_seconds) * CPU_TIME / seconds,
        queries_per_interval: queries / count(hpas.queries) / f64::from(settings.intervals),
        from_cache,
        memory,
        failures: outcome.failures,
    })
}

/// A closed loop over the hundred metrics.
pub(super) async fn closed_loop(subject: &Subject, name: &str, settings: &Settings) -> Result<ClosedLoop> {
    say(&format!("closed loop, {name}"));
    let requests = world::requests(Source::Cache, world::RULES);
    let run = |time| load::closed_loop(&subject.target, &requests, CONNECTIONS, time);
    let warmed = run(Duration::from_secs(1)).await?;
    let before = proc::cpu_seconds(subject.pid)?;
    let outcome = run(settings.closed_loop).await?;
    let cpu = proc::cpu_seconds(subject.pid)? - before;
    let latency = Latency::of(&outcome.reads);
    Ok(ClosedLoop {
        reads_per_second: count(latency.reads) / settings.closed_loop.as_secs_f64(),
        cpu_ms_per_1000_reads: cpu * 1e6 / count(latency.reads.max(1)),
        latency,
        all: Tally::of(warmed.reads.iter().chain(&outcome.reads)),
        failures: outcome.failures,
    })
}
