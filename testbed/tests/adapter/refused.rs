//! Configurations that both servers refuse: they end at the start.

use crate::{case, side, suite::Programs, world::World};
use anyhow::Result;
use futures_util::{StreamExt, stream};
use std::{path::Path, time::Duration};
use testbed::{Process, ports};

/// A server that has not ended by then serves.
const ENDED: Duration = Duration::from_secs(20);
/// Starts at once.
const AT_ONCE: usize = 4;

/// Starts each program with each configuration; names those that do not end with an error.
pub(crate) async fn problems(world: &World, programs: &Programs) -> Result<Vec<String>> {
    let configurations = case::configurations(&case::folder().join("refused"))?;
    let servers = [("adapter", Some(&programs.adapter)), ("ours", programs.ours.as_ref())];
    let runs = configurations.iter().flat_map(|configuration| {
        let programs = servers.iter().filter_map(|(name, program)| Some((*name, (*program)?)));
        programs.map(move |(name, program)| problem(world, name, program, configuration))
    });
    let problems: Vec<Result<Option<String>>> = stream::iter(runs).buffer_unordered(AT_ONCE).collect().await;
    Ok(problems.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

async fn problem(
    world: &World,
    server: &str,
    program: &Path,
    configuration: &Path,
) -> Result<Option<String>> {
    let file = configuration.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let name = format!("refused-{file}-{server}");
    let mut command = side::command(world, program, configuration, world.prometheus.url());
    command.arg(format!("--secure-port={}", ports::free()?)).current_dir(world.cluster.dir().subdir(&name)?);
    let log = world.cluster.dir().log(&name);
    let process = Process::start(&name, &mut command, &log)?.with_grace(Duration::ZERO);
    Ok(match process.ended(ENDED).await {
        Ok(status) if !status.success() => None,
        Ok(status) => Some(format!("{file}: {server} ends with {status}")),
        Err(_) => Some(format!("{file}: {server} serves")),
    })
}
