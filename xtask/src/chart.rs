//! `cargo xtask chart`.

use anyhow::Result;
use std::{io::Write as _, process::ExitCode};
use testbed::chart;

/// Write what the Helm chart holds of other files: its README's table of values, the alerts and the dashboard
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for (file, text) in chart::copies()? {
        std::fs::write(&file, text)?;
        writeln!(out, "{}", file.display())?;
    }
    Ok(ExitCode::SUCCESS)
}
