//! The whole story, watched: load makes a plain HPA scale the inference service out, quiet makes it scale in again.
//!
//! Every part is real: the programs, the manifests as they are shipped, kubectl. Only the times are cut by an overlay.

mod picture;
mod stage;
mod story;
mod table;
pub(crate) mod watch;

use crate::{Tools, eventually, load::Load, workspace};
use anyhow::{Context, Result};
use stage::Stage;
use std::{
    io::Write,
    path::Path,
    time::{Duration, Instant},
};
use story::{Phase, Story};
use watch::{Goal, Snapshot, Watcher};

/// What is read, as in `manifests/overlays/*/config.yaml`.
const METRIC: &str = "python_request_duration_seconds_per_request";
/// Name of the Deployment and of the HPA, and the value of the label `app`.
const WORKLOAD: &str = "inference-svc";
/// Where they are.
const NAMESPACE: &str = "default";
/// How long the `APIService`, the first pod and the first reading may take each: seconds, more on a busy machine.
const SETTLE: Duration = Duration::from_secs(90);
/// Bounds the load, whatever the HPA's maximum is.
const CLIENTS_MAX: usize = 64;
/// Between two looks at the cluster.
const LOOK: Duration = Duration::from_millis(500);

/// How the demo is to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The times as they are shipped (inferences of 10 s, windows of 240 and 300 s) rather than the short ones.
    pub realistic: bool,
    /// Leave everything running after the summary, until ctrl-c.
    pub keep: bool,
    /// Configure the server as prometheus-adapter: by its rules and its flags.
    pub adapter_config: bool,
}

impl Options {
    /// The HPA controller's pace, which is also the table's: a real cluster has 15 s.
    fn pace(self) -> Duration {
        Duration::from_secs(if self.realistic { 15 } else { 2 })
    }

    /// How long each of scaling out and scaling in may take: about twice what they take on an idle machine.
    fn limit(self) -> Duration {
        Duration::from_secs(if self.realistic { 25 * 60 } else { 100 })
    }

    /// How long the load goes on at the maximum: until the window of the query, 10 s or a minute, holds only requests
    /// that all pods shared, and some scrapes more.
    fn settle(self) -> Duration {
        Duration::from_secs(if self.realistic { 120 } else { 18 })
    }

    /// The overlay that is applied, below `manifests/overlays`.
    fn overlay(self) -> &'static str {
        if self.realistic { "demo-realistic" } else { "demo" }
    }
}

/// What happened before the load.
struct Start {
    /// From the server being ready to the `APIService` being Available.
    available: Duration,
    /// From the start of the cluster to the first reading through kubectl.
    first_answer: Duration,
}

/// Plays the whole story and tells it on standard output; `Ok` only if the workload went to its maximum and back. The
/// server comes from an image if an OCI layout is given, which `cargo xtask images` makes.
pub async fn run(options: Options, image: Option<&Path>) -> Result<()> {
    say("Building the programs (the first time also Kubernetes and Prometheus, about ten minutes).")?;
    tokio::try_join!(workspace::build_binaries(), async { Tools::ensure().await.map(drop) })?;
    let started = Instant::now();
    say("Starting Kubernetes, Prometheus and metrics-apiserver; applying manifests/.")?;
    let stage = Stage::start(options, image).await?;
    let outcome = play(&stage, options, started).await;
    let outcome = outcome.with_context(|| format!("the logs are in {}", stage.logs().display()));
    if options.keep && outcome.is_ok() {
        say(&stage.usage())?;
        tokio::signal::ctrl_c().await.context("waiting for ctrl-c")?;
    }
    outcome.and(stage.end().await)
}

async fn play(stage: &Stage, options: Options, started: Instant) -> Result<()> {
    let available = stage.available().await?;
    say(&format!(
        "The APIService is Available {:.1} s after the server was ready.",
        available.as_secs_f64()
    ))?;
    stage.pod_ready().await?;
    first_answer(stage).await?;
    let start = Start { available, first_answer: started.elapsed() };
    let watcher = Watcher::new(stage.cluster.client().await?, started);
    let goal = watcher.goal().await?;
    let mut record = Vec::new();
    let told = scale(&watcher, goal, options, &mut record).await;
    let picture = workspace::target_dir()?.join("demo.svg");
    picture::draw(&picture, &record, goal)?;
    say(&table::summary(&start, &Story::of(&record, goal), started.elapsed()))?;
    say(&format!("The picture is {}", picture.display()))?;
    told
}

