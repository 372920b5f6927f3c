//! The cluster: what the account may do, and whose the `APIService`s are.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::{APIService, APIServiceCondition};
use kube::api::PostParams;
use kube::{Api, Client};
use prometheus_client::registry::Registry;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::report::Report;
use crate::api::{GROUPS, Group};
use crate::causes::causes;
use crate::config::Config;
use crate::metric::{GroupResource, Resources};
use crate::objects::{self, Objects};
use crate::registration::{Finding, ServiceName};

/// One request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The users that kube-apiserver makes of ServiceAccounts.
const ACCOUNTS: &str = "system:serviceaccount:";

/// Something that the server does.
struct Right {
    name: String,
    verbs: &'static [&'static str],
    group: String,
    resource: String,
    namespace: &'static str,
    object: String,
    fix: String,
}

/// Checks the cluster of this client.
pub(super) async fn check(
    config: &Config,
    service: Option<&ServiceName>,
    client: &Client,
    report: &mut Report,
) {
    match identity(client).await {
        Ok(user) if user.starts_with(ACCOUNTS) => report.ok("kubernetes", &format!("reached as {user}")),
        Ok(user) => report.ok(
            "kubernetes",
            &format!(
                "reached as {user}, which is no ServiceAccount: the rights below are those of this user; run the check \
                 in the pod for those of the server"
            ),
        ),
        Err(error) => {
            let fix = "check the address, the credentials, and that NetworkPolicies allow egress to kube-apiserver";
            return report.failed("kubernetes", &error, fix);
        }
    }
    let groups: Vec<&Group> = GROUPS.iter().copied().filter(|group| is_served(config, group)).collect();
    let mut rights = reviews();
    rights.extend(groups.iter().flat_map(|group| names(group)).map(registration));
    rights.extend(watched(config, client, report).await);
    for right in rights {
        of_right(&right, client, report).await;
    }
    for group in groups {
        of_group(group, service, client, report).await;
    }
}

fn is_served(config: &Config, group: &Group) -> bool {
    match group.name {
        "external.metrics.k8s.io" => config.groups.external,
        "custom.metrics.k8s.io" => config.groups.custom,
        _ => config.groups.resource,
    }
}

fn names(group: &Group) -> impl Iterator<Item = String> {
    group.versions.iter().map(|version| format!("{}.{}", version.name, group.name))
}

/// Who the client is.
async fn identity(client: &Client) -> Result<String, String> {
    let review = create(client, &SelfSubjectReview::default()).await?;
    let user = review.status.and_then(|status| status.user_info).and_then(|user| user.username);
    Ok(user.unwrap_or_else(|| "an unknown user".to_owned()))
}

async fn create<K>(client: &Client, object: &K) -> Result<K, String>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let api = Api::<K>::all(client.clone());
    match timeout(TIMEOUT, api.create(&PostParams::default(), object)).await {
        Ok(created) => created.map_err(|error| causes(&error).to_string()),
        Err(_) => Err(format!("no answer within {TIMEOUT:?}")),
    }
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
async fn known_resources(client: &Client) -> Option<Arc<Resources>> {
    let options = objects::Options::default();
    let objects = Arc::new(Objects::of_cluster(client.clone(), options, &mut Registry::default()));
    let mut changes = objects.changes();
    let running = tokio::spawn(Arc::clone(&objects).run());
    let known = timeout(TIMEOUT, changes.wait_for(|known| known.generation > 0)).await;
    let known = known.ok()?.ok().map(|known| Arc::clone(&known.resources));
    running.abort();
    known
}

async fn of_right(right: &Right, client: &Client, report: &mut Report) {
    let mut refused = Vec::new();
    for verb in right.verbs {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let attributes = ResourceAttributes {
            group: text(&right.group),
            resource: text(&right.resource),
            namespace: text(right.namespace),
            name: text(&right.object),
            verb: text(verb),
            ..ResourceAttributes::default()
        };
        let spec = SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        match create(client, &review).await {
            Ok(answer) if answer.status.as_ref().is_some_and(|status| status.allowed) => {}
            Ok(_) => refused.push(*verb),
            Err(error) => {
                return report.failed(&right.name, &error, "check that kube-apiserver answers reviews");
            }
        }
    }
    match refused[..] {
        [] => report.ok(&right.name, &format!("may {}", right.verbs.join(", "))),
        _ => report.failed(&right.name, &format!("may not {}", refused.join(", ")), &right.fix),
    }
}

/// The `APIService` of each version. Not every version has to exist.
async fn of_group(group: &Group, service: Option<&ServiceName>, client: &Client, report: &mut Report) {
    let api = Api::<APIService>::all(client.clone());
    let mut missing = Vec::new();
    let all = group.versions.len();
    for object in names(group) {
        let name = format!("apiservices.{object}");
        match timeout(TIMEOUT, api.get_opt(&object)).await {
            Ok(Ok(Some(found))) => of_api_service(&name, &object, &found, service, report),
            Ok(Ok(None)) => missing.push(name),
            Ok(Err(error)) => {
                let error = causes(&error).to_string();
                report.failed(&name, &error, "grant `get` on it, or run the check as an administrator");
            }
            Err(_) => report.failed(&name, "no answer in time", "check that kube-apiserver answers"),
        }
    }
    let is_unregistered = missing.len() == all;
    for name in missing {
        if is_unregistered {
            report.failed(&name, "it does not exist", "apply manifests/base, or the component of the API");
        } else {
            report.skipped(&name, "it does not exist; another version of the group does");
        }
    }
}

fn of_api_service(
    name: &str,
    object: &str,
    found: &APIService,
    service: Option<&ServiceName>,
    report: &mut Report,
) {
    let target = found.spec.as_ref().and_then(|spec| spec.service.as_ref());
    let owner = target.map_or_else(
        || "kube-apiserver itself".to_owned(),
        |target| {
            let [namespace, name] =
                [&target.namespace, &target.name].map(|text| text.as_deref().unwrap_or_default());
            format!("{namespace}/{name}")
        },
    );
    // The certificate is not known here; kube-apiserver's condition says whether it is accepted.
    let problem = service.and_then(|service| Finding::of(Some(found), service, &[]).problem(object, service));
    if let Some(problem) = problem {
        let fix = "uninstall the other provider, or disable its APIService, and apply the manifests again";
        return report.failed(name, &problem, fix);
    }
    let conditions = found.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut available = conditions.filter(|condition| condition.type_ == "Available");
    let unknown = "kube-apiserver has not tried it yet".to_owned();
    match available.next() {
        Some(APIServiceCondition { status, .. }) if status == "True" => {
            report.ok(name, &format!("leads to {owner}, available"));
        }
        condition => {
            let why = condition.map_or(unknown, |condition| {
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                format!("{}: {}", text(&condition.reason), text(&condition.message))
            });
            let fix = "see docs/operations.md, \"The APIService is not available\"";
            report.failed(name, &format!("leads to {owner}, not available: {why}"), fix);
        }
    }
}
