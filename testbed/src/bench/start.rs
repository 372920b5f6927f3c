//! From the process' start until a read has its first correct answer.

use super::{
    Pace,
    connection::{Connection, Target},
    load::Verdict,
    millis, say,
    stage::Stage,
    world::{self, Source},
};
use anyhow::{Result, bail};
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Between two tries, which are refused until the server listens.
const PAUSE: Duration = Duration::from_millis(1);
/// As long as the server may take to be ready.
const LIMIT: Duration = Duration::from_secs(30);

/// Some starts, each in milliseconds, the quickest first.
pub(super) async fn first_answers(stage: &Stage, pace: &Pace) -> Result<Vec<f64>> {
    let mut took = Vec::new();
    for start in 0..pace.starts {
        say(&format!("start {}", start + 1));
        let planned = stage.plan(&format!("bench-start-{start}"), &stage.configuration(), &[])?;
        let (target, started) = (Arc::clone(&planned.target), Instant::now());
        let answer = tokio::task::spawn_blocking(move || until_answered(&target, started));
        let served = stage.start_server(planned).await;
        took.push(millis(answer.await??));
        drop(served?);
    }
    took.sort_by(f64::total_cmp);
    Ok(took)
}

fn until_answered(target: &Arc<Target>, started: Instant) -> Result<Duration> {
    let mut connection = Connection::new(target);
    let ask = world::ask(Source::Memory, 0);
    loop {
        let complaint = match ask.put(&mut connection) {
            (Verdict::Right, _) => return Ok(started.elapsed()),
            (_, complaint) => complaint.unwrap_or_default(),
        };
        if started.elapsed() > LIMIT {
            bail!("no correct answer after {LIMIT:?}: {complaint}");
        }
        thread::sleep(PAUSE);
    }
}
