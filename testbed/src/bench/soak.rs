//! Whether the server's memory grows: many queries, reloads and restarts of Prometheus, for minutes.

use super::{
    AT_ONCE, count,
    hpas::{Hpas, Layout, Schedule},
    latency::Latency,
    load::{OpenLoop, Read},
    proc::{Machine, Memory},
    say,
    stage::{self, Served, Stage},
    world::{self, Configuration, Source},
};
use crate::bench::Row;
use anyhow::Result;
use nix::sys::signal::Signal;
use serde::Serialize;
use std::{ops::Range, time::Duration};

const INTERVAL: Duration = Duration::from_secs(15);
const RATE: usize = 1_000;
/// Between two samples of the memory.
const LOOK: u64 = 10;
/// Between two reloads.
const RELOAD: u64 = 20;
/// Between two restarts of Prometheus.
const RESTART: u64 = 60;
/// What is seen before does not count: every query must have been read, and its interval learned.
const SETTLED: Duration = Duration::from_secs(120);
/// Until every query has been read twice and its interval is known. Here shows what 10,000 new queries at once cost.
const FIRST_INTERVALS: Duration = Duration::from_secs(45);
/// How many samples are averaged at the beginning and at the end: one may fall into a reload or a restart.
const LOOKS_AVERAGED: usize = 3;
/// Reads so long after Prometheus is ready again count to the outage: the server has to find out.
const RECOVERY: Duration = Duration::from_secs(5);

/// What was seen.
#[derive(Debug, Clone, Serialize)]
pub struct Soak {
    /// Where.
    pub machine: Machine,
    /// How long, in minutes.
    pub minutes: u64,
    /// Queries read.
    pub queries: usize,
    /// The memory each ten seconds.
    pub looks: Vec<Memory>,
    /// How much the resident memory grew from the second minute to the end.
    pub growth_mb: f64,
    /// The most it was.
    pub most_mb: f64,
    /// Reloads sent, and those that the server took.
    pub reloads: (usize, f64),
    /// Restarts of Prometheus.
    pub restarts: usize,
    /// Reads of the first three intervals, when all queries are new at once.
    pub first: Latency,
    /// Reads after that while Prometheus was there.
    pub normal: Latency,
    /// Reads while it was not, or just came back.
    pub outage: Latency,
    /// Messages of some failed reads.
    pub failures: Vec<String>,
}

/// Runs the soak.
pub async fn soak(minutes: u64) -> Result<Soak> {
    let stage = Stage::start().await?;
    let served = stage.serve("bench-soak", stage::ARGS).await?;
    let end = Duration::from_secs(minutes * 60);
    let hpas = Hpas::at_rate(RATE, INTERVAL, world::QUERIES, Layout::Together);
    let requests = world::requests(Source::Cache, world::QUERIES);
    let before = served.reloads().await?;
    let load = OpenLoop::start(&served.subject.target, &requests, Schedule::new(hpas), end, AT_ONCE);
    let (looks, reloads, outages) = tokio::try_join!(
        look(&load, &served, end),
        reload(&load, &stage, &served, end),
        restart(&load, &stage, end)
    )?;
    load.at(end).await;
    let taken = served.reloads().await? - before;
    let outcome = load.finish().await?;
    let is_first = |read: &Read| read.planned < FIRST_INTERVALS.min(end / 2);
    let is_out = |read: &Read| outages.iter().any(|outage| outage.contains(&read.planned));
    let settled =
        |look: &usize| Duration::from_secs(LOOK) * u32::try_from(*look).unwrap_or(0) >= SETTLED.min(end / 2);
    let first = (0..looks.len()).find(settled).unwrap_or_default();
    let soak = Soak {
        machine: Machine::look()?,
        minutes,
        queries: world::QUERIES,
        growth_mb: mean(looks.iter().rev()) - mean(looks.iter().skip(first)),
        most_mb: looks.iter().map(|look| look.resident_mb).fold(0.0, f64::max),
        looks,
        reloads: (reloads, taken),
        restarts: outages.len(),
        first: Latency::of(outcome.reads.iter().filter(|read| is_first(read))),
        normal: Latency::of(outcome.reads.iter().filter(|read| !is_first(read) && !is_out(read))),
        outage: Latency::of(outcome.reads.iter().filter(|read| is_out(read))),
        failures: outcome.failures,
    };
    drop(served);
    stage.cluster.shutdown().await?;
    Ok(soak)
}

