//! The longest read while Prometheus hangs: it takes queries and answers none.

use super::{
    AT_ONCE, Pace,
    beat::{Beat, Layout, Schedule},
    counters,
    latency::Latency,
    load::{OpenLoop, Read, Verdict},
    say,
    stage::{Served, Stage},
    tally::Tally,
    world::{self, Configuration, Source},
};
use anyhow::Result;
use nix::sys::signal::Signal;
use serde::Serialize;
use std::time::Duration;

/// Reads a second: few enough that none waits for a connection when all of them wait for their second.
const RATE: usize = 67;
/// Between two looks at the breaker.
const LOOK: Duration = Duration::from_millis(50);

/// What the reads saw.
#[derive(Debug, Clone, Serialize)]
pub struct Hang {
    /// Reads planned before Prometheus hung.
    pub before: Latency,
    /// Reads planned while it hung and the server still asked it.
    pub breaker_closed: Latency,
    /// Reads planned while it hung and the breaker was open.
    pub breaker_open: Option<Latency>,
    /// How long it hung until the breaker opened.
    pub opened_after_seconds: Option<f64>,
    /// How long it went on until the breaker closed.
    pub closed_after_seconds: Option<f64>,
    /// Reads planned from when it went on to the end.
    pub recovering: Latency,
    /// How long it went on until a read got the right number.
    pub right_after_seconds: Option<f64>,
    /// Reads planned in the last beat, when all should be as before.
    pub after: Latency,
    /// All reads, the warm-up's too.
    pub all: Tally,
    /// Some of the failures' messages.
    pub complaints: Vec<String>,
}

pub(super) async fn hang(stage: &Stage, pace: &Pace) -> Result<Hang> {
    let configuration = Configuration { timeout: pace.query_timeout, ..stage.configuration() };
    let served = stage.start_server(stage.plan("bench-hang", &configuration, &[])?).await?;
    say("Prometheus hangs");
    let beat = Beat::at_rate(RATE, pace.beat, world::RULES, Layout::Together);
    let stopped = pace.warm_up;
    let end = stopped + pace.hang + pace.beat * 3;
    let asks = world::asks(Source::Memory, world::RULES);
    let load = OpenLoop::start(&served.target, &asks, Schedule::new(beat), end, AT_ONCE);
    load.at(stopped).await;
    stage.prometheus.signal(Signal::SIGSTOP).await?;
    let opened = until(&load, &served, true, stopped + pace.hang).await;
    load.at(stopped + pace.hang).await;
    stage.prometheus.signal(Signal::SIGCONT).await?;
    let closed = match opened {
        Ok(Some(_)) => until(&load, &served, false, end).await?,
        _ => None,
    };
    let opened = opened?;
    load.at(end).await;
    let outcome = load.finish().await?;
    let within = |from: Duration, to: Duration| {
        Latency::of(outcome.reads.iter().filter(move |read| (from..to).contains(&read.planned)))
    };
    let resumed = stopped + pace.hang;
    Ok(Hang {
        before: within(stopped.saturating_sub(pace.beat), stopped),
        breaker_closed: within(stopped, opened.unwrap_or(resumed)),
        breaker_open: opened.map(|opened| within(opened, resumed)),
        opened_after_seconds: opened.map(|opened| opened.saturating_sub(stopped).as_secs_f64()),
        closed_after_seconds: closed.map(|closed| closed.saturating_sub(resumed).as_secs_f64()),
        recovering: within(resumed, end),
        right_after_seconds: first_right(&outcome.reads, resumed).map(|after| after.as_secs_f64()),
        after: within(end.saturating_sub(pace.beat), end),
        all: Tally::of(&outcome.reads),
        complaints: outcome.complaints,
    })
}

/// How long after `from` the first right answer came. While Prometheus hangs there is none: memory is too old by then.
fn first_right(reads: &[Read], from: Duration) -> Option<Duration> {
    let right = reads.iter().filter(|read| read.verdict == Verdict::Right);
    right.filter_map(|read| (read.planned + read.took).checked_sub(from)).min()
}

/// When the breaker is first seen to be open, or closed; `None` if it is not by `limit`.
async fn until(load: &OpenLoop, served: &Served, open: bool, limit: Duration) -> Result<Option<Duration>> {
    while load.now() < limit {
        let metrics = served.metrics().await?;
        let state = counters::sum(&metrics, "metrics_apiserver_backend_breaker_open", &[]);
        if state.is_some_and(|state| (state > 0.0) == open) {
            return Ok(Some(load.now()));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_right_answer_is_the_one_that_comes_first_not_the_one_planned_first() {
        let read = |planned, took, verdict| Read {
            planned: Duration::from_secs(planned),
            late: Duration::ZERO,
            took: Duration::from_secs(took),
            verdict,
        };
        let reads = [
            read(1, 1, Verdict::Right),
            read(9, 1, Verdict::Failed),
            read(10, 5, Verdict::Right),
            read(11, 2, Verdict::Right),
            read(11, 1, Verdict::Wrong),
        ];
        assert_eq!(first_right(&reads, Duration::from_secs(10)), Some(Duration::from_secs(3)));
        assert_eq!(first_right(&reads, Duration::from_secs(20)), None);
    }
}
