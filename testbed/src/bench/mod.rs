//! `cargo xtask bench`: how fast, how small, beside prometheus-adapter and a bare echo in the same run. Real TLS with
//! the front proxy's certificate, a real kube-apiserver for reviews, a real Prometheus, and HPAs that read at the
//! intervals of a real controller (`hpas`, `load`).

mod adapter;
mod before;
mod connection;
mod counters;
mod drop_in;
mod echo;
mod floods;
mod goals;
mod hang;
mod hpas;
mod latency;
mod load;
mod memory;
mod peer;
mod proc;
mod rate;
mod reload;
mod soak;
mod stage;
mod start;
mod tally;
mod world;

pub use before::{Comparison, compare};
pub use drop_in::DropIn;
pub use echo::Echo;
pub use floods::Floods;
pub use goals::Row;
pub use hang::Hang;
pub use latency::Latency;
pub use memory::Growth;
pub use peer::{Measured, Peer};
pub use proc::{Machine, Memory};
pub use rate::{ClosedLoop, Round};
pub use reload::Reload;
pub use soak::{Soak, soak};
pub use start::Starts;
pub use tally::Tally;

use crate::workspace;
use anyhow::{Context, Result};
use serde::Serialize;
use stage::Stage;
use std::{
    fs,
    io::Write as _,
    time::{Duration, Instant},
};

/// Reads of an open loop at once, each on a connection: more than 67 reads a second need that take a second each.
const AT_ONCE: usize = 128;

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// From the process' start to the first right answer.
    Start,
    /// Ours, prometheus-adapter and a bare echo under the same load.
    Peer,
    /// Variants of the load.
    Rates,
    /// Memory with more and more queries.
    Memory,
    /// New configurations under load.
    Reload,
    /// Prometheus hangs.
    Hang,
    /// Ours in place of prometheus-adapter, on a large cluster.
    DropIn,
    /// Everything that clients can do to others, at once.
    Floods,
}

impl Part {
    /// All parts, in the order in which they are measured.
    pub const ALL: [Self; 8] = [
        Self::Start,
        Self::Peer,
        Self::Rates,
        Self::Memory,
        Self::Reload,
        Self::Hang,
        Self::DropIn,
        Self::Floods,
    ];

    /// Its word on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Peer => "peer",
            Self::Rates => "rates",
            Self::Memory => "memory",
            Self::Reload => "reload",
            Self::Hang => "hang",
            Self::DropIn => "drop-in",
            Self::Floods => "floods",
        }
    }
}

/// What was measured; parts that were not asked for are empty.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// Whether it was only to see that all of it works.
    pub quick: bool,
    /// Some starts.
    pub start: Option<Starts>,
    /// Ours beside prometheus-adapter and a bare echo.
    pub peer: Option<Peer>,
    /// Variants of the load.
    pub rounds: Vec<Round>,
    /// One HPA for each query, with more and more queries.
    pub memory: Option<Growth>,
    /// Prometheus hangs.
    pub hang: Option<Hang>,
    /// New configurations under load.
    pub reload: Option<Reload>,
    /// Ours in place of prometheus-adapter.
    pub drop_in: Option<DropIn>,
    /// Everything that clients can do to others, at once.
    pub floods: Option<Floods>,
    /// What the machine lacked in each part.
    pub stolen: Vec<Stolen>,
    /// Sizes of our programs.
    pub programs: Vec<Program>,
}

/// Processor time that the hypervisor gave to others while a part was measured: how still the machine was. A read that
/// falls into it waits, whatever the server does.
#[derive(Debug, Serialize)]
pub struct Stolen {
    /// The part's word on the command line.
    pub part: &'static str,
    /// Seconds, of all cores together.
    pub stolen_seconds: f64,
    /// How long the part took.
    pub of_seconds: f64,
}

/// One of our programs.
#[derive(Debug, Serialize)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// Cargo's folder for the profile.
    pub profile: String,
    /// Its size in megabytes.
    pub mb: f64,
}

/// How long and how often everything is measured.
#[derive(Debug, Clone, Copy)]
struct Settings {
    /// Between two reads of an HPA.
    interval: Duration,
    /// Until the server knows the interval.
    warm_up: Duration,
    /// Intervals that count.
    intervals: u32,
    closed_loop: Duration,
    /// How many queries memory is measured with.
    queries: &'static [usize],
    /// How long Prometheus hangs, and how long a query may take then.
    hang: Duration,
    query_timeout: Duration,
    /// How long a read of prometheus-adapter may take while Prometheus hangs.
    hang_timeout: Duration,
    reloads: usize,
    starts: usize,
    /// How often an older build and this one are measured.
    alternations: usize,
    drop_in: drop_in::Scale,
    floods: floods::Scale,
}

