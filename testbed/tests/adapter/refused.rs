//! Configurations that the adapter refuses: it ends at the start, and so does our server.
//!
//! A line `# differs: ID` in such a configuration names the known difference for which our server serves nevertheless.

use crate::{
    case::{self, Case},
    differences::{Affects, known},
    side,
    suite::{Programs, Report},
    world::World,
};
use anyhow::{Context, Result};
use futures_util::{StreamExt, stream};
use std::{path::Path, time::Duration};
use testbed::{Process, eventually, http, ports};

/// A server that neither serves nor has ended by then hangs.
const DECIDED: Duration = Duration::from_secs(30);
/// Starts at once.
const AT_ONCE: usize = 4;

/// Starts each program with each configuration.
pub(crate) async fn check(world: &World, programs: &Programs) -> Result<Vec<Report>> {
    let configurations = case::configurations(&case::folder().join("refused"))?;
    let checks = configurations.iter().map(|configuration| check_one(world, programs, configuration));
    let reports: Vec<Result<Report>> = stream::iter(checks).buffer_unordered(AT_ONCE).collect().await;
    reports.into_iter().collect()
}

/// Whether our server may refuse what the adapter serves.
pub(crate) fn may_refuse(case: &Case) -> bool {
    case.differs.iter().any(|id| known(id).is_some_and(|it| it.affects(Affects::Start)))
}

/// Our server refuses the configuration of such a case.
pub(crate) async fn expect(world: &World, program: &Path, case: &Case, report: &mut Report) -> Result<()> {
    let name = format!("{}-ours", case.name);
    if serves(world, program, &name, &case.configuration).await? {
        report.problems.push("our server does not refuse it".into());
    } else {
        report.seen.extend(case.differs.iter().cloned());
    }
    Ok(())
}

async fn check_one(world: &World, programs: &Programs, configuration: &Path) -> Result<Report> {
    let text = std::fs::read_to_string(configuration)?;
    let difference = text.lines().find_map(|line| line.strip_prefix("# differs: "));
    let file = configuration.file_stem().and_then(|name| name.to_str()).context("a file has a name")?;
    let mut report = Report::default();
    if serves(world, &programs.adapter, &format!("refused-{file}-adapter"), configuration).await? {
        report.problems.push(format!("{file}: the adapter does not refuse it"));
    }
    let Some(ours) = &programs.ours else { return Ok(report) };
    let serves = serves(world, ours, &format!("refused-{file}-ours"), configuration).await?;
    match (serves, difference) {
        (true, Some(id)) if known(id).is_some_and(|it| it.affects(Affects::Start)) => {
            report.seen.push(id.into());
        }
        (false, None) => {}
        (_, Some(id)) => report.problems.push(format!("{file}: the known difference `{id}` was not seen")),
        (true, None) => report.problems.push(format!("{file}: our server does not refuse it")),
    }
    Ok(report)
}

/// Whether the program serves; if not, it ends with an error.
async fn serves(world: &World, program: &Path, name: &str, configuration: &Path) -> Result<bool> {
    let port = ports::free()?;
    let mut command = side::command(world, program, configuration);
    command.arg(format!("--secure-port={port}")).arg(format!("--prometheus-url={}", world.prometheus.url()));
    command.current_dir(world.cluster.dir().subdir(name)?);
    let process =
        Process::start(name, &mut command, &world.cluster.dir().log(name))?.with_grace(Duration::ZERO);
    // It has made its certificate itself.
    let client = reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true).build()?;
    let url = format!("https://localhost:{port}/readyz");
    let decided = eventually("the server to serve or to end", DECIDED, async || match process.look()? {
        Some(status) => Ok(Some(status.success())),
        None => http::answers(&client, &url).await.map(Some),
    });
    decided.await.with_context(|| format!("{name}: {}", process.log_tail()))
}
