//! `cargo xtask fuzz`: what cargo-fuzz does, with a stable compiler and without the address sanitizer.
//!
//! New inputs go to target/fuzz/corpus, so that the corpus under version control stays small.

use anyhow::{Context, Result, ensure};
use std::{
    ffi::OsString,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
};
use testbed::workspace;
use tokio::process::Command;

/// As cargo-fuzz has them: count each edge of the control flow, and see what is compared with what.
const RUSTFLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares";
/// Bytes of an input: enough for every construct, few enough for many inputs a second.
const MAX_LEN: &str = "-max_len=4096";
/// Seconds for one input: thousands of times the usual, since other work may have the processors.
const TIMEOUT: &str = "-timeout=20";
/// Megabytes, several times what the largest input takes.
const MEMORY: &str = "-rss_limit_mb=1024";
/// What `cargo xtask test` gives each target, in seconds.
const SHORT: u32 = 5;
/// Lines of a failed run's log that are shown: the panic's message and the input.
const TAIL: usize = 40;

/// Run the fuzz targets with libFuzzer; needs a C++ compiler
///
/// The targets are the files in fuzz/. Findings are written to target/fuzz/artifacts, logs to target/fuzz/logs.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seconds for each target
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Targets to run, one after the other; defaults to all
    targets: Vec<String>,
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    ensure!(
        has_cpp_compiler().await,
        "libFuzzer is C++ and there is no C++ compiler: install g++ or clang++, or name one in CXX; \
         `cargo test --workspace fuzzing` gives the targets their corpus without"
    );
    let known = known_targets()?;
    for target in &args.targets {
        ensure!(
            known.contains(target),
            "there is no target `{target}`; the targets are {}",
            known.join(", ")
        );
    }
    all(if args.targets.is_empty() { &known } else { &args.targets }, args.seconds).await?;
    Ok(ExitCode::SUCCESS)
}

/// A short run of each target. Without a C++ compiler it is left out: the tests have given the targets their corpus.
pub(crate) async fn short() -> Result<()> {
    if has_cpp_compiler().await {
        return all(&known_targets()?, SHORT).await;
    }
    writeln!(
        std::io::stderr(),
        "no C++ compiler: fuzzing is left out, the corpus was replayed by the tests"
    )?;
    Ok(())
}

async fn has_cpp_compiler() -> bool {
    let program = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let output = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    output.await.is_ok_and(|status| status.success())
}

fn fuzz_dir() -> PathBuf {
    workspace::root().join("fuzz")
}

fn known_targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(fuzz_dir().join("fuzz_targets"))? {
        let path = entry?.path();
        names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

async fn all(targets: &[String], seconds: u32) -> Result<()> {
    let out = workspace::target_dir()?.join("fuzz");
    let programs = build(&out).await?;
    let mut broken = Vec::new();
    for target in targets {
        if !fuzz(target, &programs.join(target), &out, seconds).await? {
            broken.push(target.as_str());
        }
    }
    ensure!(broken.is_empty(), "findings in {}", broken.join(", "));
    Ok(())
}

/// Builds all targets and gives the folder they are in.
async fn build(out: &Path) -> Result<PathBuf> {
    let host = host().await?;
    let status = workspace::cargo()
        .args(["build", "--quiet", "--release", "--bins", "--manifest-path"])
        .arg(fuzz_dir().join("Cargo.toml"))
        // Named, so that build scripts and macros are compiled without the flags.
        .args(["--target", &host, "--target-dir"])
        .arg(out)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", RUSTFLAGS)
        .status()
        .await
        .context("starting cargo")?;
    ensure!(status.success(), "building the fuzz targets ended with {status}");
    Ok(out.join(host).join("release"))
}

async fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().await.context("starting rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc -vV names no host")
}

/// Runs one target; false if it found something.
async fn fuzz(target: &str, program: &Path, out: &Path, seconds: u32) -> Result<bool> {
    let corpus = out.join("corpus").join(target);
    let (artifacts, logs) = (out.join("artifacts"), out.join("logs"));
    for folder in [&corpus, &artifacts, &logs] {
        fs::create_dir_all(folder)?;
    }
    let mut prefix = OsString::from("-artifact_prefix=");
    prefix.push(artifacts.join(format!("{target}-")));
    let mut dictionary = OsString::from("-dict=");
    dictionary.push(fuzz_dir().join("dictionaries").join(format!("{target}.dict")));
    let log = logs.join(format!("{target}.log"));
    let status = Command::new(program)
        .args([&corpus, &fuzz_dir().join("corpus").join(target)])
        .args([format!("-max_total_time={seconds}"), "-print_final_stats=1".to_owned()])
        .args([MAX_LEN, TIMEOUT, MEMORY])
        .args([prefix, dictionary])
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log)?)
        .kill_on_drop(true)
        .status()
        .await
        .with_context(|| format!("starting {}", program.display()))?;
    report(target, &log, status.success())?;
    Ok(status.success())
}

fn report(target: &str, log: &Path, passed: bool) -> Result<()> {
    let text = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    let stat = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map_or("?", str::trim).to_owned()
    };
    let (runs, per_second) = (stat("stat::number_of_executed_units"), stat("stat::average_exec_per_sec"));
    let mut err = std::io::stderr().lock();
    if passed {
        writeln!(err, "{target:<14} {runs:>10} inputs, {per_second:>6}/s, no finding")?;
        return Ok(());
    }
    let lines: Vec<_> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(TAIL)..] {
        writeln!(err, "{line}")?;
    }
    writeln!(err, "{target}: FINDING; the whole log is {}", log.display())?;
    Ok(())
}
