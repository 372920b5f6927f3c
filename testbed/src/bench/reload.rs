//! A new configuration with a thousand rules, again and again, while HPAs read.

use super::{
    AT_ONCE, Settings, count,
    hpas::{Hpas, Layout, Schedule},
    latency::Latency,
    load::OpenLoop,
    say,
    stage::{self, Stage},
    tally::Tally,
    world::{self, Configuration, Source},
};
use crate::eventually;
use anyhow::Result;
use nix::sys::signal::Signal;
use serde::Serialize;
use std::time::Duration;

const RULES: usize = 1_000;
const RATE: usize = 333;
/// Between two of them.
const PAUSE: Duration = Duration::from_secs(3);
/// Reads planned from so long before the signal count,
const BEFORE: Duration = Duration::from_millis(200);
/// to so long after it.
const AFTER: Duration = Duration::from_millis(800);

/// How long the last one may take; only a build without optimization comes near it.
const LAST: Duration = Duration::from_secs(30);

/// What the reads saw.
#[derive(Debug, Clone, Serialize)]
pub struct Reload {
    /// Rules in the configuration.
    pub rules: usize,
    /// How often it was changed, and how often the server took it.
    pub reloads: (usize, f64),
    /// Reads planned in the second around each.
    pub around: Latency,
    /// Reads planned at other times.
    pub else_: Latency,
    /// All reads, the warm-up's too.
    pub all: Tally,
    /// Messages of some failed reads.
    pub failures: Vec<String>,
}

pub(super) async fn reload(stage: &Stage, settings: &Settings) -> Result<Reload> {
    let configuration = |version| Configuration { rules: RULES, version, ..stage.configuration() };
    let served = stage.start_server(stage.plan("bench-reload", &configuration(0), stage::ARGS)?).await?;
    say("reloads of 1,000 rules");
    let hpas = Hpas::at_rate(RATE, settings.interval, world::RULES, Layout::Together);
    let times = u32::try_from(settings.reloads).unwrap_or_default();
    let end = settings.warm_up + PAUSE * (times + 1);
    let requests = world::requests(Source::Cache, world::RULES);
    let load = OpenLoop::start(&served.subject.target, &requests, Schedule::new(hpas), end, AT_ONCE);
    load.at(settings.warm_up).await;
    let before = served.reloads().await?;
    let mut signals = Vec::new();
    for version in 1..=times {
        load.at(settings.warm_up + PAUSE * version).await;
        signals.push(load.now());
        served.configure(&configuration(version as usize).text())?;
        served.server.process().signal(Signal::SIGHUP)?;
    }
    load.at(end).await;
    let outcome = load.finish().await?;
    let all = count(settings.reloads);
    let taken = || async {
        let taken = served.reloads().await? - before;
        Ok((taken >= all).then_some(taken))
    };
    let taken = match eventually("the last reload", LAST, taken).await {
        Ok(taken) => taken,
        Err(_) => served.reloads().await? - before,
    };
    let is_around = |planned: Duration| {
        signals.iter().any(|signal| (signal.saturating_sub(BEFORE)..*signal + AFTER).contains(&planned))
    };
    let counted = || outcome.reads.iter().filter(|read| read.planned >= settings.warm_up);
    Ok(Reload {
        rules: RULES,
        reloads: (settings.reloads, taken),
        around: Latency::of(counted().filter(|read| is_around(read.planned))),
        else_: Latency::of(counted().filter(|read| !is_around(read.planned))),
        all: Tally::of(&outcome.reads),
        failures: outcome.failures,
    })
}
