//! Where things lie: the sources, and what cargo built.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

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

/// One of our own programs, built by cargo; builds all of them if this one is missing.
pub async fn binary(name: &str) -> Result<PathBuf> {
    let path = profile_dir()?.join(name);
    if !path.exists() {
        build_binaries().await?;
    }
    ensure!(path.exists(), "`{}` is missing: run `cargo build --workspace --bins`", path.display());
    Ok(path)
}

/// Builds the programs that the tests and the demo start, in the profile of the running program.
pub async fn build_binaries() -> Result<()> {
    let profile = profile_dir()?;
    let profile = profile.file_name().and_then(|name| name.to_str()).unwrap_or("debug");
    let profile = if profile == "debug" { "dev" } else { profile };
    let status = tokio::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--workspace", "--bins", "--profile", profile])
        .current_dir(root())
        .kill_on_drop(true)
        .status()
        .await
        .context("starting cargo")?;
    ensure!(status.success(), "`cargo build --workspace --bins` failed: {status}");
    Ok(())
}