/// For figures.
const FULL: Settings = Settings {
    interval: Duration::from_secs(15),
    warm_up: Duration::from_secs(47),
    intervals: 2,
    closed_loop: Duration::from_secs(10),
    queries: &[1, 100, 1_000, 10_000],
    hang: Duration::from_secs(40),
    query_timeout: stage::QUERY_TIMEOUT,
    // Longer than the minute that a Kubernetes API server gives a request.
    hang_timeout: Duration::from_secs(65),
    reloads: 5,
    starts: 5,
    alternations: 3,
    drop_in: drop_in::FULL,
    floods: floods::FULL,
};

/// To see that every part works.
const QUICK: Settings = Settings {
    interval: Duration::from_secs(2),
    warm_up: Duration::from_secs(2),
    intervals: 1,
    closed_loop: Duration::from_secs(1),
    queries: &[1, 100, 1_000],
    // The readings must have become too old before queries can fail.
    hang: Duration::from_secs(14),
    query_timeout: Duration::from_secs(1),
    hang_timeout: Duration::from_secs(3),
    reloads: 1,
    starts: 1,
    alternations: 1,
    drop_in: drop_in::QUICK,
    floods: floods::QUICK,
};

impl Settings {
    fn of(is_quick: bool) -> &'static Self {
        if is_quick { &QUICK } else { &FULL }
    }
}

/// Measures `parts` with the programs of the running profile.
pub async fn run(is_quick: bool, parts: &[Part]) -> Result<Report> {
    let settings = Settings::of(is_quick);
    let stage = Stage::start().await?;
    let mut report = Report {
        machine: Machine::look()?,
        quick: is_quick,
        start: None,
        peer: None,
        rounds: Vec::new(),
        memory: None,
        hang: None,
        reload: None,
        drop_in: None,
        floods: None,
        stolen: Vec::new(),
        programs: programs()?,
    };
    for part in Part::ALL.into_iter().filter(|part| parts.contains(part)) {
        let (began, stolen) = (Instant::now(), proc::stolen_seconds()?);
        match part {
            Part::Start => report.start = Some(start::starts(&stage, settings).await?),
            Part::Peer => report.peer = Some(peer::peer(&stage, settings).await?),
            Part::Rates => report.rounds = rate::rounds(&stage, settings).await?,
            Part::Memory => report.memory = Some(memory::growth(&stage, settings).await?),
            Part::Reload => report.reload = Some(reload::reload(&stage, settings).await?),
            Part::Hang => report.hang = Some(hang::hang(&stage, settings).await?),
            Part::DropIn => report.drop_in = Some(drop_in::drop_in(&stage, settings).await?),
            Part::Floods => report.floods = Some(floods::floods(&stage, settings).await?),
        }
        report.stolen.push(Stolen {
            part: part.name(),
            stolen_seconds: proc::stolen_seconds()? - stolen,
            of_seconds: began.elapsed().as_secs_f64(),
        });
    }
    stage.cluster.shutdown().await?;
    Ok(report)
}

impl Report {
    /// The reads of all parts from our server.
    pub fn all(&self) -> Tally {
        let memory = self.memory.iter().flat_map(|growth| &growth.rounds);
        let rounds = self.rounds.iter().chain(memory).map(|round| round.all);
        let others = [
            self.start.as_ref().map(|starts| starts.all),
            self.peer.as_ref().map(Peer::ours),
            self.hang.as_ref().map(|hang| hang.all),
            self.reload.as_ref().map(|reload| reload.all),
            self.drop_in.as_ref().map(|drop_in| drop_in.ours.all),
            self.floods.as_ref().map(|floods| floods.all),
        ];
        rounds.chain(others.into_iter().flatten()).sum()
    }
}

/// The programs of the running profile.
fn programs() -> Result<Vec<Program>> {
    let dir = workspace::profile_dir()?;
    let profile = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let program = |name| {
        let file = fs::metadata(dir.join(name)).with_context(|| format!("looking at the size of {name}"))?;
        Ok(Program { name, profile: profile.clone(), mb: megabytes(file.len()) })
    };
    ["metrics-apiserver", "inference-svc"].map(program).into_iter().collect()
}

/// How far it is; standard output is for the table.
fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "── {what}");
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn count(reads: usize) -> f64 {
    reads as f64
}

#[expect(clippy::cast_precision_loss, reason = "sizes of programs stay far below 2^52")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