/// Reads the metric as a user would, and shows both the command and the answer.
async fn first_answer(stage: &Stage) -> Result<()> {
    let path = format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/{METRIC}");
    let kubectl = stage.cluster.kubectl();
    let read = async || kubectl.run(&["get", "--raw", &path]).await?.success().map(Some);
    let answer = eventually("the first reading of the metric", SETTLE, read).await?;
    say(&format!("\n$ kubectl get --raw \"{path}\"\n{}\n", answer.trim_end()))
}

/// Load until the maximum is ready and a little longer, then quiet until the minimum is; writes down everything that
/// was seen.
async fn scale(watcher: &Watcher, goal: Goal, options: Options, record: &mut Vec<Snapshot>) -> Result<()> {
    let load = Load::start(clients(goal), options.limit() + options.settle())?;
    say(&format!("{} clients send requests, each the next when the last is answered.\n", load.clients()))?;
    say(&table::header())?;
    let mut watch = Watch { watcher, goal, options, load: &load, record, shown: None };
    let out = async {
        watch.until_over(Phase::ScaleOut).await?;
        watch.settle().await
    };
    let out = out.await;
    load.stop();
    out?;
    watch.until_over(Phase::ScaleIn).await?;
    let (answered, refused) = load.finish().await?;
    say(&format!("\nThe clients got {answered} answers and {refused} refusals."))
}

/// So many clients that even all pods together cannot answer within one and a half inferences, which is the HPA's
/// target.
fn clients(goal: Goal) -> usize {
    usize::try_from(goal.max).map_or(CLIENTS_MAX, |max| (2 * max + 2).min(CLIENTS_MAX))
}

/// One run that is being watched.
struct Watch<'a> {
    watcher: &'a Watcher,
    goal: Goal,
    options: Options,
    load: &'a Load,
    record: &'a mut Vec<Snapshot>,
    /// The last moment that got a line.
    shown: Option<Snapshot>,
}

impl Watch<'_> {
    /// Looks once, writes it down, and shows it if it is worth a line.
    async fn look(&mut self, phase: Phase) -> Result<Snapshot> {
        let (snapshot, addresses) = self.watcher.look(phase).await?;
        self.load.send_to(addresses);
        if self.shown.is_none_or(|last| table::is_due(&last, &snapshot, self.options.pace())) {
            say(&table::line(&snapshot, self.goal))?;
            self.shown = Some(snapshot);
        }
        self.record.push(snapshot);
        Ok(snapshot)
    }

    /// Watches one phase to its end.
    async fn until_over(&mut self, phase: Phase) -> Result<()> {
        let limit = self.options.limit();
        let deadline = Instant::now() + limit;
        loop {
            let seen = self.look(phase).await;
            if seen.as_ref().is_ok_and(|snapshot| phase.is_over(snapshot, self.goal)) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let problem = match seen {
                    Err(error) => format!("{error:#}"),
                    Ok(_) => self.watcher.conditions().await?,
                };
                let last = self.record.last().map_or_else(String::new, |last| table::line(last, self.goal));
                anyhow::bail!("{} took more than {limit:?}; last seen: {last}; {problem}", phase.name());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Watches while the metric comes to rest.
    async fn settle(&mut self) -> Result<()> {
        let end = Instant::now() + self.options.settle();
        while Instant::now() < end {
            tokio::time::sleep(LOOK).await;
            // A look that fails is one point less in the picture.
            let _ = self.look(Phase::Settle).await;
        }
        Ok(())
    }
}

/// Tells the user something. An error means that nobody listens any more.
fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_are_too_many_for_the_maximum_but_bounded() {
        let clients = |max| clients(Goal { min: 1, max, target: 1.5 });
        assert_eq!(clients(4), 10);
        assert_eq!(clients(1_000), CLIENTS_MAX);
        assert_eq!(clients(-1), CLIENTS_MAX);
    }
}
