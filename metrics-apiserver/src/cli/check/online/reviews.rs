//! Whether an account has a right, by access reviews.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::raw::{Refusal, within};
use super::report::Report;

/// How kube-apiserver begins the user names of `ServiceAccount`s.
pub(super) const ACCOUNTS: &str = "system:serviceaccount:";
/// What lets a user ask for the rights of another account.
const REVIEW: &str = "run the check as an administrator, or in the server's pod";
/// The accounts that HPAs are read with: with `--use-service-account-credentials`, which kubeadm and most others set,
/// and without.
const CONTROLLERS: [&str; 2] =
    ["system:serviceaccount:kube-system:horizontal-pod-autoscaler", "system:kube-controller-manager"];

/// Something that an account does.
#[derive(Debug, Clone)]
pub(super) struct Right {
    pub(super) name: String,
    pub(super) verbs: &'static [&'static str],
    pub(super) group: String,
    pub(super) resource: String,
    pub(super) namespace: &'static str,
    pub(super) object: String,
    pub(super) fix: String,
}

/// Whose rights are reviewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Account {
    /// The one that asks.
    Own,
    /// Another one.
    Other(String),
}

impl Account {
    /// What may be said before "may": nothing of the account that asks.
    fn subject(&self) -> String {
        match self {
            Self::Own => String::new(),
            Self::Other(name) => format!("{name} "),
        }
    }
}

/// Has kube-apiserver fill in a review.
pub(super) async fn create<K>(client: &Client, object: &K) -> Result<K, Refusal>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let api = Api::<K>::all(client.clone());
    within(api.create(&PostParams::default(), object)).await
}

/// Checks one right.
pub(super) async fn of_right(right: &Right, account: &Account, client: &Client, report: &mut Report) {
    match refused(right, account, client).await {
        Ok(refused) if refused.is_empty() => {
            report.ok(&right.name, &format!("{}may {}", account.subject(), right.verbs.join(", ")));
        }
        Ok(refused) => {
            let detail = format!("{}may not {}", account.subject(), refused.join(", "));
            report.failed(&right.name, &detail, &right.fix);
        }
        Err(refusal) if refusal.is_forbidden() => report.skipped_with(&right.name, &refusal.message, REVIEW),
        Err(refusal) => {
            report.failed(&right.name, &refusal.to_string(), "check that kube-apiserver answers reviews");
        }
    }
}

/// Checks that the HPA controller may read an API of metrics.
pub(super) async fn of_hpa_controller(group: &'static str, client: &Client, report: &mut Report) {
    let verbs: &[&str] = if group == "custom.metrics.k8s.io" { &["get", "list"] } else { &["list"] };
    let right = Right {
        name: format!("rbac.hpa-controller.{group}"),
        verbs,
        group: group.to_owned(),
        resource: if group == "metrics.k8s.io" { "pods" } else { "*" }.to_owned(),
        namespace: "",
        object: String::new(),
        fix: format!(
            "bind a ClusterRole with get and list on all resources of {group} to the ServiceAccount \
             horizontal-pod-autoscaler in kube-system (ClusterRole system:controller:horizontal-pod-autoscaler has it)"
        ),
    };
    let mut first = None;
    for user in CONTROLLERS {
        let account = Account::Other(user.to_owned());
        match refused(&right, &account, client).await {
            Ok(refused) if refused.is_empty() => return of_right(&right, &account, client, report).await,
            _ => first = first.or(Some(account)),
        }
    }
    if let Some(account) = first {
        of_right(&right, &account, client, report).await;
    }
}

/// The verbs that the account may not use.
async fn refused(right: &Right, account: &Account, client: &Client) -> Result<Vec<&'static str>, Refusal> {
    let mut refused = Vec::new();
    for verb in right.verbs {
        if !is_allowed(attributes(right, verb), account, client).await? {
            refused.push(*verb);
        }
    }
    Ok(refused)
}

fn attributes(right: &Right, verb: &str) -> ResourceAttributes {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    ResourceAttributes {
        group: text(&right.group),
        resource: text(&right.resource),
        namespace: text(right.namespace),
        name: text(&right.object),
        verb: text(verb),
        ..ResourceAttributes::default()
    }
}

async fn is_allowed(
    attributes: ResourceAttributes,
    account: &Account,
    client: &Client,
) -> Result<bool, Refusal> {
    let resource_attributes = Some(attributes);
    let status = match account {
        Account::Own => {
            let spec =
                SelfSubjectAccessReviewSpec { resource_attributes, ..SelfSubjectAccessReviewSpec::default() };
            let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
            create(client, &review).await?.status
        }
        Account::Other(user) => {
            let spec = SubjectAccessReviewSpec {
                resource_attributes,
                user: Some(user.clone()),
                groups: Some(groups(user)),
                ..SubjectAccessReviewSpec::default()
            };
            let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
            create(client, &review).await?.status
        }
    };
    Ok(status.is_some_and(|status| status.allowed))
}

/// The groups that kube-apiserver gives to a user of this name.
fn groups(user: &str) -> Vec<String> {
    let mut groups = vec!["system:authenticated".to_owned()];
    if let Some((namespace, _)) = user.strip_prefix(ACCOUNTS).and_then(|rest| rest.split_once(':')) {
        groups.push("system:serviceaccounts".to_owned());
        groups.push(format!("system:serviceaccounts:{namespace}"));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_account_is_in_the_groups_that_kube_apiserver_gives_it() {
        let expected =
            ["system:authenticated", "system:serviceaccounts", "system:serviceaccounts:kube-system"];
        assert_eq!(groups(CONTROLLERS[0]), expected);
        assert_eq!(groups(CONTROLLERS[1]), ["system:authenticated"]);
    }
}
