//! `cargo xtask tools`.

use anyhow::Result;
use std::{io::Write, process::ExitCode};
use testbed::Tools;

/// Build etcd, Kubernetes and Prometheus unless they are built, and print their folder
#[derive(clap::Args)]
#[command(after_help = "Set KUBERNETES_BIN to a folder with prebuilt programs to use those instead.")]
pub(crate) struct Args {}

pub(crate) async fn run(_: &Args) -> Result<ExitCode> {
    let tools = Tools::ensure().await?;
    writeln!(std::io::stdout(), "{}", tools.dir().display())?;
    Ok(ExitCode::SUCCESS)
}
