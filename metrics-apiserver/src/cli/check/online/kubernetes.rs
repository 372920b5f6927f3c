//! The cluster: whether it is reached, and what the server's account may do.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::Client;
use prometheus_client::registry::Registry;
use tokio::time::timeout;

use super::raw::{Refusal, TIMEOUT};
use super::report::Report;
use super::reviews::{ACCOUNTS, Account, Right, create, of_right};
use crate::api::{GROUPS, Group};
use crate::config::Config;
use crate::metric::{GroupResource, Resources};
use crate::objects::{self, Objects};
use crate::registration::ServiceName;

/// The cluster that is checked.
pub(super) struct Cluster<'a> {
    pub(super) config: Option<&'a Config>,
    /// The Service that should be behind the `APIService`s.
    pub(super) service: Option<&'a ServiceName>,
    pub(super) client: &'a Client,
    /// Whether everything is looked at, not only what the server needs.
    pub(super) is_whole: bool,
}

impl Cluster<'_> {
    /// Whether the configuration serves this group.
    pub(super) fn serves(&self, group: &Group) -> bool {
        self.config.is_some_and(|config| is_served(config, group))
    }
}

/// Says who the client is; `None` if the cluster is not reached.
pub(super) async fn reached(client: &Client, is_whole: bool, report: &mut Report) -> Option<String> {
    match identity(client).await {
        Ok(user) => {
            let note = if is_whole || user.starts_with(ACCOUNTS) {
                ""
            } else {
                ", which is no ServiceAccount: the rights below are those of this user; run the check in the pod for \
                 those of the server"
            };
            report.ok("kubernetes", &format!("reached as {user}{note}"));
            Some(user)
        }
        Err(error) => {
            let fix =
                "check the address, the credentials, and that NetworkPolicies allow egress to kube-apiserver";
            report.failed("kubernetes", &error.to_string(), fix);
            None
        }
    }
}

/// The account whose rights are reviewed: the one that checks, or for the whole cluster that of the pods behind the
/// Service, if there are any.
pub(super) fn account(user: &str, is_whole: bool, behind: Option<&str>) -> Option<Account> {
    match behind {
        _ if !is_whole => Some(Account::Own),
        Some(account) if account == user => Some(Account::Own),
        Some(account) => Some(Account::Other(account.to_owned())),
        None => None,
    }
}

/// Checks the rights that the server needs.
pub(super) async fn check_rights(cluster: &Cluster<'_>, account: &Account, report: &mut Report) {
    let groups: Vec<&Group> = GROUPS.iter().copied().filter(|group| cluster.serves(group)).collect();
    let mut rights = reviews();
    rights.extend(groups.iter().flat_map(|group| names(group)).map(registration));
    if let Some(config) = cluster.config {
        rights.extend(watched(config, cluster.client, report).await);
    }
    for right in rights {
        of_right(&right, account, cluster.client, report).await;
    }
}

/// Checks that the cluster has the resources of the rules, where the rights of no account are checked.
pub(super) async fn check_resources(config: &Config, client: &Client, report: &mut Report) {
    watched(config, client, report).await;
}

fn is_served(config: &Config, group: &Group) -> bool {
    match group.name {
        "external.metrics.k8s.io" => config.groups.external,
        "custom.metrics.k8s.io" => config.groups.custom,
        _ => config.groups.resource,
    }
}

pub(super) fn names(group: &Group) -> impl Iterator<Item = String> {
    group.versions.iter().map(|version| format!("{}.{}", version.name, group.name))
}

/// Who the client is.
async fn identity(client: &Client) -> Result<String, Refusal> {
    let review = create(client, &SelfSubjectReview::default()).await?;
    let user = review.status.and_then(|status| status.user_info).and_then(|user| user.username);
    Ok(user.unwrap_or_else(|| "an unknown user".to_owned()))
}

