//! The `APIService`s: where they lead, whose they are, and whether they are available.

use std::collections::HashMap;

use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::{APIService, APIServiceCondition};
use kube::Api;

use super::kubernetes::{Cluster, names};
use super::raw::within;
use super::report::{Hint, Report};
use super::services::{Backing, behind};
use crate::api::{GROUPS, Group};
use crate::registration::{Finding, Owner};

/// The port of a Service unless the `APIService` names another one.
const PORT: i32 = 443;

const UNAVAILABLE: Hint = Hint {
    fix: "check that a pod behind the Service is ready, and that kube-apiserver reaches its port",
    page: "docs/operations.md#the-apiservice-is-not-available",
};

const NO_SERVICE: Hint = Hint {
    fix: "install the server that the Service belonged to, or delete this APIService",
    page: "docs/operations.md#the-apiservice-is-not-available",
};
// What to do about a serving certificate.
pub(super) const RENEW: &str = "renew the certificate (certs/README.md; with the chart, upgrade the release)";
pub(super) const WITH_NAME: &str = "issue a certificate with this name as subjectAltName";
pub(super) const SAME_CA: &str =
    "set caBundle to the CA of the serving certificate; if a controller sets it, correct that";
const UNTRUSTED: Hint = Hint { fix: SAME_CA, page: CERTIFICATES };
const EXPIRED: Hint = Hint { fix: RENEW, page: CERTIFICATES };
const MISNAMED: Hint = Hint { fix: WITH_NAME, page: CERTIFICATES };
const CERTIFICATES: &str = "docs/operations.md#certificates";

/// An `APIService` that leads to a Service.
pub(super) struct Registered {
    /// The object's name, such as `v1beta1.external.metrics.k8s.io`.
    pub(super) name: String,
    pub(super) group: &'static str,
    pub(super) object: APIService,
    pub(super) namespace: String,
    pub(super) service: String,
    pub(super) owner: Owner,
    pub(super) backing: Backing,
}

/// Checks the objects of each group: those that the configuration serves, or all for a check of the cluster.
pub(super) async fn check(cluster: &Cluster<'_>, report: &mut Report) -> Vec<Registered> {
    let mut registered = Vec::new();
    let mut known = HashMap::new();
    for group in GROUPS {
        if cluster.serves(group) || cluster.is_whole {
            of_group(cluster, group, &mut known, &mut registered, report).await;
        }
    }
    if let (Some(service), None, true) = (cluster.service, cluster.config, cluster.is_whole)
        && !registered.iter().any(|found| service.is(&found.namespace, &found.service))
    {
        let fix = "correct --service, or apply the manifests again";
        report.failed("apiservices", &format!("none leads to {service}"), fix);
    }
    registered
}

type Known = HashMap<(String, String, i32), Backing>;

/// The `APIService` of each version. Not every version has to exist.
async fn of_group(
    cluster: &Cluster<'_>,
    group: &'static Group,
    known: &mut Known,
    registered: &mut Vec<Registered>,
    report: &mut Report,
) {
    let api = Api::<APIService>::all(cluster.client.clone());
    let mut missing = Vec::new();
    let mut all = 0;
    for object in names(group) {
        all += 1;
        let name = format!("apiservices.{object}");
        match within(api.get_opt(&object)).await {
            Ok(Some(found)) => {
                let found = identified(cluster, group, object, found, known).await;
                of_object(cluster, &name, group, &found, report);
                registered.extend(Some(found).filter(|found| !found.service.is_empty()));
            }
            Ok(None) => missing.push(name),
            Err(refusal) if cluster.is_whole && refusal.is_forbidden() => report.skipped_with(
                &name,
                &refusal.message,
                "run the check as an administrator, or grant `get` on APIServices",
            ),
            Err(refusal) => report.failed(
                &name,
                &refusal.to_string(),
                "grant `get` on it, or run the check as an administrator",
            ),
        }
    }
    let is_unregistered = missing.len() == all;
    for name in missing {
        if is_unregistered && cluster.serves(group) {
            report.failed(&name, "it does not exist", "apply manifests/base, or the component of the API");
        } else if is_unregistered {
            report.skipped(&name, "it does not exist");
        } else {
            report.skipped(&name, "it does not exist; another version of the group does");
        }
    }
}

/// The object with what is behind it, as far as that is wanted.
async fn identified(
    cluster: &Cluster<'_>,
    group: &'static Group,
    name: String,
    object: APIService,
    known: &mut Known,
) -> Registered {
    let target = object.spec.as_ref().and_then(|spec| spec.service.clone()).unwrap_or_default();
    let (namespace, service) = (target.namespace.unwrap_or_default(), target.name.unwrap_or_default());
    let mut backing = Backing::default();
    if cluster.is_whole && !service.is_empty() {
        let key = (namespace.clone(), service.clone(), target.port.unwrap_or(PORT));
        backing = match known.get(&key) {
            Some(known) => known.clone(),
            None => behind(cluster.client, &key.0, &key.1, key.2).await,
        };
        known.entry(key).or_insert_with(|| backing.clone());
    }
    let owner = Owner::of(&object, &backing.images);
    Registered { name, group: group.name, object, namespace, service, owner, backing }
}

fn of_object(
    cluster: &Cluster<'_>,
    name: &str,
    group: &'static Group,
    found: &Registered,
    report: &mut Report,
) {
    let Registered { object, namespace, service: target, .. } = found;
    let mut leads = match target.as_str() {
        "" => "leads to kube-apiserver itself".to_owned(),
        target => format!("leads to {namespace}/{target}"),
    };
    if cluster.is_whole && !target.is_empty() {
        leads = format!("{leads} ({})", found.owner);
    }
    // The certificate is looked at elsewhere; kube-apiserver's condition says whether it is accepted.
    let service = cluster.service.filter(|_| cluster.serves(group));
    let problem =
        service.and_then(|service| Finding::of(Some(object), service, &[]).problem(&found.name, service));
    if let Some(problem) = problem {
        let fix = "uninstall the other provider, or disable its APIService, and apply the manifests again";
        let whose = if cluster.is_whole { format!("; it belongs to {}", found.owner) } else { String::new() };
        return report.failed(name, &format!("{problem}{whose}"), fix);
    }
    let conditions = object.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut available = conditions.filter(|condition| condition.type_ == "Available");
    let unknown = "kube-apiserver has not tried it yet".to_owned();
    match available.next() {
        Some(APIServiceCondition { status, .. }) if status == "True" => {
            report.ok(name, &format!("{leads}, available"));
        }
        condition => {
            let why = condition.map_or(unknown, |condition| {
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                format!("{}: {}", text(&condition.reason), text(&condition.message))
            });
            let hint = hint(condition);
            report.explained(name, &format!("{leads}, not available: {why}"), hint);
        }
    }
}

/// What to do about an `APIService` that is not available, by what kube-apiserver says.
fn hint(condition: Option<&APIServiceCondition>) -> Hint {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (reason, message) =
        condition.map(|condition| (text(&condition.reason), text(&condition.message))).unwrap_or_default();
    match reason.as_str() {
        "ServiceNotFound" => NO_SERVICE,
        _ if !message.contains("x509: ") => UNAVAILABLE,
        _ if message.contains("expired or is not yet valid") => EXPIRED,
        _ if message.contains("valid for ") || message.contains("Common Name") => MISNAMED,
        _ => UNTRUSTED,
    }
}
