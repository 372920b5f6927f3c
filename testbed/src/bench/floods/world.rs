//! What the attackers read, who they are, and what they may do.

use crate::{Cluster, bench::connection::Target, bench::world};
use anyhow::Result;
use serde_json::json;
use std::{fmt::Write as _, sync::Arc};

/// The namespace whose metrics the attackers may read.
const NAMESPACE: &str = "flood";
/// Series of the metric with a large answer.
const LARGE: usize = 8_000;
/// Values of a long selector: about 4 KB.
const VALUES: usize = 270;

/// Rules beside the usual ones: a large answer, one for long selectors, and one that Prometheus cannot compute.
const RULES: &str = "\
- name: flood_large
  query: last_over_time(flood_large[2h])
  result: items
- name: flood_narrow
  query: sum(last_over_time(flood_narrow[2h]))
- name: flood_failing
  query: flood_narrow / on (namespace) flood_narrow
";

/// The usual configuration with the attackers' rules.
pub(super) fn configuration(usual: &world::Configuration<'_>) -> String {
    usual.text() + RULES
}

/// The usual series and the attackers'.
pub(super) fn samples() -> String {
    let usual = world::samples();
    let mut text = usual.trim_end_matches("# EOF\n").to_owned();
    let now = jiff::Timestamp::now().as_second();
    text.push_str("# TYPE flood_large gauge\n");
    for pod in 0..LARGE {
        let labels = format!(
            "namespace=\"{NAMESPACE}\",pod=\"consumer-7d9c5b8f6d-{pod:05}\",container=\"consumer\",\
             instance=\"10.0.{}.{}:8080\",job=\"kubernetes-pods\",node=\"node-{}.example.com\",\
             queue=\"orders-{pod}\",team=\"checkout\"",
            pod / 250,
            pod % 250,
            pod % 100
        );
        let _ = writeln!(text, "flood_large{{{labels}}} {pod} {now}");
    }
    text.push_str("# TYPE flood_narrow gauge\n");
    for app in 0..100 {
        let _ = writeln!(text, "flood_narrow{{namespace=\"{NAMESPACE}\",app=\"app-{app}\"}} {app} {now}");
    }
    text + "# EOF\n"
}

/// Attackers.
#[derive(Debug)]
pub(super) struct World {
    /// Clients without a certificate: probes, tokens, and those who say nothing.
    pub(super) unknown: Arc<Target>,
    /// Readers of the namespace's metrics, by certificate.
    pub(super) readers: Vec<Arc<Target>>,
    /// Users without rights, by certificate.
    pub(super) denied: Vec<Arc<Target>>,
    /// Tokens of ServiceAccounts without rights.
    pub(super) tokens: Vec<String>,
}

impl World {
    /// Makes the attackers, with their rights.
    pub(super) async fn new(cluster: &Cluster, ca: &str, port: u16) -> Result<Self> {
        let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
            {
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                "metadata": {"name": "reader", "namespace": NAMESPACE},
                "rules": [{
                    "apiGroups": ["external.metrics.k8s.io"], "resources": ["*"], "verbs": ["get", "list"],
                }],
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": "readers", "namespace": NAMESPACE},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
                "subjects": [
                    {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "flood:readers"},
                ],
            },
        ]});
        let kubectl = cluster.kubectl();
        kubectl.run_with_input(&["apply", "-f", "-"], &objects.to_string()).await?.success()?;
        let mut tokens = Vec::new();
        for name in ["holder", "inventor"] {
            kubectl.run(&["create", "serviceaccount", name, "-n", NAMESPACE]).await?.success()?;
            tokens.push(cluster.request_service_account_token(NAMESPACE, name).await?);
        }
        let dir = cluster.dir().subdir("flood")?;
        let users = |name: &str, group: Option<&str>, number: usize| {
            let user = |index| {
                let user = format!("flood:{name}-{index}");
                let identity = cluster.credentials().cluster_ca.client(&user, group)?;
                let identity = identity.write(&dir, &format!("{name}-{index}"))?;
                Ok(Arc::new(Target::new(&identity, ca, port)?))
            };
            (0..number).map(user).collect::<Result<Vec<_>>>()
        };
        Ok(Self {
            unknown: Arc::new(Target::without_certificate(ca, port)?),
            readers: users("reader", Some("flood:readers"), 8)?,
            denied: users("denied", None, 3)?,
            tokens,
        })
    }
}

/// A request by whoever the connection's certificate names.
pub(super) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n").into_bytes()
}

/// A request with a token.
pub(super) fn get_with_token(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n").into_bytes()
}

/// A read of one of the attackers' metrics.
pub(super) fn read(metric: &str, selector: &str) -> Vec<u8> {
    get(&format!("{}/namespaces/{NAMESPACE}/{metric}?labelSelector={selector}", path()))
}

fn path() -> &'static str {
    "/apis/external.metrics.k8s.io/v1beta1"
}

/// A path that is asked for once, of a resource that does not exist.
pub(super) fn invented(number: usize) -> String {
    format!("{}/namespaces/invented-{number}/metric-{number}", path())
}

/// A selector of about 4 KB that is asked for once.
pub(super) fn long_selector(number: usize) -> String {
    let mut selector = format!("app+in+(app-{}", number % 100);
    for value in 0..VALUES {
        let _ = write!(selector, ",other-{number}-{value}");
    }
    selector + ")"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_selector_has_four_kilobytes_and_is_asked_for_once() {
        let (one, other) = (long_selector(39_999), long_selector(0));
        assert!((3_000..5_000).contains(&one.len()), "{}", one.len());
        assert_ne!(one, other);
        assert!(samples().ends_with("} 99 ") || samples().ends_with("# EOF\n"));
        assert_eq!(samples().matches("# EOF").count(), 1);
    }
}
