//! Rounds of an open loop: so many HPAs on so many questions, for some beats.

use super::{
    AT_ONCE, Pace,
    beat::{Beat, Layout, Schedule},
    count,
    latency::Latency,
    load::{self, OpenLoop},
    proc::Memory,
    say,
    stage::{Served, Stage},
    tally::Tally,
    world::{self, Configuration, Source},
};
use anyhow::Result;
use serde::Serialize;
use std::time::Duration;

/// As prometheus-adapter was measured.
const CLOSED_LOOP_CONNECTIONS: usize = 5;
/// So many budgets of 1,000 queries a second each are more than five connections can spend.
pub(super) const LIVE_BACKENDS: usize = 10;
/// The time to which processor time is scaled, as prometheus-adapter's was measured.
const CPU_TIME: f64 = 20.0;

/// One round.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    /// What it was about.
    pub name: String,
    /// Simulated HPAs.
    pub hpas: usize,
    /// Questions they ask.
    pub questions: usize,
    /// Reads a second.
    pub reads_per_second: f64,
    /// How long the reads took.
    pub latency: Latency,
    /// All reads, the warm-up's too.
    pub all: Tally,
    /// The server's processor time for 20 s of it.
    pub cpu_seconds_per_20s: f64,
    /// Queries that Prometheus answered, for each question and beat.
    pub queries_per_question_and_beat: f64,
    /// The part of the reads that found a reading in memory.
    pub from_memory: Option<f64>,
    /// The server's memory at its end.
    pub memory: Memory,
    /// Some of the failures' messages.
    pub complaints: Vec<String>,
}

/// A closed loop.
#[derive(Debug, Clone, Serialize)]
pub struct ClosedLoop {
    /// Where the answers came from.
    pub source: &'static str,
    /// Reads a second.
    pub reads_per_second: f64,
    /// Reads for each second of the server's processor time.
    pub reads_per_core: f64,
    /// The server's processor time for a thousand of them.
    pub cpu_ms_per_1000_reads: f64,
    /// How long the reads took.
    pub latency: Latency,
    /// All reads, the warm-up's too.
    pub all: Tally,
    /// Some of the failures' messages.
    pub complaints: Vec<String>,
}

/// The rounds at 67 and 333 reads a second over a hundred questions.
pub(super) async fn rounds(stage: &Stage, pace: &Pace) -> Result<Vec<Round>> {
    let served = stage.serve("bench-rates", &[]).await?;
    let beat = |rate, layout| Beat::at_rate(rate, pace.beat, world::RULES, layout);
    let mut rounds = Vec::new();
    for (name, source, beat) in [
        ("67/s", Source::Memory, beat(67, Layout::Together)),
        ("333/s", Source::Memory, beat(333, Layout::Together)),
        ("333/s, HPAs apart", Source::Memory, beat(333, Layout::Apart)),
        ("67/s live", Source::Live, beat(67, Layout::Together)),
        ("333/s live", Source::Live, beat(333, Layout::Together)),
    ] {
        rounds.push(round(stage, &served, name, source, beat, pace).await?);
    }
    drop(served);
    // How much of it are the reviews that kube-apiserver is asked for.
    let args = ["--authorization-webhook-cache-authorized-ttl=5m"];
    let served = stage.serve("bench-rates-reviewed", &args).await?;
    let name = "333/s, rights remembered 5 min";
    rounds.push(round(stage, &served, name, Source::Memory, beat(333, Layout::Together), pace).await?);
    Ok(rounds)
}

/// One round: until the beat is known, and then for some beats that count.
pub(super) async fn round(
    stage: &Stage,
    served: &Served,
    name: &str,
    source: Source,
    beat: Beat,
    pace: &Pace,
) -> Result<Round> {
    say(&format!("{name}: {} HPAs on {} questions", beat.hpas, beat.questions));
    // For live reads too: nothing of them is remembered, but the beat of their reviews is learned as well.
    let warm_up = pace.warm_up;
    let time = beat.mean() * pace.beats;
    let asks = world::asks(source, beat.questions);
    let load = OpenLoop::start(&served.target, &asks, Schedule::new(beat), warm_up + time, AT_ONCE);
    load.at(warm_up).await;
    let before = stage.counts(served).await?;
    load.at(warm_up + time).await;
    let after = stage.counts(served).await?;
    let memory = Memory::of(served.pid)?;
    let outcome = load.finish().await?;
    let counted = outcome.reads.iter().filter(|read| read.planned >= warm_up);
    let latency = Latency::of(counted);
    let queries = after.queries - before.queries;
    let from_memory = before
        .lookups
        .zip(after.lookups)
        .map(|((hits, all), (hits_after, all_after))| (hits_after - hits) / (all_after - all).max(1.0));
    let seconds = time.as_secs_f64();
    Ok(Round {
        name: name.to_owned(),
        hpas: beat.hpas,
        questions: beat.questions,
        reads_per_second: count(latency.reads) / seconds,
        latency,
        all: Tally::of(&outcome.reads),
        cpu_seconds_per_20s: (after.cpu_seconds - before.cpu_seconds) * CPU_TIME / seconds,
        queries_per_question_and_beat: queries / count(beat.questions) / f64::from(pace.beats),
        from_memory,
        memory,
        complaints: outcome.complaints,
    })
}

/// The closed loops, from memory and live.
pub(super) async fn closed_loops(stage: &Stage, pace: &Pace) -> Result<Vec<ClosedLoop>> {
    // With one backend its budget would be measured, whatever the server could do.
    let configuration = Configuration { live_backends: LIVE_BACKENDS, ..stage.configuration() };
    let served = stage.start_server(stage.plan("bench-closed-loop", &configuration, &[])?).await?;
    let mut loops = Vec::new();
    for source in [Source::Memory, Source::Live] {
        say(&format!("closed loop, {}", source.name()));
        let asks = world::asks(source, world::RULES);
        let warm_up = Duration::from_secs(1);
        let warmed = load::closed_loop(&served.target, &asks, CLOSED_LOOP_CONNECTIONS, warm_up).await?;
        let before = stage.counts(&served).await?.cpu_seconds;
        let outcome =
            load::closed_loop(&served.target, &asks, CLOSED_LOOP_CONNECTIONS, pace.closed_loop).await?;
        let cpu = stage.counts(&served).await?.cpu_seconds - before;
        let latency = Latency::of(&outcome.reads);
        loops.push(ClosedLoop {
            source: source.name(),
            reads_per_second: count(latency.reads) / pace.closed_loop.as_secs_f64(),
            reads_per_core: count(latency.reads) / cpu.max(0.01),
            cpu_ms_per_1000_reads: cpu * 1e6 / count(latency.reads.max(1)),
            latency,
            all: Tally::of(warmed.reads.iter().chain(&outcome.reads)),
            complaints: outcome.complaints,
        });
    }
    Ok(loops)
}
