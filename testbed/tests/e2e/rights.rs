//! The rights that `manifests/` give: the server runs on them alone, and each of them is needed.

use crate::{
    direct::{BASE, Caller},
    fixture::{EVERYWHERE, STEADY_SAMPLES, available},
    manifests::kustomization,
};
use std::{collections::BTreeSet, time::Duration};
use testbed::{
    Cluster, Options, Prometheus, Server, User, eventually, pki, ports,
    prometheus::{self, StaticJob},
    server::{self, Serving},
    serving_certificate::{Overlay, Request, generate},
    workspace,
};

/// Verdicts are remembered for 10 s; the rest is room for a busy machine.
const VERDICT_GONE: Duration = Duration::from_secs(40);
/// A change of the registration is reported within a minute.
const REPORTED: Duration = Duration::from_secs(60);
/// Series are looked for each second; the rest is room for a busy machine.
const DISCOVERED: Duration = Duration::from_secs(30);
/// The server's account, as kube-apiserver calls it.
const ACCOUNT: &str = "system:serviceaccount:metrics-apiserver:metrics-apiserver";

/// Something of each API.
const CONFIGURATION: &str = r#"
backends: {default: {url: "URL"}}
metrics:
- {name: steady_everywhere, namespace: none, query: "steady_everywhere @ 1700000000"}
rules:
- seriesQuery: up{namespace!=""}
  resources: {template: <<.Resource>>}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
resourceRules:
  cpu:
    containerQuery: sum(container_cpu{<<.LabelMatchers>>}) by (<<.GroupBy>>)
    nodeQuery: sum(node_cpu{<<.LabelMatchers>>}) by (<<.GroupBy>>)
    resources: {template: <<.Resource>>}
    containerLabel: container
  memory:
    containerQuery: sum(container_memory{<<.LabelMatchers>>}) by (<<.GroupBy>>)
    nodeQuery: sum(node_memory{<<.LabelMatchers>>}) by (<<.GroupBy>>)
    resources: {template: <<.Resource>>}
    containerLabel: container
  window: 1m
"#;

/// A cluster on which `manifests/` were applied, with the server beside it.
struct Applied {
    server: Server,
    options: server::Options,
    _prometheus: Prometheus,
    cluster: Cluster,
}

impl Applied {
    /// The overlay that leads the Service to this machine, and the components that register further APIs. The
    /// ServiceAccount is the base's, its rights are those of the base and of the components.
    async fn new() -> Self {
        let cluster =
            Cluster::start(Options { name: "e2e-rights".into(), ..Options::default() }).await.unwrap();
        // Nobody listens there, which is a series too: `up` of the Service that every cluster has.
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let job = StaticJob {
            name: "apiserver".into(),
            targets: vec!["127.0.0.1:1".into()],
            labels: vec![label("namespace", "default"), label("service", "kubernetes")],
            ..StaticJob::default()
        };
        let prometheus = Prometheus::start(prometheus::Options {
            name: "e2e-rights-prometheus".into(),
            openmetrics: Some(STEADY_SAMPLES.into()),
            jobs: vec![job],
            ..prometheus::Options::default()
        });
        let prometheus = prometheus.await.unwrap();
        let out_dir = cluster.dir().subdir("generated").unwrap();
        let components = ["components/custom-metrics", "components/resource-metrics"];
        let lists: [(_, &[_]); 2] =
            [("resources", &["overlays/demo-realistic"]), ("components", &components)];
        let directory = kustomization(&cluster, "overlay", &lists);
        let port = ports::free().unwrap();
        let request = Request {
            service: server::NAME,
            namespace: server::NAME,
            validity: Duration::from_secs(24 * 3600),
            out_dir: &out_dir,
            overlay: Some(Overlay { directory: &directory, api_service_port: Some(port) }),
            force: false,
        };
        let made = generate(&request).unwrap();
        run(&cluster, &["apply", "-k", out_dir.to_str().unwrap()]).await;
        let config = cluster.dir().state().join("config.yaml");
        std::fs::write(&config, CONFIGURATION.replace("URL", prometheus.url())).unwrap();
        let kubeconfig = cluster.service_account_kubeconfig(server::NAME, server::NAME).await.unwrap();
        let mut args = service_flag();
        args.extend(["--metrics-relist-interval=1s", "--metrics-max-age=1m"].map(String::from));
        let options = server::Options { config, kubeconfig, args };
        let files = pki::IdentityFiles { certificate: made.certificate_file, key: made.key_file };
        let serving = Serving { files, ca: std::fs::read_to_string(made.ca_file).unwrap(), port };
        let server = Server::start_with(&cluster, server::NAME, &options, serving).await.unwrap();
        available(&cluster).await.unwrap();
        Self { server, options, _prometheus: prometheus, cluster }
    }

