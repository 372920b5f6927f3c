//! `check --online` and `check --cluster`: ask the backends and the cluster that a configuration needs, and say what to
//! fix. The check of the cluster also looks at what is there already: the providers of metrics, and the HPAs.

mod api_services;
mod apis;
mod backends;
mod certificates;
mod hpas;
mod judge;
mod kubernetes;
mod local;
mod raw;
mod report;
mod reviews;
mod rules;
mod services;
mod text;
mod values;
mod wanted;

use std::io::{self, Write};
use std::sync::Arc;

use kube::Client;

use super::verdict::Verdict;
use crate::backend::Backends;
use crate::causes::causes;
use crate::config::Config;
use crate::metric::{Namespace, Selector};
use crate::registration::{Provider, ServiceName};

pub(super) use report::Format;

use api_services::Registered;
use apis::Apis;
use hpas::Hpas;
use kubernetes::Cluster;
use local::Local;
use report::{Hint, Report};
use wanted::{CUSTOM, EXTERNAL, RESOURCE};

const FILE: Hint = Hint { fix: "correct the file", page: "docs/configuration.md#the-file" };
const KUBECONFIG: Hint =
    Hint { fix: "name a valid kubeconfig with --kubeconfig", page: "docs/configuration.md#commands" };

/// What is checked.
pub(super) struct Subject<'a> {
    /// The configuration; none if only the cluster is checked.
    pub(super) config: Option<&'a Config>,
    /// The namespace of sample requests.
    pub(super) namespace: &'a Namespace,
    /// The label selector of sample requests.
    pub(super) selector: &'a Selector,
    /// The Service that should be behind the `APIService`s.
    pub(super) service: Option<&'a ServiceName>,
    /// The cluster; the error if there should be one; none outside a cluster without a kubeconfig.
    pub(super) client: Option<&'a Result<Client, String>>,
    /// Whether the whole cluster is looked at.
    pub(super) is_whole: bool,
}

/// What came of one round of checks.
pub(super) struct Round {
    report: Report,
    pub(super) verdict: Verdict,
}

impl Round {
    /// The only check of an invalid configuration.
    pub(super) fn invalid(problems: &str) -> Self {
        let mut report = Report::default();
        report.failed_with_lines("configuration", problems, FILE);
        Self { report, verdict: Verdict::Invalid }
    }

    /// The failed checks in one line.
    pub(super) fn failures(&self) -> String {
        self.report.failures()
    }

    pub(super) fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        self.report.write(format, out)
    }
}

/// Checks everything.
pub(super) async fn run(subject: &Subject<'_>) -> Round {
    let mut report = if subject.is_whole { Report::with_titles() } else { Report::default() };
    let mut backends = None;
    if let Some(config) = subject.config {
        report.ok("configuration", "no problems");
        backends = of_backends(config, subject, &mut report).await;
    }
    let is_reached = match subject.client {
        Some(Ok(client)) => of_cluster(subject, client, backends.as_ref(), &mut report).await,
        Some(Err(error)) => {
            report.failed_with_lines("kubernetes", error, KUBECONFIG);
            false
        }
        None if subject.is_whole => {
            let detail = "not in a cluster, and there is no kubeconfig";
            report.explained("kubernetes", detail, KUBECONFIG);
            false
        }
        None => {
            report.skipped("kubernetes", "not in a cluster, and no --kubeconfig");
            true
        }
    };
    if let Some(backends) = backends {
        backends.shutdown().await;
    }
    let verdict = match report.has_failures() {
        true if subject.is_whole && !is_reached => Verdict::Unreachable,
        true => Verdict::Failed,
        false => Verdict::Passed,
    };
    Round { report, verdict }
}

/// Checks the backends and the rules.
async fn of_backends(config: &Config, subject: &Subject<'_>, report: &mut Report) -> Option<Arc<Backends>> {
    match Backends::build(config.backends.clone()) {
        Ok(backends) => {
            let working = backends::check(config, &backends, report).await;
            let request = rules::Request { namespace: subject.namespace, selector: subject.selector };
            rules::check(config, &backends, &working, &request, report).await;
            Some(Arc::new(backends))
        }
        Err(error) => {
            let fix = "correct the files that the backend names";
            report.failed("backends", &causes(&error).to_string(), fix);
            None
        }
    }
}

