//! An older build and this one under the same load, alternately in one run.

use super::{
    Row, Settings, goals,
    hpas::{Hpas, Layout},
    rate::{self, ClosedLoop, Round},
    say,
    stage::{self, Stage},
    world,
};
use anyhow::{Result, ensure};
use serde::Serialize;
use std::path::Path;

/// Reads a second.
const RATE: usize = 333;

/// Both builds.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The older build.
    pub before: Vec<Measured>,
    /// This one.
    pub after: Vec<Measured>,
}

/// One process of a build.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Five connections that read as fast as they can.
    pub closed_loop: ClosedLoop,
    /// A hundred queries at 333 reads a second.
    pub round: Round,
}

/// Measures `program`, another build of metrics-apiserver, and the sources' own, several times each.
pub async fn compare(program: &Path, is_quick: bool) -> Result<Comparison> {
    ensure!(program.is_file(), "{} is no file", program.display());
    let (program, settings) = (std::path::absolute(program)?, Settings::of(is_quick));
    let mut stage = Stage::start().await?;
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for index in 1..=settings.alternations {
        say(&format!("alternation {index} of {}", settings.alternations));
        // In both orders, so that a machine that slows down does not favour one of them.
        for is_before in if index % 2 == 1 { [true, false] } else { [false, true] } {
            stage.program = is_before.then(|| program.clone());
            let (name, results) = if is_before { ("before", &mut before) } else { ("after", &mut after) };
            results.push(measure(&stage, &format!("bench-{name}-{index}"), settings).await?);
        }
    }
    stage.cluster.shutdown().await?;
    Ok(Comparison { before, after })
}

async fn measure(stage: &Stage, name: &str, settings: &Settings) -> Result<Measured> {
    let served = stage.serve(name, stage::ARGS).await?;
    let closed_loop = rate::closed_loop(&served.subject, name, settings).await?;
    let hpas = Hpas::at_rate(RATE, settings.interval, world::RULES, Layout::Together);
    let round = rate::round(stage, &served.subject, name, hpas, settings).await?;
    Ok(Measured { closed_loop, round })
}

impl Comparison {
    /// For the table. The goals are what a change of the whole structure may cost.
    pub fn rows(&self) -> Vec<Row> {
        let ratio = |what: &str, unit: &str, value: fn(&Measured) -> f64| {
            let (before, after) = (median(&self.before, value), median(&self.after, value));
            let text = format!("{} {unit} before, {} after", goals::short(before), goals::short(after));
            (what.to_owned(), text, 100.0 * after / before.max(1e-6))
        };
        let at_most = |(what, text, percent): (String, String, f64), goal: f64| {
            Row::met(&what, format!("{text}: {percent:.0} %"), &format!("≤ {goal} %"), percent <= goal)
        };
        let (what, text, percent) =
            ratio("closed loop, 5 connections", "reads/s", |one| one.closed_loop.reads_per_second);
        let latency = |what, value| at_most(ratio(what, "ms", value), 110.0);
        let (p50, p50_text, p50_percent) = ratio("333/s: read p50", "ms", |one| one.round.latency.p50_ms);
        let failed = |all: &[Measured]| all.iter().map(|one| one.round.latency.failed).sum::<usize>();
        let wrong = |all: &[Measured]| all.iter().map(|one| one.round.all.wrong).sum::<usize>();
        vec![
            Row::met(&what, format!("{text}: {percent:.0} %"), "≥ 95 %", percent >= 95.0),
            Row::seen(&p50, format!("{p50_text}: {p50_percent:.0} %")),
            latency("333/s: read p99", |one| one.round.latency.p99_ms),
            at_most(ratio("333/s: processor time in 20 s", "s", |one| one.round.cpu_seconds_per_20s), 100.0),
            at_most(ratio("333/s: resident memory", "MB", |one| one.round.memory.resident_mb), 100.0),
            Row::seen(
                "333/s, before: queries per query and interval",
                goals::short(median(&self.before, |one| one.round.queries_per_interval)),
            ),
            Row::at_most(
                "333/s, after: queries per query and interval",
                "",
                median(&self.after, |one| one.round.queries_per_interval),
                1.05,
            ),
            Row::seen(
                "333/s: failed reads, wrong numbers before",
                format!("{}, {}", failed(&self.before), wrong(&self.before)),
            ),
            Row::met(
                "333/s: failed reads, wrong numbers after",
                format!("{}, {}", failed(&self.after), wrong(&self.after)),
                "none",
                failed(&self.after) + wrong(&self.after) == 0,
            ),
        ]
    }
}

fn median(all: &[Measured], value: fn(&Measured) -> f64) -> f64 {
    let mut values: Vec<f64> = all.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
