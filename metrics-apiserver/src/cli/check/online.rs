//! `check --online`: asks the backends and the cluster that a configuration needs, and says what to fix.

mod backends;
mod kubernetes;
mod report;
mod rules;

use std::io::{self, Write};

use kube::Client;

use crate::backend::Backends;
use crate::causes::causes;
use crate::config::Config;
use crate::metric::{Namespace, Selector};
use crate::registration::ServiceName;

pub(super) use report::Format;

use report::Report;

/// What is checked.
pub(super) struct Subject<'a> {
    pub(super) config: &'a Config,
    /// The namespace of sample requests.
    pub(super) namespace: &'a Namespace,
    /// The label selector of sample requests.
    pub(super) selector: &'a Selector,
    /// The Service that should be behind the `APIService`s.
    pub(super) service: Option<&'a ServiceName>,
    /// The cluster; the error if there should be one; none outside a cluster without a kubeconfig.
    pub(super) client: Option<Result<Client, String>>,
}

/// Writes that a configuration is invalid, as the only check.
pub(super) fn invalid(problems: &str, format: Format, out: &mut dyn Write) -> io::Result<()> {
    let mut report = Report::default();
    report.failed("configuration", problems, "correct the file");
    report.write(format, out)
}

/// Checks everything, and writes the report; whether nothing failed.
pub(super) async fn run(subject: Subject<'_>, format: Format, out: &mut dyn Write) -> io::Result<bool> {
    let Subject { config, namespace, selector, service, client } = subject;
    let mut report = Report::default();
    report.ok("configuration", "no problems");
    match Backends::build(config.backends.clone()) {
        Ok(backends) => {
            let working = backends::check(config, &backends, &mut report).await;
            let request = rules::Request { namespace, selector };
            rules::check(config, &backends, &working, &request, &mut report).await;
            backends.shutdown().await;
        }
        Err(error) => {
            report.failed(
                "backends",
                &causes(&error).to_string(),
                "correct the files that the backend names",
            );
        }
    }
    match client {
        Some(Ok(client)) => kubernetes::check(config, service, &client, &mut report).await,
        Some(Err(error)) => report.failed("kubernetes", &error, "correct --kubeconfig"),
        None => report.skipped("kubernetes", "not in a cluster, and no --kubeconfig"),
    }
    report.write(format, out)?;
    Ok(!report.has_failures())
}
