//! The fault rounds: real HPAs under steady load, while Prometheus and our own servers suffer what can befall them.
//!
//! The load does not change, so that every change of a size is a wrong decision. Real are the cluster, Prometheus, the
//! pods and their load; what a Prometheus does not do on demand is done by a [proxy](crate::fault_proxy) before it, and
//! a [balancer](crate::balancer) stands for kube-proxy before our servers.

mod act;
mod reader;
mod report;
mod round;
mod stage;
mod watch;
mod workload;

pub use report::{HpaReport, Report, RoundReport};
pub use round::{ROUNDS, Round, named};

use anyhow::{Context, Result};
use report::Times;
use stage::Stage;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How the rounds are to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which, and in which order.
    pub rounds: Vec<Round>,
    /// How long a fault lasts.
    pub length: Duration,
    /// `maxAge` of the rule with the longer one; that of the others is half a second.
    pub max_age: Duration,
    /// How long a read may take: the read deadline of 1 s, the way through kube-apiserver, and what a busy machine
    /// adds.
    pub read_within: Duration,
}

/// Plays the rounds and tells `progress` what came of each.
pub async fn run(options: &Options, progress: impl Fn(&str)) -> Result<Report> {
    progress("Starting Kubernetes, Prometheus, metrics-apiserver and four workloads under load.");
    let mut stage = Stage::start(options).await?;
    let mut reports = Vec::new();
    for round in &options.rounds {
        let report = play(&mut stage, round, options).await;
        let report = report.with_context(|| format!("round {}", round.name))?;
        progress(&report.line());
        reports.push(report);
    }
    stage.end().await?;
    Ok(Report::new(reports))
}

async fn play(stage: &mut Stage, round: &Round, options: &Options) -> Result<RoundReport> {
    stage.well().await?;
    stage.watch.begin();
    stage.reader.begin();
    let (begun, queries) = (Instant::now(), stage.proxy.queries());
    act::act(stage, round, options.length).await?;
    let ended = Instant::now();
    stage.well().await?;
    let times = Times { begun, ended, well: Instant::now() };
    sleep(round.kind.watched_after(options.length)).await;
    let (record, reads) = (stage.watch.record(), stage.reader.reads());
    let queries = stage.proxy.queries() - queries;
    Ok(RoundReport::new(round, options, times, &record, &reads, queries))
}