impl Soak {
    /// For the table.
    pub fn rows(&self) -> Vec<Row> {
        let failed =
            |latency: &Latency| format!("{} of {}, {} wrong", latency.failed, latency.reads, latency.wrong);
        let wrong = self.first.wrong + self.normal.wrong + self.outage.wrong;
        vec![
            // Two samples differ by up to a megabyte, because of the allocator's arenas.
            Row::at_most("growth from minute 2 to the end", "MB", self.growth_mb, 1.0),
            Row::at_most("most memory at any time", "MB", self.most_mb, 80.0),
            Row::met(
                "failed reads while Prometheus was there",
                failed(&self.normal),
                "none",
                self.normal.failed + self.normal.wrong == 0,
            ),
            Row::met("wrong numbers at any time", wrong.to_string(), "none", wrong == 0),
            Row::seen("failed reads in the first three intervals", failed(&self.first)),
            Row::seen("failed reads while it was not", failed(&self.outage)),
            Row::seen("reads", format!("p50 {:.2} ms, p99 {:.2} ms", self.normal.p50_ms, self.normal.p99_ms)),
            Row::seen("reloads sent, taken", format!("{}, {}", self.reloads.0, self.reloads.1)),
            Row::seen("restarts of Prometheus", self.restarts.to_string()),
        ]
    }
}

fn mean<'a>(looks: impl Iterator<Item = &'a Memory>) -> f64 {
    let looks: Vec<f64> = looks.take(LOOKS_AVERAGED).map(|look| look.resident_mb).collect();
    looks.iter().sum::<f64>() / count(looks.len().max(1))
}

/// Every so many seconds, from the first time to before the end.
fn times(seconds: u64, end: Duration) -> impl Iterator<Item = Duration> {
    (1..).map(move |time| Duration::from_secs(seconds * time)).take_while(move |time| *time < end)
}

async fn look(load: &OpenLoop, served: &Served, end: Duration) -> Result<Vec<Memory>> {
    let mut looks = vec![Memory::of(served.subject.pid)?];
    for time in times(LOOK, end + Duration::from_secs(1)) {
        load.at(time).await;
        let memory = Memory::of(served.subject.pid)?;
        say(&format!("{:>4} s: {:.1} MB", time.as_secs(), memory.resident_mb));
        looks.push(memory);
    }
    Ok(looks)
}

async fn reload(load: &OpenLoop, stage: &Stage, served: &Served, end: Duration) -> Result<usize> {
    let mut sent = 0;
    for time in times(RELOAD, end) {
        load.at(time).await;
        sent += 1;
        served.configure(&Configuration { version: sent, ..stage.configuration() }.text())?;
        served.server.process().signal(Signal::SIGHUP)?;
    }
    Ok(sent)
}

async fn restart(load: &OpenLoop, stage: &Stage, end: Duration) -> Result<Vec<Range<Duration>>> {
    let mut outages = Vec::new();
    for time in times(RESTART, end) {
        // Not together with a reload.
        load.at(time + Duration::from_secs(RELOAD / 2)).await;
        let from = load.now();
        stage.prometheus.stop().await?;
        stage.prometheus.start_again().await?;
        // A read that came shortly before may have been waiting.
        outages.push(from.saturating_sub(Duration::from_secs(1))..load.now() + RECOVERY);
    }
    Ok(outages)
}
