//! From the process' start until a read has its first right answer.

use super::{
    Settings,
    connection::{Connection, Target},
    load::Verdict,
    millis, say,
    stage::{self, Stage},
    tally::Tally,
    world::{self, Source},
};
use anyhow::{Result, bail};
use serde::Serialize;
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Between two tries, which are refused until the server listens.
const PAUSE: Duration = Duration::from_millis(1);
/// As long as the server may take to be ready.
const LIMIT: Duration = Duration::from_secs(30);

/// Some starts.
#[derive(Debug, Clone, Serialize)]
pub struct Starts {
    /// How long each took from the process' start until a read had its first right answer; the quickest first.
    pub first_answers_ms: Vec<f64>,
    /// All reads that were answered with a number.
    pub all: Tally,
}

pub(super) async fn starts(stage: &Stage, settings: &Settings) -> Result<Starts> {
    let (mut first_answers_ms, mut all) = (Vec::new(), Vec::new());
    for start in 0..settings.starts {
        say(&format!("start {}", start + 1));
        let planned = stage.plan(&format!("bench-start-{start}"), &stage.configuration(), stage::ARGS)?;
        let (target, started) = (Arc::clone(&planned.target), Instant::now());
        let answer = tokio::task::spawn_blocking(move || until_answered(&target, started));
        let served = stage.start_server(planned).await;
        let (took, reads) = answer.await??;
        first_answers_ms.push(millis(took));
        all.push(reads);
        drop(served?);
    }
    first_answers_ms.sort_by(f64::total_cmp);
    Ok(Starts { first_answers_ms, all: all.into_iter().sum() })
}

pub(super) fn until_answered(target: &Arc<Target>, started: Instant) -> Result<(Duration, Tally)> {
    let mut connection = Connection::new(target);
    let request = world::request(Source::Cache, 0);
    let mut wrong = 0;
    loop {
        let (verdict, failure) = request.send(&mut connection);
        match verdict {
            Verdict::Right => return Ok((started.elapsed(), Tally { reads: wrong + 1, wrong })),
            Verdict::Wrong => wrong += 1,
            Verdict::Failed => {}
        }
        let failure = failure.unwrap_or_default();
        if started.elapsed() > LIMIT {
            bail!("no right answer after {LIMIT:?}: {failure}");
        }
        thread::sleep(PAUSE);
    }
}
