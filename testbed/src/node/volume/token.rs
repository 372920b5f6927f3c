//! ServiceAccount tokens for pods: requested from kube-apiserver, and again long before they expire.

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    core::v1::{Pod, ServiceAccount},
};
use kube::{Api, ResourceExt, api::PostParams};

/// kubelet's rule: a token is replaced when this much of its life is over, or it is a day old.
const LIFE_PERCENT: i64 = 80;
const AGE_MAX: SignedDuration = SignedDuration::from_hours(24);

/// A token that a volume has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::node) struct TokenPlan {
    pub(in crate::node) path: String,
    /// For whom it is; kube-apiserver if absent.
    pub(in crate::node) audience: Option<String>,
    pub(in crate::node) seconds: i64,
    pub(in crate::node) mode: u32,
    /// The only user that may read it, if all containers run as that user.
    pub(in crate::node) owner: Option<u32>,
}

/// A token, and when to request the next one.
#[derive(Clone, Debug)]
pub(in crate::node) struct Token {
    pub(in crate::node) text: String,
    pub(in crate::node) refresh: Timestamp,
}

impl TokenPlan {
    /// The user that all containers run as by their security contexts.
    pub(super) fn owner(pod: &Pod) -> Option<u32> {
        let spec = pod.spec.as_ref()?;
        let of_pod = spec.security_context.as_ref().and_then(|it| it.run_as_user);
        let mut users =
            spec.containers.iter().chain(spec.init_containers.iter().flatten()).map(|container| {
                container.security_context.as_ref().and_then(|it| it.run_as_user).or(of_pod)
            });
        let first = users.next()??;
        users.all(|user| user == Some(first)).then_some(())?;
        u32::try_from(first).ok()
    }

    /// Requests a token that is good as long as the pod exists.
    pub(in crate::node) async fn request(&self, client: &kube::Client, pod: &Pod) -> Result<Token> {
        let namespace = pod.namespace().unwrap_or_default();
        let account =
            pod.spec.as_ref().and_then(|it| it.service_account_name.as_deref()).unwrap_or("default");
        let bound = BoundObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
        };
        let spec = TokenRequestSpec {
            audiences: self.audience.iter().cloned().collect(),
            expiration_seconds: Some(self.seconds),
            bound_object_ref: Some(bound),
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let answer = accounts.create_token_request(account, &PostParams::default(), &request).await;
        let answer =
            answer.with_context(|| format!("requesting a token of ServiceAccount {namespace}/{account}"))?;
        let status = answer.status.context("kube-apiserver answered without a token")?;
        let refresh = refresh(Timestamp::now(), status.expiration_timestamp.0);
        Ok(Token { text: status.token, refresh })
    }
}

/// When to replace a token that was issued now.
fn refresh(now: Timestamp, expires: Timestamp) -> Timestamp {
    let life = expires.duration_since(now);
    let wait = SignedDuration::from_secs(life.as_secs().max(0) / 100 * LIFE_PERCENT);
    now + wait.min(AGE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_replaced_at_80_percent_of_its_life_and_after_a_day_at_the_latest() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (life, expected) in [("PT1000S", "PT800S"), ("PT0S", "PT0S"), ("PT8760H", "PT24H")] {
            let life: SignedDuration = life.parse().unwrap();
            let expected: SignedDuration = expected.parse().unwrap();
            assert_eq!(refresh(now, now + life), now + expected, "{life:?}");
        }
    }
}
