//! `metrics-apiserver check`: checks a configuration file without serving it.

mod adapter;
mod online;
mod resources;
mod series;
mod verdict;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use kube::Client;
use tokio::time::{Instant, sleep};

use super::prometheus::PrometheusOptions;
use crate::causes::causes;
use crate::config::{self, Config, DefaultBackend, Problems};
use crate::metric::{MetricName, Namespace, Resources, Selector};
use crate::registration::ServiceName;
use crate::rules::Rule;
use crate::syntax::parse_duration;
use online::{Format, Round};

pub use verdict::Verdict;

/// Between two rounds of `--wait`.
const PAUSE: Duration = Duration::from_secs(2);

const AFTER_HELP: &str = "\
Exit codes: 0 if no check failed, 1 if a check failed, 2 for an unknown flag, 64 for invalid flags or configuration,
69 if --cluster does not reach the cluster.";

/// Check a configuration file: list every problem, or print its queries; with --online also what it needs, and with
/// --cluster also what the cluster has.
#[derive(Debug, Clone, Parser)]
#[command(name = "metrics-apiserver check", bin_name = "metrics-apiserver check")]
#[command(term_width = 100, args_override_self = true, after_help = AFTER_HELP)]
#[command(group = clap::ArgGroup::new("asking").args(["online", "cluster"]).multiple(true))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct CheckArgs {
    /// Configuration file; not required with --cluster
    #[arg(long, value_name = "FILE", required_unless_present = "cluster")]
    config: Option<PathBuf>,
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
    /// Also look at the whole cluster, before or after a take-over: whose the APIServices are, certificates, and
    /// whether each metric that an HPA reads is answered now, and by the configuration; includes --online
    #[arg(long)]
    cluster: bool,
    /// Kubeconfig for --online and --cluster; without it, the in-cluster configuration is used where there is one, and
    /// with --cluster else $KUBECONFIG or ~/.kube/config
    #[arg(long, value_name = "FILE", requires = "asking")]
    kubeconfig: Option<PathBuf>,
    /// Service of the server, to which the APIServices should lead, for --online and --cluster
    #[arg(long, value_name = "NAMESPACE/NAME", requires = "asking")]
    service: Option<ServiceName>,
    /// Output of --online and --cluster [default: text]
    #[arg(short, long, value_name = "FORMAT", requires = "asking")]
    output: Option<Format>,
    /// Repeat the checks of --online or --cluster until none fails, for so long at most, such as 2m
    #[arg(long, value_name = "DURATION", requires = "asking", value_parser = parse_duration)]
    wait: Option<Duration>,
    /// The backend `default`.
    #[command(flatten)]
    prometheus: PrometheusOptions,
}

impl CheckArgs {
    /// Whether backends and cluster are asked, by [`check_online`].
    pub fn is_online(&self) -> bool {
        self.online || self.cluster
    }

    /// The kubeconfig of the cluster, if one is named or is the user's own, for a process that may be in a pod.
    pub fn kubeconfig(&self, is_in_cluster: bool) -> Option<PathBuf> {
        let users = || {
            let default = std::env::home_dir().map(|home| home.join(".kube/config"));
            users_kubeconfig(&std::env::var_os("KUBECONFIG").unwrap_or_default(), default)
        };
        self.kubeconfig.clone().or_else(|| users().filter(|_| self.cluster && !is_in_cluster))
    }
}

/// The first kubeconfig of a list that exists, as kubectl skips those that do not; the default without a list.
fn users_kubeconfig(named: &OsStr, default: Option<PathBuf>) -> Option<PathBuf> {
    let mut named = std::env::split_paths(named).filter(|path| !path.as_os_str().is_empty());
    match named.next() {
        Some(first) if first.exists() => Some(first),
        // If none exists, the message names the first one.
        Some(first) => named.find(|path| path.exists()).or(Some(first)),
        None => default.filter(|path| path.is_file()),
    }
}

/// Checks a file, if one is named, and then the backends and the cluster; prints a report, and with `--wait` the
/// progress until then.
///
/// `client` is the cluster's: the error if it cannot be made, and `None` outside a cluster without a kubeconfig.
pub async fn check_online(
    args: &CheckArgs,
    client: Option<&Result<Client, String>>,
    out: &mut dyn Write,
    progress: &mut dyn Write,
) -> io::Result<Verdict> {
    let until = args.wait.map(|wait| Instant::now() + wait);
    loop {
        let round = round(args, client).await;
        let may_change = matches!(round.verdict, Verdict::Failed | Verdict::Unreachable);
        if !may_change || until.is_none_or(|until| until <= Instant::now() + PAUSE) {
            round.write(args.output.unwrap_or_default(), out)?;
            return Ok(round.verdict);
        }
        // The report is what counts; a closed standard error keeps nothing from being checked.
        let _ = writeln!(progress, "{}; checking again in {PAUSE:?}", round.failures());
        sleep(PAUSE).await;
    }
}

/// All checks, once. The file is read again each time.
async fn round(args: &CheckArgs, client: Option<&Result<Client, String>>) -> Round {
    let config = match args.prometheus.default_backend() {
        Ok(default) => load(args, &default).map_err(|problems| problems.to_string()),
        Err(error) => Err(causes(&error).to_string()),
    };
    let config = match config {
        Ok(config) => config,
        Err(problems) => return Round::invalid(&problems),
    };
    let subject = online::Subject {
        config: config.as_ref(),
        namespace: &args.namespace,
        selector: &args.selector,
        service: args.service.as_ref(),
        client,
        is_whole: args.cluster,
    };
    online::run(&subject).await
}

/// Checks a file; prints its problems, or its rules with their queries.
pub fn check(args: &CheckArgs, out: &mut dyn Write) -> io::Result<Verdict> {
    let default = match args.prometheus.default_backend() {
        Ok(default) => default,
        Err(error) => return writeln!(out, "error: {}", causes(&error)).map(|()| Verdict::Invalid),
    };
    match load(args, &default) {
        Ok(Some(config)) => summary(&config, args, out).map(|()| Verdict::Passed),
        // The command line requires a file.
        Ok(None) => Ok(Verdict::Passed),
        Err(problems) => writeln!(out, "{problems}").map(|()| Verdict::Invalid),
    }
}

/// The configuration of the file, if one is named.
fn load(args: &CheckArgs, default: &DefaultBackend) -> Result<Option<Config>, Problems> {
    let Some(file) = &args.config else { return Ok(None) };
    let checked = config::check_with(config::read_once(file)?, Some(default));
    let config =
        if args.skip_files { checked.map(|checked| checked.config().clone()) } else { config::link(checked) };
    config.map(Some)
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
    let file = args.config.as_deref().unwrap_or_else(|| Path::new(""));
    writeln!(out, "{}: no problems, {metrics}{rules}, {backends}", file.display())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_kubeconfig_that_exists_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let [missing, first, second] = ["missing", "first", "second"].map(|name| dir.path().join(name));
        for path in [&first, &second] {
            std::fs::write(path, "").unwrap();
        }
        for (named, expected) in [
            (vec![&missing, &first, &second], Some(&first)),
            (vec![&second, &first], Some(&second)),
            (vec![&missing], Some(&missing)),
            (vec![], Some(&second)),
        ] {
            let named = std::env::join_paths(named).unwrap();
            assert_eq!(users_kubeconfig(&named, Some(second.clone())).as_ref(), expected, "{named:?}");
        }
        assert_eq!(users_kubeconfig(OsStr::new(""), Some(missing)), None);
    }
}
