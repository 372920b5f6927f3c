//! `cargo xtask bench`.

use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use std::{fs, io::Write, path::PathBuf, process::ExitCode};
use testbed::{
    bench::{self, Part, Row},
    workspace,
};
use tokio::process::Command;

/// Measure the server beside prometheus-adapter, and the inference service
///
/// Prints a table and writes all figures to target/bench.json, or for a part to a file such as target/bench-hang.json.
/// Takes about half an hour; nothing else should run on the machine. docs/performance.md says what is measured.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only check that every part works, in about two minutes, without a release build; the figures mean nothing
    #[arg(long, conflicts_with = "soak")]
    quick: bool,
    /// Run only this part: start, peer, rates, memory, reload, hang, drop-in or floods; may be repeated
    #[arg(long, value_name = "PART", conflicts_with_all = ["soak", "before"], value_parser = part)]
    only: Vec<Part>,
    /// Compare with an older build of metrics-apiserver instead: the path of its executable
    #[arg(long, value_name = "PROGRAM", conflicts_with = "soak")]
    before: Option<PathBuf>,
    /// Check instead whether memory grows: 10,000 queries, 1,000 reads/s, reloads, restarts of Prometheus
    #[arg(long)]
    soak: bool,
    /// Duration of --soak
    #[arg(long, default_value_t = 10, requires = "soak", value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    // A load generator without optimization would measure itself.
    if cfg!(debug_assertions) && !args.quick {
        return again_in_release().await;
    }
    workspace::build_binaries().await?;
    if args.soak {
        let report = bench::soak(args.minutes).await?;
        print(&report, &report.rows(), "bench-soak.json")?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(program) = &args.before {
        let comparison = bench::compare(program, args.quick).await?;
        print(&comparison, &comparison.rows(), "bench-before.json")?;
        return Ok(ExitCode::SUCCESS);
    }
    let parts = if args.only.is_empty() { &Part::ALL[..] } else { &args.only };
    let report = bench::run(args.quick, parts).await?;
    print(&report, &report.rows(), &file(&args.only, args.quick))?;
    // Another profile would have to be built for it.
    if args.quick || !args.only.is_empty() { Ok(ExitCode::SUCCESS) } else { inference().await }
}

/// Where the figures go. The file of whole runs is kept from those that say less.
fn file(only: &[Part], quick: bool) -> String {
    let parts = only.iter().map(|part| part.name());
    let words: Vec<_> = ["bench"].into_iter().chain(parts).chain(quick.then_some("quick")).collect();
    format!("{}.json", words.join("-"))
}

fn part(word: &str) -> Result<Part, String> {
    let names = || Part::ALL.map(Part::name).join(", ");
    Part::ALL
        .into_iter()
        .find(|part| part.name() == word)
        .ok_or_else(|| format!("there is no such part; there are {}", names()))
}

/// Prints the table and writes it with all figures into cargo's output folder.
fn print(report: &impl serde::Serialize, rows: &[Row], file: &str) -> Result<()> {
    let path = workspace::target_dir()?.join(file);
    let whole = serde_json::json!({ "table": rows, "figures": report });
    fs::write(&path, serde_json::to_string_pretty(&whole)?)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n\nwritten to {}\n", table(rows), path.display())?;
    Ok(())
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(["what", "measured", "goal", "reached"]);
    for Row { what, measured, goal, reached } in rows {
        let reached = match reached {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        table.add_row([what, measured, goal, reached]);
    }
    table
}

/// `/metrics` of the inference service while its slots are busy and 1,000 requests queue.
async fn inference() -> Result<ExitCode> {
    cargo(&["bench", "--quiet", "--package", "inference-svc", "--bench", "metrics_latency"]).await
}

async fn again_in_release() -> Result<ExitCode> {
    // The whole workspace, as everywhere: another choice of packages would compile the dependencies once more.
    let built = cargo(&["build", "--release", "--workspace", "--bins"]).await?;
    let program = workspace::target_dir()?.join("release/xtask");
    if built != ExitCode::SUCCESS {
        return Ok(built);
    }
    exit_code(Command::new(program).args(std::env::args_os().skip(1))).await
}

async fn cargo(args: &[&str]) -> Result<ExitCode> {
    exit_code(workspace::cargo().args(args)).await
}

async fn exit_code(command: &mut Command) -> Result<ExitCode> {
    let status = command.kill_on_drop(true).status().await.context("starting a program")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_run_writes_the_file_of_whole_runs() {
        assert_eq!(file(&[], false), "bench.json");
        assert_eq!(file(&[Part::Hang], false), "bench-hang.json");
        assert_eq!(file(&[Part::Rates, Part::Peer], false), "bench-rates-peer.json");
        assert_eq!(file(&[], true), "bench-quick.json");
    }
}
