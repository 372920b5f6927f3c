//! `metrics-apiserver check`: checks a configuration file without serving it.

mod adapter;
mod online;
mod resources;
mod series;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Parser;
use kube::Client;

use super::prometheus::PrometheusOptions;
use crate::causes::causes;
use crate::config::{self, Config, DefaultBackend, Problems};
use crate::metric::{MetricName, Namespace, Resources, Selector};
use crate::registration::ServiceName;
use crate::rules::Rule;
use online::Format;

/// Check a configuration file: list every problem, or print its queries; with --online also what it needs.
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
    /// Also ask the backends and the cluster: certificates, engines, the first query of each rule, the rights of the
    /// account, the APIServices
    #[arg(long)]
    online: bool,
    /// Kubeconfig for --online; without it, the in-cluster configuration is used where there is one
    #[arg(long, value_name = "FILE", requires = "online")]
    kubeconfig: Option<PathBuf>,
    /// Service of the server, to which the APIServices should lead, for --online
    #[arg(long, value_name = "NAMESPACE/NAME", requires = "online")]
    service: Option<ServiceName>,
    /// Output of --online [default: text]
    #[arg(short, long, value_name = "FORMAT", requires = "online")]
    output: Option<Format>,
    /// The backend `default`.
    #[command(flatten)]
    prometheus: PrometheusOptions,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Passed,
    /// The configuration is invalid.
    Invalid,
    /// The configuration is valid, but what it needs does not work.
    Failed,
}

impl CheckArgs {
    /// Whether backends and cluster are asked, by [`check_online`].
    pub fn is_online(&self) -> bool {
        self.online
    }

    /// The kubeconfig of the cluster.
    pub fn kubeconfig(&self) -> Option<&Path> {
        self.kubeconfig.as_deref()
    }
}

/// Checks a file, and then the backends and the cluster that it needs; prints a report.
///
/// `client` is the cluster's: the error if it cannot be made, and `None` outside a cluster without a kubeconfig.
pub async fn check_online(
    args: &CheckArgs,
    client: Option<Result<Client, String>>,
    out: &mut dyn Write,
) -> io::Result<Verdict> {
    let format = args.output.unwrap_or_default();
    let config = match args.prometheus.default_backend() {
        Ok(default) => load(args, &default).map_err(|problems| problems.to_string()),
        Err(error) => Err(causes(&error).to_string()),
    };
    let config = match config {
        Ok(config) => config,
        Err(problems) => {
            return online::invalid(&problems, format, out).map(|()| Verdict::Invalid);
        }
    };
    let subject = online::Subject {
        config: &config,
        namespace: &args.namespace,
        selector: &args.selector,
        service: args.service.as_ref(),
        client,
    };
    let passed = online::run(subject, format, out).await?;
    Ok(if passed { Verdict::Passed } else { Verdict::Failed })
}

/// Checks a file; prints its problems, or its rules with their queries.
pub fn check(args: &CheckArgs, out: &mut dyn Write) -> io::Result<Verdict> {
    let default = match args.prometheus.default_backend() {
        Ok(default) => default,
        Err(error) => return writeln!(out, "error: {}", causes(&error)).map(|()| Verdict::Invalid),
    };
    match load(args, &default) {
        Ok(config) => summary(&config, args, out).map(|()| Verdict::Passed),
        Err(problems) => writeln!(out, "{problems}").map(|()| Verdict::Invalid),
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
    let native = config.rules.iter().map(|rule| rule.name.clone());
    show_role(native.chain(adapter::external_names(&config.adapter)), &args.namespace, out)?;
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

/// The Role for people who read metrics with upper-case letters in their names, if there are any. kube-apiserver
/// reviews the name as it is typed: `kubectl get --raw` sends it so, the clients of HPAs in lower case.
fn show_role(
    names: impl Iterator<Item = MetricName>,
    namespace: &Namespace,
    out: &mut dyn Write,
) -> io::Result<()> {
    let names: BTreeSet<_> = names.map(|name| (name.to_string(), name.folded())).collect();
    let names: Vec<_> = names.iter().filter(|(name, folded)| folded.as_str() != name).collect();
    if names.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "# Names of external metrics are reviewed as they are typed: HPAs send them in lower case,"
    )?;
    writeln!(out, "# `kubectl get --raw` does not. A Role for people has both.")?;
    writeln!(out, "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role")?;
    writeln!(out, "metadata: {{name: external-metrics-reader, namespace: {}}}", yaml(namespace.as_str()))?;
    writeln!(out, "rules:\n- apiGroups: [external.metrics.k8s.io]\n  verbs: [list]\n  resources:")?;
    for (name, folded) in names {
        writeln!(out, "  - {}\n  - {}", yaml(name), yaml(folded.as_str()))?;
    }
    writeln!(out)
}

/// A string in YAML.
fn yaml(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
