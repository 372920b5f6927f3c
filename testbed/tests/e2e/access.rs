//! Who may read: through kube-apiserver, and calling our server directly.

use crate::{
    direct::{Answer, BASE, Caller, front_proxy},
    fixture::{EVERYWHERE, Fixture, STEADY, STEADY_NAMESPACE, with_fixture},
};
use serde_json::json;
use std::time::Duration;
use testbed::{User, eventually, pki::Authority};

/// Verdicts are remembered for 10 s; the rest is room for a busy machine.
const VERDICT_GONE: Duration = Duration::from_secs(40);

fn read(namespace: &str, metric: &str) -> String {
    format!("{BASE}/namespaces/{namespace}/{metric}")
}

fn caller(fixture: &Fixture) -> Caller {
    Caller::new(&fixture.server.url(), fixture.server.ca(), None, true)
}

/// What a Role of one metric, bound to one subject, looks like; kubectl applies it.
async fn bind(fixture: &Fixture, namespace: &str, metric: &str, subject: serde_json::Value) {
    let group = "rbac.authorization.k8s.io";
    let metadata = json!({"name": "one-metric", "namespace": namespace});
    let rule = json!({"apiGroups": ["external.metrics.k8s.io"], "resources": [metric], "verbs": ["list"]});
    let items = json!([
        {"apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": metadata, "rules": [rule]},
        {
            "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "one-metric"}, "subjects": [subject],
        },
    ]);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    fixture.cluster.kubectl().run_with_input(&["apply", "-f", "-"], &list).await.unwrap().success().unwrap();
}

async fn kubectl(fixture: &Fixture, args: &[&str]) {
    fixture.cluster.kubectl().run(args).await.unwrap().success().unwrap();
}

#[test]
fn a_user_without_rights_is_refused_by_kube_apiserver_and_let_through_by_a_role_of_that_metric() {
    with_fixture(|fixture| async move {
        kubectl(&fixture, &["create", "namespace", "access-user"]).await;
        let developer = fixture.cluster.kubectl_as(fixture.cluster.kubeconfig(User::Developer));
        let path = read("access-user", EVERYWHERE);
        let refused = developer.run(&["get", "--raw", &path]).await.unwrap();
        assert!(!refused.status.success());
        let expected = format!("User \"developer\" cannot list resource \"{EVERYWHERE}\"");
        assert!(
            refused.stderr.contains("Forbidden") && refused.stderr.contains(&expected),
            "{}",
            refused.stderr
        );
        let subject = json!({"kind": "User", "name": "developer", "apiGroup": "rbac.authorization.k8s.io"});
        bind(&fixture, "access-user", EVERYWHERE, subject).await;
        let allowed = eventually("the binding to count", VERDICT_GONE, || async {
            Ok(Some(developer.run(&["get", "--raw", &path]).await?.success()?))
        });
        assert!(allowed.await.unwrap().contains("\"value\":\"42\""));
        let other = developer.run(&["get", "--raw", &read("access-user", STEADY)]).await.unwrap();
        assert!(other.stderr.contains("Forbidden"), "{}", other.stderr);
    });
}

#[test]
fn a_token_reads_directly_the_one_metric_that_a_role_binding_names() {
    with_fixture(|fixture| async move {
        kubectl(&fixture, &["create", "namespace", "access-token"]).await;
        kubectl(&fixture, &["create", "serviceaccount", "reader", "-n", "access-token"]).await;
        let token = fixture.cluster.request_service_account_token("access-token", "reader").await.unwrap();
        let reader = caller(&fixture).with("authorization", &format!("Bearer {token}"));
        let path = read("access-token", EVERYWHERE);
        let message = reader.get(&path).await.refused(403, "Forbidden");
        assert_eq!(
            message,
            format!(
                "{EVERYWHERE}.external.metrics.k8s.io is forbidden: User \"system:serviceaccount:access-token:reader\" \
                 cannot list resource \"{EVERYWHERE}\" in API group \"external.metrics.k8s.io\" in the namespace \
                 \"access-token\""
            )
        );
        let subject = json!({"kind": "ServiceAccount", "name": "reader", "namespace": "access-token"});
        bind(&fixture, "access-token", EVERYWHERE, subject).await;
        let allowed = eventually("the binding to count", VERDICT_GONE, || async {
            let answer = reader.try_get(&path).await?;
            Ok((answer.code != 403).then_some(answer))
        });
        let answer = allowed.await.unwrap();
        assert_eq!((answer.code, &answer.json()["items"][0]["value"]), (200, &json!("42")), "{answer:?}");
        reader.get(&read("access-token", STEADY)).await.refused(403, "Forbidden");
        reader.get(&read("default", EVERYWHERE)).await.refused(403, "Forbidden");
    });
}