/// What every request needs.
fn reviews() -> Vec<Right> {
    let review = |resource: &str, group: &str| Right {
        name: format!("rbac.{resource}"),
        verbs: &["create"],
        group: group.to_owned(),
        resource: resource.to_owned(),
        namespace: "",
        object: String::new(),
        fix: "bind ClusterRole system:auth-delegator to the ServiceAccount (manifests/base/rbac.yaml)"
            .to_owned(),
    };
    vec![
        review("tokenreviews", "authentication.k8s.io"),
        review("subjectaccessreviews", "authorization.k8s.io"),
        Right {
            name: "rbac.extension-apiserver-authentication".to_owned(),
            verbs: &["get", "list", "watch"],
            group: String::new(),
            resource: "configmaps".to_owned(),
            namespace: "kube-system",
            object: "extension-apiserver-authentication".to_owned(),
            fix: "bind Role extension-apiserver-authentication-reader in kube-system to the ServiceAccount \
                  (manifests/base/rbac.yaml)"
                .to_owned(),
        },
    ]
}

/// What the server needs to see whether an `APIService` leads to it.
fn registration(object: String) -> Right {
    Right {
        name: format!("rbac.apiservices.{object}"),
        verbs: &["get"],
        group: "apiregistration.k8s.io".to_owned(),
        resource: "apiservices".to_owned(),
        namespace: "",
        fix: format!(
            "grant `get` on APIService {object} (manifests/base/rbac.yaml, or rbac.yaml of the component)"
        ),
        object,
    }
}

/// The resources whose objects the rules describe.
async fn watched(config: &Config, client: &Client, report: &mut Report) -> Vec<Right> {
    let mut used = BTreeSet::new();
    if config.groups.resource {
        used.extend(["nodes", "pods"].map(|name| (name.to_owned(), String::new())));
    }
    if !config.adapter.custom.is_empty() {
        match known_resources(client).await {
            Some(known) => named(config, &known, &mut used, report),
            None => report.failed(
                "kubernetes.discovery",
                "the resources of the cluster could not be read",
                "look at the log of kube-apiserver",
            ),
        }
    }
    let right = |(resource, group): (String, String)| {
        let full = GroupResource { resource: resource.as_str().into(), group: group.as_str().into() };
        Right {
            name: format!("rbac.{full}"),
            verbs: &["get", "list", "watch"],
            fix: format!("grant get, list and watch on {full} to the ServiceAccount"),
            group,
            resource,
            namespace: "",
            object: String::new(),
        }
    };
    used.into_iter().map(right).collect()
}

/// The resources that rules name, as the cluster calls them. Those that a template names are known with the series.
fn named(config: &Config, known: &Resources, used: &mut BTreeSet<(String, String)>, report: &mut Report) {
    for (index, rule) in config.adapter.custom.iter().enumerate() {
        for wanted in rule.resources.overrides() {
            match known.resolve(&wanted.resource, Some(&wanted.group)) {
                Some(info) => {
                    used.insert((info.resource.resource.to_string(), info.resource.group.to_string()));
                }
                None => report.failed(
                    &format!("rules[{index}].resources.overrides.{}", wanted.label),
                    &format!("the cluster has no resource {:?} in group {:?}", wanted.resource, wanted.group),
                    "correct resource and group, or install what defines it",
                ),
            }
        }
    }
}

/// The resources of the cluster as the server discovers them.
pub(super) async fn known_resources(client: &Client) -> Option<Arc<Resources>> {
    let options = objects::Options::default();
    let objects = Arc::new(Objects::of_cluster(client.clone(), options, &mut Registry::default()));
    let mut changes = objects.changes();
    let running = tokio::spawn(Arc::clone(&objects).run());
    let known = timeout(TIMEOUT, changes.wait_for(|known| known.generation > 0)).await;
    let known = known.ok()?.ok().map(|known| Arc::clone(&known.resources));
    running.abort();
    known
}
