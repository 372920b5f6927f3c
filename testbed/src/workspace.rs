//! Where things lie: the sources, and what cargo built.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use tokio::sync::OnceCell;

/// The root of the workspace: the folder with the root `Cargo.toml`.
pub fn root() -> &'static Path {
    let testbed = Path::new(env!("CARGO_MANIFEST_DIR"));
    testbed.parent().unwrap_or(testbed)
}

/// Cargo's output folder for the profile of the running program, such as `target/debug`.
pub fn profile_dir() -> Result<PathBuf> {
    let exe = std::env::current_exe().context("finding the running program")?;
    let dir = exe.parent().context("the running program lies in no folder")?;
    // Test programs lie one level deeper.
    let dir = if dir.ends_with("deps") { dir.parent().unwrap_or(dir) } else { dir };
    Ok(dir.to_owned())
}

/// Cargo's output folder, such as `target`.
pub fn target_dir() -> Result<PathBuf> {
    let profile = profile_dir()?;
    Ok(profile.parent().context("cargo's output lies in no folder")?.to_owned())
}

/// One of our own programs, as the sources have it now: see [`build_binaries`].
pub async fn binary(name: &str) -> Result<PathBuf> {
    build_binaries().await?;
    let path = profile_dir()?.join(name);
    ensure!(path.exists(), "`{}` is missing: is it a program of this workspace?", path.display());
    Ok(path)
}

/// Builds the programs that the tests and the demo start, in the profile of the running program; once in a process, so
/// that what it starts stays the same, and always, so that it is never older than the sources. cargo shows its
/// progress.
pub async fn build_binaries() -> Result<()> {
    static BUILT: OnceCell<()> = OnceCell::const_new();
    BUILT.get_or_try_init(build).await.copied()
}

async fn build() -> Result<()> {
    let profile = profile_dir()?;
    let profile = profile.file_name().and_then(|name| name.to_str()).unwrap_or("debug");
    let profile = if profile == "debug" { "dev" } else { profile };
    let status = cargo()
        .args(["build", "--workspace", "--bins", "--profile", profile])
        .status()
        .await
        .context("starting cargo")?;
    ensure!(status.success(), "`cargo build --workspace --bins` failed: {status}");
    Ok(())
}

/// cargo in the workspace, as if called from a shell.
///
/// A program under `cargo run` inherits variables that describe its package. Build scripts watch some of them,
/// and such a crate with all that uses it would be compiled anew at each change between the two.
pub fn cargo() -> tokio::process::Command {
    let mut command = tokio::process::Command::from(images::cargo());
    command.kill_on_drop(true);
    command
}
