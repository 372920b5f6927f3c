//! `cargo xtask bench`: how fast, how small. Real TLS with the front proxy's certificate, a real kube-apiserver for
//! reviews, a real Prometheus, and HPAs that read on their beat (`beat`, `load`). Memory and its live baseline come
//! from one run, so that their ratio means something.

mod beat;
mod connection;
mod counters;
mod echo;
mod goals;
mod hang;
mod latency;
mod load;
mod memory;
mod proc;
mod rate;
mod reload;
mod soak;
mod stage;
mod start;
mod tally;
mod world;

pub use echo::Echo;
pub use goals::Row;
pub use hang::Hang;
pub use latency::Latency;
pub use memory::Growth;
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

/// Reads of an open loop at once, each on a connection. More than can be under way: 67 reads a second that all wait for
/// their second.
const AT_ONCE: usize = 128;

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// From the process' start to the first correct answer.
    Start,
    /// Reads as fast as they can be had.
    ClosedLoop,
    /// Reads on a beat.
    Rates,
    /// The same beat sent to a bare echo: what the machine makes of it.
    Echo,
    /// Memory with more and more questions.
    Memory,
    /// New configurations under load.
    Reload,
    /// Prometheus hangs.
    Hang,
}

impl Part {
    /// All parts, in the order in which they are measured.
    pub const ALL: [Self; 7] =
        [Self::Start, Self::ClosedLoop, Self::Rates, Self::Echo, Self::Memory, Self::Reload, Self::Hang];

    /// Its word on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::ClosedLoop => "closed-loop",
            Self::Rates => "rates",
            Self::Echo => "echo",
            Self::Memory => "memory",
            Self::Reload => "reload",
            Self::Hang => "hang",
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
    /// HPAs at 67 and 333 reads a second.
    pub rounds: Vec<Round>,
    /// The same rates sent to a bare TLS echo.
    pub echoes: Vec<Echo>,
    /// Five connections that read as fast as they can.
    pub closed_loops: Vec<ClosedLoop>,
    /// One HPA for each question, with more and more questions.
    pub memory: Option<Growth>,
    /// Prometheus hangs.
    pub hang: Option<Hang>,
    /// New configurations under load.
    pub reload: Option<Reload>,
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

/// How long everything takes.
#[derive(Debug)]
struct Pace {
    /// Between two reads of an HPA.
    beat: Duration,
    /// Until the server knows the beat.
    warm_up: Duration,
    /// Beats that count.
    beats: u32,
    closed_loop: Duration,
    /// How many questions memory is measured with.
    questions: &'static [usize],
    /// How long Prometheus hangs, and how long a query may take then.
    hang: Duration,
    query_timeout: Duration,
    reloads: usize,
    starts: usize,
}

/// For figures.
const FULL: Pace = Pace {
    beat: Duration::from_secs(15),
    warm_up: Duration::from_secs(47),
    beats: 2,
    closed_loop: Duration::from_secs(10),
    questions: &[1, 100, 1_000, 10_000],
    hang: Duration::from_secs(40),
    query_timeout: stage::QUERY_TIMEOUT,
    reloads: 5,
    starts: 5,
};

/// To see that every part works.
const QUICK: Pace = Pace {
    beat: Duration::from_secs(2),
    warm_up: Duration::from_secs(2),
    beats: 1,
    closed_loop: Duration::from_secs(1),
    questions: &[1, 100, 1_000],
    // The readings must have become too old before queries can fail.
    hang: Duration::from_secs(14),
    query_timeout: Duration::from_secs(1),
    reloads: 1,
    starts: 1,
};

/// Measures `parts` with the programs of the running profile.
pub async fn run(quick: bool, parts: &[Part]) -> Result<Report> {
    let pace = if quick { &QUICK } else { &FULL };
    let stage = Stage::start().await?;
    let mut report = Report {
        machine: Machine::look()?,
        quick,
        start: None,
        rounds: Vec::new(),
        echoes: Vec::new(),
        closed_loops: Vec::new(),
        memory: None,
        hang: None,
        reload: None,
        stolen: Vec::new(),
        programs: programs()?,
    };
    for part in Part::ALL.into_iter().filter(|part| parts.contains(part)) {
        let (began, stolen) = (Instant::now(), proc::stolen_seconds()?);
        match part {
            Part::Start => report.start = Some(start::starts(&stage, pace).await?),
            Part::ClosedLoop => report.closed_loops = rate::closed_loops(&stage, pace).await?,
            Part::Rates => report.rounds = rate::rounds(&stage, pace).await?,
            Part::Echo => report.echoes = echo::echoes(&stage, pace).await?,
            Part::Memory => report.memory = Some(memory::growth(&stage, pace).await?),
            Part::Reload => report.reload = Some(reload::reload(&stage, pace).await?),
            Part::Hang => report.hang = Some(hang::hang(&stage, pace).await?),
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
    /// The reads of all parts.
    pub fn all(&self) -> Tally {
        let memory = self.memory.iter().flat_map(|growth| &growth.rounds);
        let rounds = self.rounds.iter().chain(memory).map(|round| round.all);
        let loops = self.closed_loops.iter().map(|measured| measured.all);
        let others = [
            self.start.as_ref().map(|starts| starts.all),
            self.hang.as_ref().map(|hang| hang.all),
            self.reload.as_ref().map(|reload| reload.all),
        ];
        rounds.chain(loops).chain(others.into_iter().flatten()).sum()
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
