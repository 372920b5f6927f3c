//! `cargo xtask bench`.

use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use std::{fs, io::Write, process::ExitCode};
use testbed::{bench, workspace};
use tokio::process::Command;

/// Measure the server and the inference service in a release build; a table, and figures in target/bench.json
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_args: &Args) -> Result<ExitCode> {
    // A load generator without optimization would measure itself.
    if cfg!(debug_assertions) {
        return again_in_release().await;
    }
    workspace::build_binaries().await?;
    let report = bench::run().await?;
    let path = workspace::target_dir()?.join("bench.json");
    fs::write(&path, serde_json::to_string_pretty(&report)?)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n\nwritten to {}\n", table(&report), path.display())?;
    drop(out);
    inference().await
}

fn table(report: &bench::Report) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(["what", "measured"]);
    let latency =
        |l: bench::Latency| format!("p50 {:.3} ms, p99 {:.3} ms, max {:.3} ms", l.p50_ms, l.p99_ms, l.max_ms);
    for (what, measured) in [
        ("start → first correct answer", format!("{:.0} ms", report.first_answer_ms)),
        ("idle memory", format!("{:.1} MB", report.idle_memory_mb)),
        ("memory after the reads", format!("{:.1} MB", report.memory_after_reads_mb)),
        ("read from memory", latency(report.from_memory)),
        ("read live (maxAge: 0s)", latency(report.live)),
        ("closed loop, 5 connections", format!("{:.0} reads/s", report.reads_per_second)),
        ("processor time per 1,000 reads", format!("{:.1} ms", report.cpu_ms_per_1000_reads)),
        ("metrics-apiserver's program", format!("{:.1} MB", report.server_binary_mb)),
        ("inference-svc's program", format!("{:.1} MB", report.inference_binary_mb)),
    ] {
        table.add_row([what.to_owned(), measured]);
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
    exit_code(Command::new(program).arg("bench")).await
}

async fn cargo(args: &[&str]) -> Result<ExitCode> {
    exit_code(workspace::cargo().args(args)).await
}

async fn exit_code(command: &mut Command) -> Result<ExitCode> {
    let status = command.kill_on_drop(true).status().await.context("starting a program")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