/// Checks the cluster; whether it was reached.
async fn of_cluster(
    subject: &Subject<'_>,
    client: &Client,
    backends: Option<&Arc<Backends>>,
    report: &mut Report,
) -> bool {
    let Subject { config, service, is_whole, .. } = *subject;
    let Some(user) = kubernetes::reached(client, is_whole, report).await else { return false };
    let cluster = Cluster { config, service, client, is_whole };
    let registered = api_services::check(&cluster, report).await;
    if is_whole {
        certificates::check(&registered, report).await;
    }
    let behind = registered
        .iter()
        .filter(|found| service.is_some_and(|service| service.is(&found.namespace, &found.service)));
    let behind = behind.flat_map(|found| &found.backing.accounts).next();
    if let Some(account) = kubernetes::account(&user, is_whole, behind.map(String::as_str)) {
        kubernetes::check_rights(&cluster, &account, report).await;
    } else {
        let why = service.map_or_else(
            || "name its Service with --service".to_owned(),
            |service| format!("no pods are found behind {service}"),
        );
        let fix = "use --online in the server's pod for the rights that it needs";
        report.skipped_with("rbac", &format!("the server's account is not known: {why}"), fix);
        if let Some(config) = config {
            kubernetes::check_resources(config, client, report).await;
        }
    }
    if is_whole {
        of_hpas(&cluster, &registered, backends, report).await;
    }
    true
}

/// Checks the HPAs that read the metrics of the server.
async fn of_hpas(
    cluster: &Cluster<'_>,
    registered: &[Registered],
    backends: Option<&Arc<Backends>>,
    report: &mut Report,
) {
    let Cluster { client, .. } = *cluster;
    let is_served =
        |name: &str| crate::api::GROUPS.iter().any(|group| group.name == name && cluster.serves(group));
    let served: Vec<_> = [CUSTOM, EXTERNAL, RESOURCE].into_iter().filter(|name| is_served(name)).collect();
    let groups = groups_read(cluster, registered, &served);
    for group in &groups {
        reviews::of_hpa_controller(group, client, report).await;
    }
    let Some(resources) = kubernetes::known_resources(client).await else {
        let fix = "look at the log of kube-apiserver";
        return report.failed("hpas", "the resources of the cluster could not be read", fix);
    };
    let local = match (cluster.config, backends) {
        (Some(config), Some(backends)) => Some(Local::start(config, backends, client).await),
        _ => None,
    };
    let apis = Apis::read(client).await;
    let hpas = Hpas {
        client,
        apis: &apis,
        resources: &resources,
        local: local.as_ref(),
        groups: &groups,
        served: &served,
    };
    hpas.check(report).await;
    if let Some(local) = local {
        local.shutdown().await;
    }
}

/// The groups whose metrics are read: those that the configuration serves or that lead to the Service. Without a
/// configuration also those that the server usually takes over.
fn groups_read(
    cluster: &Cluster<'_>,
    registered: &[Registered],
    served: &[&'static str],
) -> Vec<&'static str> {
    let leads_here = |found: &&Registered| {
        cluster.service.is_some_and(|service| service.is(&found.namespace, &found.service))
    };
    let is_adapter = |found: &&Registered| {
        matches!(found.owner.provider, Some(Provider::MetricsApiserver | Provider::PrometheusAdapter))
    };
    let is_read = |group: &&'static str| {
        let mut of_group = registered.iter().filter(|found| found.group == *group);
        let usual = cluster.config.is_none()
            && (*group != RESOURCE || of_group.clone().any(|found| is_adapter(&found)));
        served.contains(group) || usual || of_group.any(|found| leads_here(&found))
    };
    [CUSTOM, EXTERNAL, RESOURCE].into_iter().filter(is_read).collect()
}
