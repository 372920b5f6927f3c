//! `cargo xtask test`: every check, in stages.
//!
//! cargo always gets the whole workspace and never single packages: it unifies the features of what it is asked to
//! build, and each other choice would compile the dependencies once more.

use crate::{dependencies, fuzz};
use anyhow::{Context, Result, ensure};
use images::oci;
use std::{
    io::Write,
    process::ExitCode,
    time::{Duration, Instant},
};
use testbed::{Tools, tools, workspace};
use tokio::process::Command;

/// End-to-end tests at once: more would only wait for two cores, until their time limits.
const E2E_THREADS: &str = "--test-threads=4";

/// Left out of a plain `cargo test`: they start clusters.
const END_TO_END: [&str; 8] = ["--test", "e2e", "--test", "adapter", "--test", "chart", "--test", "guides"];
/// The tests of the images, in cargo's words.
const IMAGES: [&str; 2] = ["--test", "images"];

/// Tells tests that compare with Go programs to leave that out.
const FAST: &str = "METRICS_APISERVER_TEST_FAST";

/// Run every check: format, dependencies, clippy, unit and integration tests, documentation, end-to-end tests
#[derive(clap::Args)]
#[command(after_help = "The end-to-end tests need Go or KUBERNETES_BIN: see `cargo xtask tools --help`.")]
pub(crate) struct Args {
    /// Skip the end-to-end tests and everything else that needs Go
    #[arg(long)]
    fast: bool,
    /// Also run each fuzz target for some seconds; compiles the server once more
    #[arg(long)]
    fuzz: bool,
}

/// One stage that has ended.
struct Stage {
    name: &'static str,
    took: Duration,
    outcome: Result<()>,
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    // Go builds while cargo does: neither can use two cores all the time.
    let tools = (!args.fast).then(|| tokio::spawn(stage("tools", every_tool())));
    let mut stages = vec![
        stage("format", cargo(&["fmt", "--all", "--check"])).await,
        stage("dependencies", dependencies::check()).await,
        stage("clippy", clippy()).await,
        stage("test", tests(args.fast)).await,
        stage("documentation", cargo(&["doc", "--workspace", "--no-deps"])).await,
    ];
    if let Some(tools) = tools {
        let tools = tools.await?;
        let built = tools.outcome.is_ok();
        stages.push(tools);
        let end_to_end = async {
            ensure!(built, "there are no tools to run it with");
            end_to_end().await
        };
        stages.push(stage("end-to-end", end_to_end).await);
        stages.push(stage("images", images()).await);
    }
    if args.fuzz {
        stages.push(stage("fuzz", fuzz::short()).await);
    }
    summarize(&stages)?;
    Ok(if stages.iter().all(|stage| stage.outcome.is_ok()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds what the end-to-end tests need, one after the other: a compiler beside tests with deadlines makes them fail.
async fn every_tool() -> Result<()> {
    Tools::ensure().await?;
    tools::prometheus_adapter().await?;
    tools::helm().await?;
    tools::helm_3().await?;
    tools::victoria_metrics().await?;
    Ok(())
}

async fn clippy() -> Result<()> {
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]).await?;
    // cargo's "all" spares what a plain `cargo test` spares.
    let left_out = [&END_TO_END[..], &IMAGES].concat();
    cargo(&[&["clippy", "--workspace"], &left_out[..], &["--", "-D", "warnings"]].concat()).await
}

async fn tests(is_fast: bool) -> Result<()> {
    let mut command = workspace::cargo();
    if is_fast {
        command.env(FAST, "1");
    }
    run_cargo(command, &["test", "--workspace"]).await
}

async fn end_to_end() -> Result<()> {
    workspace::build_binaries().await?;
    cargo(&[&["test", "--workspace"], &END_TO_END[..], &["--", E2E_THREADS]].concat()).await
}

/// Nothing else needs buildah, so that a machine without it can run all other tests.
async fn images() -> Result<()> {
    if let Err(missing) = oci::available() {
        let _ = writeln!(std::io::stderr(), "   images are not tested: {missing}");
        return Ok(());
    }
    cargo(&[&["test", "--workspace"], &IMAGES[..]].concat()).await
}

async fn stage(name: &'static str, work: impl Future<Output = Result<()>>) -> Stage {
    let started = Instant::now();
    let _ = writeln!(std::io::stderr(), "── {name}: starts");
    let outcome = work.await;
    let took = started.elapsed();
    let word = if outcome.is_ok() { "passed" } else { "FAILED" };
    let _ = writeln!(std::io::stderr(), "── {name}: {word} after {} s", took.as_secs());
    Stage { name, took, outcome }
}

async fn cargo(args: &[&str]) -> Result<()> {
    run_cargo(workspace::cargo(), args).await
}

async fn run_cargo(mut command: Command, args: &[&str]) -> Result<()> {
    let status = command
        .args(args)
        // Read by the documentation's stage only.
        .env("RUSTDOCFLAGS", "-D warnings")
        .status()
        .await
        .context("starting cargo")?;
    ensure!(status.success(), "`cargo {}` ended with {status}", args.join(" "));
    Ok(())
}

fn summarize(stages: &[Stage]) -> Result<()> {
    let mut out = std::io::stderr().lock();
    writeln!(out, "\n{:<14} {:>8}  outcome", "stage", "seconds")?;
    for stage in stages {
        let outcome =
            stage.outcome.as_ref().map_or_else(|error| format!("FAILED: {error:#}"), |()| "passed".into());
        writeln!(out, "{:<14} {:>8.1}  {outcome}", stage.name, stage.took.as_secs_f64())?;
    }
    Ok(())
}
