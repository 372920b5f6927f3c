//! `metrics-apiserver check`: looks through a configuration file without serving it.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use super::EXIT_USAGE;
use crate::config::{self, Config, ConfigErrors, SampleRequest};
use crate::rules::Rule;

/// What to check, and for which request to show the queries.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Do not look whether the files that it names (tokens, passwords, certificates) can be read
    #[arg(long)]
    skip_files: bool,
    #[command(flatten)]
    request: SampleRequest,
}

/// Checks a file; prints its problems, or its rules with the query each makes. The exit code says which.
pub fn check(args: &CheckArgs, out: &mut dyn Write) -> io::Result<u8> {
    match load(args) {
        Ok(config) => summary(&config, args, out).map(|()| 0),
        Err(errors) => writeln!(out, "{errors}").map(|()| EXIT_USAGE),
    }
}

fn load(args: &CheckArgs) -> Result<Config, ConfigErrors> {
    let (text, name) = (config::read_once(&args.config)?, args.config.display().to_string());
    if args.skip_files {
        config::check(&text, &name, &|_| Ok(()))
    } else {
        config::check(&text, &name, &config::can_be_read)
    }
}

fn summary(config: &Config, args: &CheckArgs, out: &mut dyn Write) -> io::Result<()> {
    for rule in &config.rules {
        show_rule(rule, args, out)?;
    }
    for warning in &config.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    let (metrics, backends) = (count(config.rules.len(), "metric"), count(config.backends.len(), "backend"));
    writeln!(out, "{}: no problems, {metrics}, {backends}", args.config.display())
}

fn show_rule(rule: &Rule, args: &CheckArgs, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{} (backend {})", rule.name.as_str(), rule.backend.0)?;
    match args.request.plan(rule) {
        Ok(plan) => {
            plan.queries.iter().try_for_each(|query| writeln!(out, "    {}", query.promql))?;
            writeln!(out)
        }
        Err(error) => writeln!(out, "    this request would be refused: {error}\n"),
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
