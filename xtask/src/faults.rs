//! `cargo xtask faults`.

use anyhow::{Context, Result, ensure};
use std::{fs, io::Write, process::ExitCode, time::Duration};
use testbed::{faults, workspace};

/// The product's default.
const MAX_AGE: Duration = Duration::from_secs(10);
/// Twice the read deadline: a machine with nothing else to do adds milliseconds.
const READ_WITHIN: Duration = Duration::from_secs(2);

/// Break Prometheus and the server in every way and check that HPAs under constant load keep their size
///
/// Prints a table and writes all figures to target/faults.json. Exits with 0 only if no HPA changed its size, each
/// named the cause, and every read was answered in time. Takes about ten minutes (docs/faults.md).
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only this round, or all rounds of this letter; may be repeated
    #[arg(long, value_name = "NAME")]
    round: Vec<String>,
    /// Duration of each fault; more than 15, so that the longer `maxAge` expires
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(2..=600))]
    seconds: u64,
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    let mut rounds = Vec::new();
    for name in &args.round {
        let named = faults::named(name);
        let all = || faults::ROUNDS.map(|round| format!("({}) {}", round.letter, round.name)).join(", ");
        ensure!(!named.is_empty(), "no round is called {name}; there are {}", all());
        rounds.extend(named);
    }
    if rounds.is_empty() {
        rounds = faults::ROUNDS.to_vec();
    }
    workspace::build_binaries().await?;
    let length = Duration::from_secs(args.seconds);
    let options = faults::Options { rounds, length, max_age: MAX_AGE, read_within: READ_WITHIN };
    let progress = |line: &str| drop(writeln!(std::io::stdout(), "{line}"));
    let report = faults::run(&options, progress).await?;
    let path = workspace::target_dir()?.join("faults.json");
    let json = serde_json::to_string_pretty(&report)?;
    fs::write(&path, json).with_context(|| format!("writing {}", path.display()))?;
    writeln!(std::io::stdout(), "\n{}\n\nwritten to {}", report.table(), path.display())?;
    Ok(if report.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
