//! How much memory the server takes: idle, and with more and more questions on a beat, one HPA for each.

use super::{
    Pace,
    beat::Beat,
    proc::Memory,
    rate::{self, Round},
    stage::Stage,
    world::Source,
};
use anyhow::Result;
use serde::Serialize;

/// What was seen, all of one server.
#[derive(Debug, Clone, Serialize)]
pub struct Growth {
    /// Before the first read.
    pub idle: Memory,
    /// With one question, and more.
    pub rounds: Vec<Round>,
}

pub(super) async fn growth(stage: &Stage, pace: &Pace) -> Result<Growth> {
    let served = stage.serve("bench-memory", &[]).await?;
    let idle = Memory::of(served.pid)?;
    let mut rounds = Vec::new();
    for questions in pace.questions {
        let name = format!("questions: {questions}");
        let beat = Beat::one_each(pace.beat, *questions);
        rounds.push(rate::round(stage, &served, &name, Source::Memory, beat, pace).await?);
    }
    Ok(Growth { idle, rounds })
}