    /// Exit code and report of `check --online` with the server's own account.
    async fn check_online(&self) -> (Option<i32>, String) {
        let program = workspace::binary("metrics-apiserver").await.unwrap();
        let mut command = tokio::process::Command::new(program);
        command.args(["check", "--online"]).args(service_flag());
        command.arg("--config").arg(&self.options.config).arg("--kubeconfig").arg(&self.options.kubeconfig);
        let output = command.output().await.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What an account may do, as kubectl lists it: beyond what anybody may who is known.
    async fn rights(&self, namespace: &str) -> BTreeSet<String> {
        let list = async |account: &str| {
            // To be known is to be in these groups.
            let who = [
                &format!("--as={account}"),
                "--as-group=system:authenticated",
                "--as-group=system:serviceaccounts",
            ];
            let args = [&["auth", "can-i", "--list", "--no-headers", "-n", namespace], &who[..]].concat();
            let lines = run(&self.cluster, &args).await;
            let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
            lines.lines().map(line).collect::<BTreeSet<_>>()
        };
        let other = list("system:serviceaccount:default:other").await;
        list(ACCOUNT).await.difference(&other).cloned().collect()
    }
}

/// As the base's Deployment has it.
fn service_flag() -> Vec<String> {
    vec![format!("--service={0}/{0}", server::NAME)]
}

async fn run(cluster: &Cluster, args: &[&str]) -> String {
    cluster.kubectl().run(args).await.unwrap().success().unwrap_or_else(|error| panic!("{args:?}: {error:#}"))
}

fn path(namespace: &str) -> String {
    format!("{BASE}/namespaces/{namespace}/{EVERYWHERE}")
}

#[test]
fn the_manifests_give_the_server_what_it_needs_and_no_more() {
    crate::shared::runtime().block_on(async {
        let applied = Applied::new().await;
        let cluster = &applied.cluster;
        let answer = run(cluster, &["get", "--raw", &path("default")]).await;
        assert!(answer.contains("\"value\":\"42\""), "{answer}");

        further_apis_are_served(&applied).await;

        let rights = [
            // Whether the APIServices lead to this server.
            "apiservices.apiregistration.k8s.io [] [v1beta1.external.metrics.k8s.io] [get]",
            "apiservices.apiregistration.k8s.io [] [v1beta1.custom.metrics.k8s.io] [get]",
            "apiservices.apiregistration.k8s.io [] [v1beta2.custom.metrics.k8s.io] [get]",
            "apiservices.apiregistration.k8s.io [] [v1beta1.metrics.k8s.io] [get]",
            "apiservices.apiregistration.k8s.io [] [v1.metrics.k8s.io] [get]",
            "subjectaccessreviews.authorization.k8s.io [] [] [create]",
            "tokenreviews.authentication.k8s.io [] [] [create]",
            // Of the objects that metrics describe.
            "namespaces [] [] [get list watch]",
            "nodes [] [] [get list watch]",
            "pods [] [] [get list watch]",
            "services [] [] [get list watch]",
            "deployments.apps [] [] [get list watch]",
            "statefulsets.apps [] [] [get list watch]",
            "ingresses.networking.k8s.io [] [] [get list watch]",
        ];
        let everywhere = BTreeSet::from(rights.map(String::from));
        assert_eq!(applied.rights("default").await, everywhere);
        assert_eq!(applied.rights(server::NAME).await, everywhere);
        let mut in_kube_system = everywhere;
        in_kube_system.insert("configmaps [] [extension-apiserver-authentication] [get list watch]".into());
        assert_eq!(applied.rights("kube-system").await, in_kube_system);

        let (code, report) = applied.check_online().await;
        assert_eq!(code, Some(0), "{report}");
        for part in [
            "ok       backends.default.engine: Prometheus, ",
            "ok       metrics.steady_everywhere.query: answered, 1 series",
            "ok       kubernetes: reached as system:serviceaccount:metrics-apiserver:metrics-apiserver",
            "ok       rbac.extension-apiserver-authentication: may get, list, watch",
            "leads to metrics-apiserver/metrics-apiserver, available",
        ] {
            assert!(report.contains(part), "{part}\nnot in\n{report}");
        }
        another_provider_is_reported(&applied).await;
        shipped_roles_let_through(&applied).await;
        without_its_rights(&applied).await;
    });
}

/// Somebody leads the `APIService` to another Service, and gives it back.
async fn another_provider_is_reported(applied: &Applied) {
    let lead_to = async |name: &str| {
        let patch = format!("{{\"spec\": {{\"service\": {{\"name\": \"{name}\"}}}}}}");
        let args = ["patch", "apiservice", "v1beta1.external.metrics.k8s.io", "--type=merge", "-p", &patch];
        run(&applied.cluster, &args).await;
    };
    let shown = async |what: &str| {
        let caller = direct(applied, "default").await;
        let shown = eventually(what, REPORTED, || async {
            let page = caller.try_get("/readyz?verbose").await?;
            anyhow::ensure!(page.code == 200, "it stays ready: {}", page.body);
            Ok(page.body.contains(what).then_some(()))
        });
        shown.await.unwrap();
    };
    shown("[+]registration ok: no problem known").await;
    lead_to("keda-operator-metrics-apiserver").await;
    shown("[+]registration ok: the registration of external.metrics.k8s.io does not lead to this server")
        .await;
    let log = std::fs::read_to_string(applied.server.log()).unwrap();
    let line = "leads to metrics-apiserver/keda-operator-metrics-apiserver, not to metrics-apiserver/metrics-apiserver";
    assert_eq!(log.matches(line).count(), 1, "{log}");
    lead_to(server::NAME).await;
    shown("[+]registration ok: no problem known").await;
    available(&applied.cluster).await.unwrap();
}

/// The APIs of the components are Available, and their reads watch what they describe.
async fn further_apis_are_served(applied: &Applied) {
    let cluster = &applied.cluster;
    for version in ["v1beta1.custom", "v1beta2.custom", "v1beta1", "v1"] {
        let service = format!("apiservice/{version}.metrics.k8s.io");
        run(cluster, &["wait", "--for=condition=Available", &service, "--timeout=60s"]).await;
    }
    for version in ["v1beta1", "v1beta2"] {
        let up = format!("/apis/custom.metrics.k8s.io/{version}/namespaces/default/services/*/up");
        let read = eventually("the Service's metric", DISCOVERED, || async {
            Ok(Some(cluster.kubectl().run(&["get", "--raw", &up]).await?.success()?))
        });
        let read = read.await.unwrap();
        assert!(read.contains("\"name\":\"kubernetes\"") && read.contains("\"value\":\"0\""), "{read}");
    }
    for path in ["v1/nodes", "v1/pods", "v1beta1/nodes", "v1beta1/namespaces/default/pods"] {
        let read = run(cluster, &["get", "--raw", &format!("/apis/metrics.k8s.io/{path}")]).await;
        assert!(read.contains("MetricsList") && read.contains("\"items\":[]"), "{read}");
    }
    // Whoever may view a namespace may see the usage of its pods.
    let view = ["create", "rolebinding", "views", "-n", "default", "--user=viewer", "--clusterrole=view"];
    run(cluster, &view).await;
    let viewer = ["get", "--raw", "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods", "--as=viewer"];
    let read = eventually("the viewer's binding to count", VERDICT_GONE, || async {
        Ok(Some(cluster.kubectl().run(&viewer).await?.success()?))
    });
    assert!(read.await.unwrap().contains("\"items\":[]"));
}

/// The two roles that are there to be bound, bound.
async fn shipped_roles_let_through(applied: &Applied) {
    let cluster = &applied.cluster;
    let developer = cluster.kubectl_as(cluster.kubeconfig(User::Developer));
    assert!(!developer.run(&["get", "--raw", &path("default")]).await.unwrap().status.success());
    let bind = ["create", "rolebinding", "reads", "-n", "default", "--user=developer"];
    run(cluster, &[&bind[..], &["--clusterrole=external-metrics-reader"]].concat()).await;
    let read = eventually("the reader's binding to count", VERDICT_GONE, || async {
        Ok(Some(developer.run(&["get", "--raw", &path("default")]).await?.success()?))
    });
    assert!(read.await.unwrap().contains("\"value\":\"42\""));
    assert!(!developer.run(&["get", "--raw", &path("kube-system")]).await.unwrap().status.success());

    run(cluster, &["create", "serviceaccount", "scraper", "-n", "default"]).await;
    let scraper = direct(applied, "scraper").await;
    assert_eq!(scraper.get("/metrics").await.code, 403);
    let bind = ["create", "clusterrolebinding", "scrapes", "--serviceaccount=default:scraper"];
    run(cluster, &[&bind[..], &["--clusterrole=metrics-apiserver-metrics-reader"]].concat()).await;
    let scraped = eventually("the scraper's binding to count", VERDICT_GONE, || async {
        Ok((scraper.try_get("/metrics").await?.code == 200).then_some(()))
    });
    scraped.await.unwrap();
}

/// A ServiceAccount of the namespace `default`, calling the server directly with its token.
async fn direct(applied: &Applied, account: &str) -> Caller {
    let token = applied.cluster.request_service_account_token("default", account).await.unwrap();
    // The certificate has one name only, which no resolver knows.
    let address = (std::net::Ipv4Addr::LOCALHOST, applied.server.port()).into();
    Caller::resolved(server::HOST, address, applied.server.ca())
        .with("authorization", &format!("Bearer {token}"))
}

/// Takes the rights away, one after the other: without the reviews nobody new is let in, without the ConfigMap no
/// server starts.
async fn without_its_rights(applied: &Applied) {
    let cluster = &applied.cluster;
    run(cluster, &["delete", "clusterrolebinding", "metrics-apiserver:system:auth-delegator"]).await;
    run(cluster, &["create", "serviceaccount", "late", "-n", "default"]).await;
    let developer = cluster.kubectl_as(cluster.kubeconfig(User::Developer));
    let unreviewed = eventually("the user's rights to be asked for in vain", VERDICT_GONE, || async {
        let refused = developer.run(&["get", "--raw", &path("default")]).await?;
        Ok(refused.stderr.contains("could not be reviewed").then_some(()))
    });
    unreviewed.await.unwrap();
    let (code, report) = applied.check_online().await;
    assert_eq!(code, Some(1), "{report}");
    for refused in ["tokenreviews", "subjectaccessreviews"] {
        let line = format!("FAILED   rbac.{refused}: may not create\n         fix: bind ClusterRole");
        assert!(report.contains(&line), "{report}");
    }
    let late = direct(applied, "late").await;
    assert!(matches!(late.get(&path("default")).await.code, 401 | 403));

    let bindings = ["rolebinding", "metrics-apiserver:authentication-reader", "-n", "kube-system"];
    run(cluster, &[&["delete"], &bindings[..]].concat()).await;
    let refused = eventually("a server without its rights to be refused", VERDICT_GONE, || async {
        match Server::start(cluster, "without-rights", &applied.options).await {
            Ok(_) => Ok(None),
            Err(error) => Ok(Some(format!("{error:#}"))),
        }
    });
    let refused = refused.await.unwrap();
    assert!(refused.contains("bind Role extension-apiserver-authentication-reader"), "{refused}");
}
