//! `metrics-apiserver check`: checks a configuration file without serving it.

mod adapter;
mod resources;
mod series;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Parser;

use super::prometheus::PrometheusOptions;
use crate::causes::causes;
use crate::config::{self, Config, DefaultBackend, Problems};
use crate::metric::{Namespace, Resources, Selector};
use crate::rules::Rule;

/// Check a configuration file: list every problem, or print its queries.
#[derive(Debug, Clone, Parser)]
#[command(name = "metrics-apiserver check", bin_name = "metrics-apiserver check")]
#[command(term_width = 100, args_override_self = true)]
pub struct CheckArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Do not check that the files it names (tokens, passwords, certificates) are readable
    #[arg(long)]
    skip_files: bool,
    /// Namespace of the sample request
    #[arg(long, value_name = "NAMESPACE", default_value = "default", value_parser = Namespace::parse)]
    namespace: Namespace,
    /// Label selector of the sample request, such as `app=web,tier in (a,b)`
    #[arg(long, value_name = "SELECTOR", default_value = "", value_parser = clap::value_parser!(Selector))]
    selector: Selector,
    /// Show the sample request of every rule of prometheus-adapter, also of a file with many
    #[arg(long)]
    all: bool,
    /// The backend `default`.
    #[command(flatten)]
    prometheus: PrometheusOptions,
}

/// Checks a file; prints its problems, or its rules with their queries. Whether the configuration is valid.
pub fn check(args: &CheckArgs, out: &mut dyn Write) -> io::Result<bool> {
    let default = match args.prometheus.default_backend() {
        Ok(default) => default,
        Err(error) => return writeln!(out, "error: {}", causes(&error)).map(|()| false),
    };
    match load(args, &default) {
        Ok(config) => summary(&config, args, out).map(|()| true),
        Err(problems) => writeln!(out, "{problems}").map(|()| false),
    }
}

fn load(args: &CheckArgs, default: &DefaultBackend) -> Result<Config, Problems> {
    let checked = config::check_with(config::read_once(&args.config)?, Some(default));
    if args.skip_files { checked.map(|checked| checked.config().clone()) } else { config::link(checked) }
}

fn summary(config: &Config, args: &CheckArgs, out: &mut dyn Write) -> io::Result<()> {
    for rule in &config.rules {
        show_rule(rule, args, out)?;
    }
    let request = adapter::Request { namespace: &args.namespace, selector: &args.selector, all: args.all };
    adapter::show(&config.adapter, &request, out)?;
    for warning in &config.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    let rules = match config.adapter.custom.len() + config.adapter.external.len() {
        0 => String::new(),
        rules => format!(", {}", count(rules, "rule")),
    };
    let (metrics, backends) = (count(config.rules.len(), "metric"), count(config.backends.len(), "backend"));
    writeln!(out, "{}: no problems, {metrics}{rules}, {backends}", args.config.display())
}

fn show_rule(rule: &Rule, args: &CheckArgs, out: &mut dyn Write) -> io::Result<()> {
    let told = if rule.tells_namespace { format!(", $namespace {}", args.namespace) } else { String::new() };
    writeln!(out, "{} (backend {}{told})", rule.name.as_str(), rule.backend.0)?;
    match rule.external_plan(&args.namespace, &args.selector, &Resources::default()) {
        Ok(plan) => {
            plan.queries.iter().try_for_each(|query| writeln!(out, "    {}", query.promql))?;
            writeln!(out)
        }
        Err(error) => writeln!(out, "    the sample request would be refused: {error}\n"),
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
