//! All cases against one world.

use crate::{
    OUR_SERVER_TAKES_PART,
    case::{self, Case},
    comparison::{self, Queries},
    differences, refused,
    side::{Seen, Side},
    world::World,
};
use anyhow::{Context, Result};
use futures_util::{StreamExt, stream};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};
use testbed::{eventually, tools, workspace};

/// Cases at once: starting a server takes a core for a second, the rest is waiting.
const CASES_AT_ONCE: usize = 4;
/// How long our server may need more than the adapter to list the same metrics.
const LISTED: Duration = Duration::from_secs(10);
const LISTS: [&str; 2] = ["/apis/custom.metrics.k8s.io/v1beta1", "/apis/external.metrics.k8s.io/v1beta1"];

/// What came of a case.
#[derive(Default)]
pub(crate) struct Report {
    /// What is wrong, for a person.
    pub(crate) problems: Vec<String>,
    /// Known differences that were seen.
    pub(crate) seen: Vec<String>,
}

/// The two programs.
pub(crate) struct Programs {
    pub(crate) adapter: PathBuf,
    pub(crate) ours: Option<PathBuf>,
}

impl Programs {
    pub(crate) async fn find() -> Result<Self> {
        let ours =
            if OUR_SERVER_TAKES_PART { Some(workspace::binary("metrics-apiserver").await?) } else { None };
        Ok(Self { adapter: tools::prometheus_adapter().await?, ours })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_server_answers_and_asks_as_the_adapter_does() {
    let cases = case::all().unwrap();
    let programs = Programs::find().await.unwrap();
    let world = World::start().await.unwrap();
    let runs = cases.iter().map(|case| run(&world, &programs, case));
    let reports: Vec<Report> = stream::iter(runs).buffer_unordered(CASES_AT_ONCE).collect().await;
    let refused = refused::check(&world, &programs).await.unwrap();
    let reports: Vec<Report> = reports.into_iter().chain(refused).collect();
    let mut problems: Vec<String> = reports.iter().flat_map(|report| report.problems.clone()).collect();
    let seen: BTreeSet<&str> = reports.iter().flat_map(|report| &report.seen).map(String::as_str).collect();
    let unseen = differences::KNOWN.iter().filter(|known| OUR_SERVER_TAKES_PART && !seen.contains(known.id));
    problems.extend(unseen.map(|known| format!("the known difference `{}` was never seen", known.id)));
    let answers = answers_folder(&world);
    assert!(
        problems.is_empty(),
        "{}\n{} problems; the files with the adapter's answers as they are now: {}",
        problems.join("\n"),
        problems.len(),
        answers.display()
    );
}

/// Where the `.reads` files are written with the answers as they are.
fn answers_folder(world: &World) -> PathBuf {
    world.cluster.dir().logs().join("answers")
}

async fn run(world: &World, programs: &Programs, case: &Case) -> Report {
    let mut report = Report::default();
    if let Err(error) = compare(world, programs, case, &mut report).await {
        report.problems.push(format!("{error:#}"));
    }
    for problem in &mut report.problems {
        *problem = format!("{}: {problem}", case.name);
    }
    report
}

async fn compare(world: &World, programs: &Programs, case: &Case, report: &mut Report) -> Result<()> {
    let ours = match &programs.ours {
        Some(program) if refused::may_refuse(case) => {
            refused::expect(world, program, case, report).await?;
            None
        }
        program => program.as_deref(),
    };
    let (adapter, ours) = tokio::try_join!(
        Side::start(world, &programs.adapter, "adapter", case),
        start_ours(world, ours, case),
    )?;
    adapter.ready(&case.configuration).await?;
    if let Some(ours) = &ours {
        ours.ready(&case.configuration).await.context("our server")?;
        lists_agree(&adapter, ours).await;
    }
    let (mut queries, mut written) = (Queries::default(), Written::default());
    for read in &case.reads {
        let seen = adapter.read(read).await?;
        let answer = seen.answer.summary();
        if answer != read.answer {
            report
                .problems
                .push(format!("> {}\nadapter answers\n< {answer}\ninstead of\n< {}", read.path, read.answer));
        }
        written.adapter(read, &seen);
        if let Some(ours) = &ours {
            let ours = ours.read(read).await?;
            let (problems, known) = comparison::compare(read, &seen, &ours, &mut queries);
            report.problems.extend(problems.iter().map(|problem| format!("> {}\n    {problem}", read.path)));
            report.seen.extend(known);
            written.ours(&ours);
        }
    }
    for call in adapter.calls_made() {
        let _ = writeln!(written.transcript, "! {call}");
    }
    if let Some(ours) = &ours {
        let (problems, known) = comparison::compare_calls(case, &adapter.calls_made(), &ours.calls_made());
        report.problems.extend(problems);
        report.seen.extend(known);
    }
    written.save(world, case)
}

async fn start_ours(world: &World, program: Option<&Path>, case: &Case) -> Result<Option<Side>> {
    match program {
        Some(program) => Side::start(world, program, "ours", case).await.map(Some),
        None => Ok(None),
    }
}

/// Waits until both list the same metrics. If they never do, the reads of the lists say so.
async fn lists_agree(adapter: &Side, ours: &Side) {
    for path in LISTS {
        let read = case::Read { path: path.into(), ..case::Read::default() };
        let agree = eventually("the same list", LISTED, async || {
            let (adapter, ours) = (adapter.read(&read).await?, ours.read(&read).await?);
            Ok((adapter.answer == ours.answer).then_some(()))
        });
        let _ = agree.await;
    }
}

/// What both servers answered, to be kept with the logs: in short form as the `.reads` file would have it, and whole
/// with the queries.
#[derive(Default)]
struct Written {
    adapter: Vec<String>,
    ours: Vec<String>,
    transcript: String,
}

impl Written {
    fn adapter(&mut self, read: &case::Read, seen: &Seen) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.transcript, "> {}", read.path);
        self.adapter.push(seen.answer.summary());
        self.add("<", seen);
    }

    fn ours(&mut self, seen: &Seen) {
        self.ours.push(seen.answer.summary());
        self.add("<<", seen);
    }

    fn add(&mut self, who: &str, seen: &Seen) {
        let _ = writeln!(self.transcript, "{who} {} {}", seen.answer.code, seen.answer.text.trim_end());
        self.transcript.extend(seen.queries.iter().map(|query| format!("{who}? {query}\n")));
    }

    fn save(&self, world: &World, case: &Case) -> Result<()> {
        let folder = answers_folder(world);
        std::fs::create_dir_all(&folder)?;
        let reads = case.with_answers(&self.adapter, &self.ours);
        std::fs::write(folder.join(format!("{}.reads", case.name)), reads)?;
        std::fs::write(folder.join(format!("{}.transcript", case.name)), &self.transcript)?;
        Ok(())
    }
}