#[test]
fn a_user_of_250_groups_reads_through_kube_apiserver_and_directly() {
    with_fixture(|fixture| async move {
        kubectl(&fixture, &["create", "namespace", "access-groups"]).await;
        let groups: Vec<_> =
            (0..250).map(|group| format!("oidc:department-{group:03}-of-the-company")).collect();
        // The last one, so that none may be lost.
        let subject = json!({"kind": "Group", "name": groups[249], "apiGroup": "rbac.authorization.k8s.io"});
        bind(&fixture, "access-groups", EVERYWHERE, subject).await;
        let path = read("access-groups", EVERYWHERE);

        let as_groups: Vec<_> = groups.iter().map(|group| format!("--as-group={group}")).collect();
        let mut args = vec!["get", "--raw", &path, "--as=employee"];
        args.extend(as_groups.iter().map(String::as_str));
        let allowed = eventually("the binding to count", VERDICT_GONE, || async {
            Ok(Some(fixture.cluster.kubectl().run(&args).await?.success()?))
        });
        assert!(allowed.await.unwrap().contains("\"value\":\"42\""));

        let identity = front_proxy(&fixture.cluster);
        let mut direct = Caller::new(&fixture.server.url(), fixture.server.ca(), Some(&identity), true)
            .with("x-remote-user", "employee");
        for group in &groups {
            direct = direct.with("x-remote-group", group);
        }
        let answer = direct.get(&path).await;
        assert_eq!((answer.code, &answer.json()["items"][0]["value"]), (200, &json!("42")), "{answer:?}");
    });
}

#[test]
fn spoofed_headers_are_refused_unless_the_front_proxy_itself_sends_them() {
    with_fixture(|fixture| async move {
        let spoof = Caller::for_admin;
        let showing =
            |identity| spoof(Caller::new(&fixture.server.url(), fixture.server.ca(), Some(&identity), true));
        let credentials = fixture.cluster.credentials();
        let path = read(STEADY_NAMESPACE, EVERYWHERE);

        let message = spoof(caller(&fixture)).get(&path).await.refused(403, "Forbidden");
        assert!(message.contains("User \"system:anonymous\""), "{message}");

        // The cluster's authority vouches for users, also for one who calls himself front-proxy-client.
        for name in ["developer", "front-proxy-client"] {
            let user = credentials.cluster_ca.client(name, None).unwrap();
            let message = showing(user).get(&path).await.refused(403, "Forbidden");
            assert!(message.contains(&format!("User \"{name}\"")), "{message}");
        }

        let other = Authority::new("testbed-request-header-ca").unwrap();
        let unknown = other.client("front-proxy-client", None).unwrap();
        let other_name = credentials.request_header_ca.client("somebody", None).unwrap();
        let expired = credentials.request_header_ca.expired_client("front-proxy-client", None).unwrap();
        for identity in [unknown, other_name, expired] {
            showing(identity).get(&path).await.refused(401, "Unauthorized");
        }

        let answer = showing(front_proxy(&fixture.cluster)).get(&path).await;
        assert_eq!(answer.code, 200, "{answer:?}");
    });
}

#[test]
fn a_bad_token_and_an_impersonation_are_refused_and_nobody_sees_only_the_probes() {
    with_fixture(|fixture| async move {
        let nobody = caller(&fixture);
        let path = read(STEADY_NAMESPACE, EVERYWHERE);
        for token in ["Bearer nonsense", "Bearer a.b.c"] {
            let bad = nobody.clone().with("authorization", token);
            bad.get(&path).await.refused(401, "Unauthorized");
            bad.get("/version").await.refused(401, "Unauthorized");
        }
        let admin = fixture.cluster.credentials().cluster_ca.client("admin", Some("system:masters")).unwrap();
        let admin = Caller::new(&fixture.server.url(), fixture.server.ca(), Some(&admin), true);
        assert_eq!(admin.get(&path).await.code, 200);
        let acting = admin.clone().with("impersonate-user", "developer").get(&path).await;
        assert!(matches!(acting.code, 400 | 403) && acting.json()["kind"] == "Status", "{acting:?}");

        for probe in ["/healthz", "/livez", "/readyz"] {
            let Answer { code, body, .. } = nobody.get(probe).await;
            assert_eq!((code, &*body), (200, "ok"), "{probe}");
        }
        let message = nobody.get(&path).await.refused(403, "Forbidden");
        assert!(message.contains("User \"system:anonymous\""), "{message}");
        for path in ["/metrics", "/apis", "/openapi/v2", "/readyz/ping"] {
            nobody.get(path).await.refused(403, "Forbidden");
        }
    });
}
