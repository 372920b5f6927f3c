//! Whether the cluster's `APIService`s lead to this server.
//!
//! A cluster has one `APIService` for each group and version. Another provider that is installed, or a controller that
//! asserts its own `service` or `caBundle` again, takes the API over, and nothing in this server fails: it just gets no
//! reads any more. So the objects are read every half minute, by name.

mod finding;
mod metrics;
mod options;
mod owner;
mod service;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::{Api, Client};
use prometheus_client::registry::Registry;
use tokio::time::{sleep, timeout};

use crate::api::{GROUPS, Group};
use crate::catalog::ServedCatalog;
use crate::readiness::Readiness;
use crate::tls::Certificates;

pub use finding::Finding;
pub use options::Options;
pub use owner::{Owner, Provider};
pub use service::{ServiceName, ServiceNameError};

use metrics::Registered;

/// With [`TIMEOUT`], a change is reported within a minute. Five small objects, twice a minute, cost kube-apiserver
/// nothing.
const INTERVAL: Duration = Duration::from_secs(30);
/// One read of one object.
const TIMEOUT: Duration = Duration::from_secs(10);
const _: () = assert!(INTERVAL.as_secs() + TIMEOUT.as_secs() < 60);

/// Follows the `APIService`s of the groups that are served.
#[derive(Debug)]
pub struct Registration {
    service: ServiceName,
    catalog: Arc<ServedCatalog>,
    certificates: Arc<Certificates>,
    readiness: Readiness,
    registered: Arc<Mutex<Registered>>,
    /// What was logged last and still holds.
    logged: Mutex<BTreeSet<String>>,
}

/// What the room needs of others.
#[derive(Debug)]
pub struct Parts {
    /// Says which groups are served.
    pub catalog: Arc<ServedCatalog>,
    /// What `caBundle` must verify.
    pub certificates: Arc<Certificates>,
    /// Shows the state, and never fails because of it.
    pub readiness: Readiness,
}

impl Registration {
    /// Registers the metric; `None` if no Service is named, so that nothing can be compared.
    pub fn new(options: &Options, parts: Parts, registry: &mut Registry) -> Option<Self> {
        let registered = Arc::<Mutex<Registered>>::default();
        metrics::register(registry, Arc::clone(&registered));
        let Parts { catalog, certificates, readiness } = parts;
        let service = options.service.clone()?;
        Some(Self { service, catalog, certificates, readiness, registered, logged: Mutex::default() })
    }

    /// Reads the objects at an interval, until dropped.
    pub async fn run(self, client: Client) {
        let api = Api::<APIService>::all(client);
        loop {
            self.look(&api).await;
            sleep(INTERVAL).await;
        }
    }

    /// Reads the objects once, and reports what changed.
    async fn look(&self, api: &Api<APIService>) {
        let catalog = self.catalog.current();
        let groups: Vec<_> = GROUPS.iter().filter(|group| (group.metrics)(&catalog).is_some()).collect();
        let found = join_all(groups.iter().map(|group| self.findings(api, group))).await;
        let (mut problems, mut lost) = (BTreeSet::new(), Vec::new());
        let mut registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        registered.retain(|name, _| groups.iter().any(|group| group.name == *name));
        for (group, findings) in groups.iter().zip(found) {
            let is_ours = is_registered(&findings.iter().map(|(_, finding)| finding).collect::<Vec<_>>());
            // A group that cannot be read now stays as it was.
            if let Some(is_ours) = is_ours {
                registered.insert(group.name, is_ours);
            }
            if registered.get(group.name) == Some(&false) {
                lost.push(group.name);
            }
            let is_missing_alright = is_ours == Some(true);
            let told =
                findings.iter().filter(|(_, finding)| !(is_missing_alright && *finding == Finding::Missing));
            problems.extend(told.filter_map(|(name, finding)| finding.problem(name, &self.service)));
        }
        drop(registered);
        let note = if lost.is_empty() {
            None
        } else {
            Some(format!("the registration of {} does not lead to this server; see the log", lost.join(", ")))
        };
        self.readiness.note_registration(note.as_deref().unwrap_or("no problem known"));
        self.log(problems);
    }

    /// What the `APIService` of each version says.
    async fn findings(&self, api: &Api<APIService>, group: &Group) -> Vec<(String, Finding)> {
        let chain = self.certificates.chain(&self.service.host());
        let of_version = group.versions.iter().map(async |version| {
            let name = format!("{}.{}", version.name, group.name);
            let finding = match timeout(TIMEOUT, api.get_opt(&name)).await {
                Ok(Ok(object)) => Finding::of(object.as_ref(), &self.service, &chain),
                Ok(Err(error)) => Finding::unreadable(&error),
                Err(_) => Finding::Unreadable("kube-apiserver did not answer in time".to_owned()),
            };
            (name, finding)
        });
        join_all(of_version).await
    }

    /// Logs each problem when it appears, and that there is none any more.
    fn log(&self, problems: BTreeSet<String>) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        for problem in problems.difference(&logged) {
            tracing::warn!("{problem}");
        }
        if problems.is_empty() && !logged.is_empty() {
            tracing::info!(service = %self.service, "the APIServices of the groups served lead to this server again");
        }
        *logged = problems;
    }
}

/// Whether the versions of a group lead to this server; `None` if that is not known of one.
///
/// Not every version has to exist: kube-apiserver 1.37 is the first to read `metrics.k8s.io/v1`.
fn is_registered(findings: &[&Finding]) -> Option<bool> {
    let has = |wanted: fn(&Finding) -> bool| findings.iter().any(|finding| wanted(finding));
    if has(|finding| matches!(finding, Finding::Foreign { .. } | Finding::ForeignCa)) {
        Some(false)
    } else if has(|finding| matches!(finding, Finding::Unreadable(_))) {
        None
    } else {
        Some(has(|finding| *finding == Finding::Ours))
    }
}
