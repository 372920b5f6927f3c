//! How much memory the server takes: idle, and with more and more queries, one HPA for each.

use super::{
    Settings,
    hpas::Hpas,
    proc::Memory,
    rate::{self, Round},
    stage::{self, Stage},
};
use anyhow::Result;
use serde::Serialize;

/// What was seen, all of one server.
#[derive(Debug, Clone, Serialize)]
pub struct Growth {
    /// Before the first read.
    pub idle: Memory,
    /// With one query, and more.
    pub rounds: Vec<Round>,
}

pub(super) async fn growth(stage: &Stage, settings: &Settings) -> Result<Growth> {
    let served = stage.serve("bench-memory", stage::ARGS).await?;
    let idle = Memory::of(served.subject.pid)?;
    let mut rounds = Vec::new();
    for &queries in settings.queries {
        let name = format!("queries: {queries}");
        let hpas = Hpas::one_each(settings.interval, queries);
        rounds.push(rate::round(stage, &served.subject, &name, hpas, settings).await?);
    }
    Ok(Growth { idle, rounds })
}
