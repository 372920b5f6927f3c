//! What each round does.

use super::{
    round::{Kind, Round},
    stage::Stage,
    watch::Record,
    workload::WORKLOADS,
};
use crate::{Fault, eventually};
use anyhow::Result;
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How much longer a fault lasts when the HPAs have not reported its cause yet: their interval and the read deadline
/// take two seconds.
const UNSAID: Duration = Duration::from_secs(15);

/// Does what the round is about, and undoes it: at the end nothing is away any more.
pub(super) async fn act(stage: &mut Stage, round: &Round, length: Duration) -> Result<()> {
    match round.kind {
        Kind::Stopped => {
            stage.prometheus.stop().await?;
            dwell(stage, round, length).await;
            stage.prometheus.start_again().await
        }
        Kind::Hung => {
            stage.prometheus.signal(Signal::SIGSTOP).await?;
            dwell(stage, round, length).await;
            stage.prometheus.signal(Signal::SIGCONT).await
        }
        Kind::Injected(fault) => {
            stage.proxy.set(fault);
            dwell(stage, round, length).await;
            stage.proxy.set(Fault::None);
            Ok(())
        }
        Kind::Restarted => {
            stage.prometheus.stop().await?;
            dwell(stage, round, length / 2).await;
            stage.prometheus.start_again().await
        }
        Kind::Killed => kill(stage, round, length).await,
        Kind::Rolled => roll(stage, length).await,
        Kind::BrokenConfig => {
            stage.break_config().await?;
            sleep(length).await;
            stage.mend_config()
        }
        Kind::Rotated => stage.rotate(length / 4).await,
    }
}

async fn kill(stage: &mut Stage, round: &Round, length: Duration) -> Result<()> {
    let servers = stage.servers();
    stage.kill_servers()?;
    dwell(stage, round, length / 2).await;
    for _ in 0..servers {
        stage.add_server().await?;
    }
    Ok(())
}

/// As a Deployment rolls with `maxSurge: 1` and `maxUnavailable: 0`.
async fn roll(stage: &mut Stage, length: Duration) -> Result<()> {
    while stage.servers() < 2 {
        stage.add_server().await?;
    }
    sleep(length / 3).await;
    for _ in 0..stage.servers() {
        stage.add_server().await?;
        stage.end_oldest().await?;
    }
    sleep(length / 3).await;
    Ok(())
}

/// Lets the fault last, and a little longer if an HPA that sees it at once has not said why it stands still.
async fn dwell(stage: &Stage, round: &Round, length: Duration) {
    let begun = Instant::now();
    sleep(length).await;
    let cause = round.cause.unwrap_or_default();
    let said = |record: &Record| {
        WORKLOADS.iter().filter(|workload| workload.sees_at_once).all(|workload| {
            let causes = record.hpas.get(workload.name).map(|hpa| hpa.causes(begun, Instant::now()));
            let mut causes = causes.into_iter().flatten();
            workload.says(cause).is_none_or(|cause| causes.any(|it| it.contains(cause)))
        })
    };
    // If it never says so, the verdict will.
    let _ = eventually("the cause", UNSAID, async || Ok(said(&stage.watch.record()).then_some(()))).await;
}
