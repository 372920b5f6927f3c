//! prometheus-adapter and metrics-apiserver under the same load in one run, beside a bare echo: the ratios that count.

use super::{
    Settings, adapter,
    echo::{self, Echo},
    hpas::{Hpas, Layout},
    latency::Latency,
    load, millis,
    rate::{self, ClosedLoop, Round},
    say,
    stage::{self, Stage, Subject},
    tally::Tally,
    world::{self, Source},
};
use anyhow::Result;
use nix::sys::signal::Signal;
use serde::Serialize;
use std::{sync::Arc, time::Duration};

/// Reads a second.
pub(super) const RATES: [usize; 2] = [67, 333];
/// How long reads are sent while Prometheus hangs.
const HANG: Duration = Duration::from_secs(1);

/// Both servers.
#[derive(Debug, Clone, Serialize)]
pub struct Peer {
    /// metrics-apiserver, with the flags of `manifests/`.
    pub ours: Measured,
    /// prometheus-adapter.
    pub adapter: Measured,
    /// The same rates sent to a bare TLS echo, each right before the round of ours.
    pub echoes: Vec<Echo>,
    /// From the adapter's start until its first right answer.
    pub adapter_first_answer_ms: f64,
}

/// What one server did.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Five connections that read as fast as they can.
    pub closed_loop: ClosedLoop,
    /// A hundred metrics, read by HPAs at 67 and 333 reads a second.
    pub rounds: Vec<Round>,
    /// Reads that need Prometheus while it hangs.
    pub hang: Latency,
}

pub(super) async fn peer(stage: &Stage, settings: &Settings) -> Result<Peer> {
    let served = stage.serve("bench-peer", stage::ARGS).await?;
    let closed_loop = rate::closed_loop(&served.subject, "ours", settings).await?;
    let (mut echoes, mut rounds) = (Vec::new(), Vec::new());
    for rate in RATES {
        echoes.push(echo::echo(stage, rate, settings).await?);
        let name = format!("{rate}/s");
        rounds.push(rate::round(stage, &served.subject, &name, hpas(rate, settings), settings).await?);
    }
    let hang = worst_case(stage, &served.subject, Source::Live, settings).await?;
    let ours = Measured { closed_loop, rounds, hang };
    drop(served);

    let adapter = adapter::start(stage).await?;
    let closed_loop = rate::closed_loop(&adapter.subject, "prometheus-adapter", settings).await?;
    let mut rounds = Vec::new();
    // It caches nothing and learns nothing: a first interval opens the connections.
    let settings = &Settings { warm_up: settings.interval, ..*settings };
    for rate in RATES {
        let name = format!("{rate}/s, prometheus-adapter");
        rounds.push(rate::round(stage, &adapter.subject, &name, hpas(rate, settings), settings).await?);
    }
    let hang = worst_case(stage, &adapter.subject, Source::Cache, settings).await?;
    let theirs = Measured { closed_loop, rounds, hang };
    Ok(Peer { ours, adapter: theirs, echoes, adapter_first_answer_ms: millis(adapter.first_answer) })
}

impl Peer {
    /// The reads from ours.
    pub(super) fn ours(&self) -> Tally {
        let rounds = self.ours.rounds.iter().map(|round| round.all);
        rounds.chain([self.ours.closed_loop.all]).sum()
    }
}

fn hpas(rate: usize, settings: &Settings) -> Hpas {
    Hpas::at_rate(rate, settings.interval, world::RULES, Layout::Together)
}

/// The worst read while Prometheus hangs. Each of five connections sends one read after the other, of the adapter's
/// metrics or of ours that are never answered from the cache.
async fn worst_case(
    stage: &Stage,
    subject: &Subject,
    source: Source,
    settings: &Settings,
) -> Result<Latency> {
    say("Prometheus hangs");
    let target = Arc::new(subject.target.with_timeout(settings.hang_timeout));
    let requests = world::requests(source, world::RULES);
    stage.prometheus.signal(Signal::SIGSTOP).await?;
    let outcome = load::closed_loop(&target, &requests, rate::CONNECTIONS, HANG).await;
    stage.prometheus.signal(Signal::SIGCONT).await?;
    Ok(Latency::of(&outcome?.reads))
}
