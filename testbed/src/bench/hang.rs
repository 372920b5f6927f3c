//! The longest read while Prometheus hangs: it takes queries and answers none.

use super::{
    AT_ONCE, Settings, counters,
    hpas::{Hpas, Layout, Schedule},
    latency::Latency,
    load::{OpenLoop, Read, Verdict},
    say,
    stage::{self, Served, Stage},
    tally::Tally,
    world::{self, Configuration, Source},
};
use anyhow::Result;
use nix::sys::signal::Signal;
use serde::Serialize;
use std::time::Duration;

/// Reads a second: few enough that none waits for a connection when each of them takes a second.
const RATE: usize = 67;
/// Between two polls of the breaker's state.
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
    /// Reads planned in the last interval, when all should be as before.
    pub after: Latency,
    /// All reads, the warm-up's too.
    pub all: Tally,
    /// Messages of some failed reads.
    pub failures: Vec<String>,
}

pub(super) async fn hang(stage: &Stage, settings: &Settings) -> Result<Hang> {
    let configuration = Configuration { timeout: settings.query_timeout, ..stage.configuration() };
    let served = stage.start_server(stage.plan("bench-hang", &configuration, stage::ARGS)?).await?;
    say("Prometheus hangs");
    let hpas = Hpas::at_rate(RATE, settings.interval, world::RULES, Layout::Together);
    let stopped = settings.warm_up;
    let end = stopped + settings.hang + settings.interval * 3;
    let requests = world::requests(Source::Cache, world::RULES);
    let load = OpenLoop::start(&served.subject.target, &requests, Schedule::new(hpas), end, AT_ONCE);
    load.at(stopped).await;
    stage.prometheus.signal(Signal::SIGSTOP).await?;
    let opened = until(&load, &served, true, stopped + settings.hang).await;
    load.at(stopped + settings.hang).await;
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
    let resumed = stopped + settings.hang;
    Ok(Hang {
        before: within(stopped.saturating_sub(settings.interval), stopped),
        breaker_closed: within(stopped, opened.unwrap_or(resumed)),
        breaker_open: opened.map(|opened| within(opened, resumed)),
        opened_after_seconds: opened.map(|opened| opened.saturating_sub(stopped).as_secs_f64()),
        closed_after_seconds: closed.map(|closed| closed.saturating_sub(resumed).as_secs_f64()),
        recovering: within(resumed, end),
        right_after_seconds: first_right(&outcome.reads, resumed).map(|after| after.as_secs_f64()),
        after: within(end.saturating_sub(settings.interval), end),
        all: Tally::of(&outcome.reads),
        failures: outcome.failures,
    })
}

/// How long after `from` the first right answer came. Before that there is none: the readings are too old by then.
fn first_right(reads: &[Read], from: Duration) -> Option<Duration> {
    let right = reads.iter().filter(|read| read.verdict == Verdict::Right);
    right.filter_map(|read| (read.planned + read.took).checked_sub(from)).min()
}

/// When the breaker is first seen to be open, or closed; `None` if it is not by `limit`.
async fn until(load: &OpenLoop, served: &Served, open: bool, limit: Duration) -> Result<Option<Duration>> {
    while load.now() < limit {
        let metrics = served.subject.metrics().await?;
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
