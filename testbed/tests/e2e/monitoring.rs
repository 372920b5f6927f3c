//! The server watched as `manifests/components/monitoring` says: what is scraped with which rights, and the alerts.

use crate::{
    direct::{BASE, Caller, front_proxy},
    fixture::{Fixture, STEADY, STEADY_NAMESPACE, with_fixture},
    shared::runtime,
};
use jiff::Timestamp;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use testbed::{
    Cluster, Prometheus, Server, Tools, eventually,
    prometheus::{AlertingRule, Https, Options, StaticJob},
    server, workspace,
};

/// Everything happens each second here; the rest is room for a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// Panels without data as long as all is well.
const EMPTY_PANELS: [&str; 3] = ["Failing reads by metric", "Held metrics", "Reads of unknown metrics"];

/// The documents of a file under `manifests/`.
fn documents(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(workspace::root().join("manifests").join(file)).unwrap();
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

/// The only document of a file of the component.
fn component(file: &str) -> Value {
    documents(&format!("components/monitoring/{file}")).remove(0)
}

/// The alerts as a rule file, in the folder `dir`.
fn rule_file(dir: &Path) -> PathBuf {
    let file = dir.join("rules.json");
    std::fs::write(&file, component("prometheus-rule.yaml")["spec"].to_string()).unwrap();
    file
}

/// A token of the ServiceAccount that the component binds, after it is bound.
async fn token(cluster: &Cluster) -> String {
    let binding = component("cluster-role-binding.yaml");
    let role = documents("base/rbac.yaml").into_iter().find(|document| {
        document["kind"] == "ClusterRole" && document["metadata"]["name"] == binding["roleRef"]["name"]
    });
    let account = &binding["subjects"][0];
    let (namespace, name) = (account["namespace"].as_str().unwrap(), account["name"].as_str().unwrap());
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}},
        role.unwrap(),
        binding,
    ]});
    let applied = cluster.kubectl().run_with_input(&["apply", "-f", "-"], &list.to_string()).await.unwrap();
    applied.success().unwrap();
    cluster.request_service_account_token(namespace, name).await.unwrap()
}

/// What the operator makes of the `ServiceMonitor`, for one server on this machine.
fn job(server: &Server, token_file: PathBuf) -> StaticJob {
    let endpoint = &component("service-monitor.yaml")["spec"]["endpoints"][0];
    assert_eq!(endpoint["scheme"], "https");
    assert_eq!(endpoint["path"], "/metrics");
    assert_eq!(endpoint["tlsConfig"]["ca"]["secret"]["key"], "tls.crt");
    let https = Https {
        ca_file: server.serving_files().certificate.clone(),
        server_name: endpoint["tlsConfig"]["serverName"].as_str().unwrap().to_owned(),
        token_file,
    };
    let targets = vec![format!("localhost:{}", server.port())];
    // The operator calls the job as the Service.
    StaticJob { name: server::NAME.to_owned(), targets, https: Some(https), ..StaticJob::default() }
}

/// A server of one's own with a configuration file of one's own, and the Prometheus that watches it.
struct Watched {
    server: Server,
    config: PathBuf,
    prometheus: Prometheus,
}

impl Watched {
    async fn start(fixture: &Fixture) -> Self {
        let cluster = &fixture.cluster;
        let dir = cluster.dir().subdir("monitoring").unwrap();
        let token_file = dir.join("token");
        std::fs::write(&token_file, token(cluster).await).unwrap();
        let config = fixture.configuration("monitoring").await;
        let kubeconfig = Server::account(cluster).await.unwrap();
        let options = server::Options { config: config.clone(), kubeconfig, args: Vec::new() };
        let server = Server::start(cluster, "monitoring", &options).await.unwrap();
        let options = Options {
            name: "e2e-monitoring".into(),
            jobs: vec![job(&server, token_file)],
            rule_files: vec![rule_file(&dir)],
            // Targets are taken up at once instead of after five seconds.
            args: vec!["--scrape.discovery-reload-interval=100ms".into()],
            ..Options::default()
        };
        let prometheus = Prometheus::start(options).await.unwrap();
        Self { server, config, prometheus }
    }

    /// Waits until this query gives anything.
    async fn becomes(&self, promql: &str) {
        let found = eventually(promql, SOON, || async {
            Ok(self.prometheus.instant(promql).await?.into_iter().next())
        });
        found.await.unwrap();
    }

    /// Waits until every panel of the dashboard shows something, except those that a healthy server leaves empty.
    async fn fills_the_dashboard(&self) {
        let file = workspace::root().join("manifests/components/grafana-dashboard/metrics-apiserver.json");
        let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let mut queries = 0;
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let promql = target["expr"].as_str().unwrap().replace("$__rate_interval", "1m");
                let promql = promql.replace("$job", "metrics-apiserver").replace("$metric", ".+");
                if EMPTY_PANELS.contains(&panel["title"].as_str().unwrap()) {
                    self.prometheus.instant(&promql).await.unwrap();
                } else {
                    self.becomes(&promql).await;
                }
                queries += 1;
            }
        }
        assert!(queries >= 15, "{queries}");
    }

    /// The rules as they were all evaluated from now on; each works.
    async fn rules(&self) -> Vec<AlertingRule> {
        let now = Timestamp::now();
        let evaluated = eventually("the rules to be evaluated", SOON, || async {
            let rules = self.prometheus.alerting_rules().await?;
            Ok(rules.iter().all(|rule| rule.last_evaluation > now).then_some(rules))
        });
        let rules = evaluated.await.unwrap();
        let broken: Vec<_> = rules.iter().filter(|rule| rule.health != "ok").collect();
        assert!(broken.is_empty(), "{broken:?}");
        rules
    }
}

fn active(rules: &[AlertingRule]) -> Vec<(&str, &str)> {
    let active = rules.iter().filter(|rule| rule.state != "inactive");
    active.map(|rule| (rule.name.as_str(), rule.state.as_str())).collect()
}

#[test]
fn prometheus_scrapes_the_server_as_shipped_and_only_a_broken_configuration_is_alerted_on() {
    with_fixture(|fixture| async move {
        let watched = Watched::start(&fixture).await;
        watched.becomes("up{job=\"metrics-apiserver\"} == 1").await;
        let caller = Caller::new(
            &watched.server.url(),
            watched.server.ca(),
            Some(&front_proxy(&fixture.cluster)),
            true,
        )
        .for_admin();
        let path = format!("{BASE}/namespaces/{STEADY_NAMESPACE}/{STEADY}?labelSelector=queue%3Dorders");
        let counted = eventually("reads to be counted", SOON, || async {
            assert_eq!(caller.get(&path).await.code, 200);
            let rate = format!("rate(metrics_apiserver_reads_total{{metric=\"{STEADY}\"}}[1m]) > 0");
            Ok(watched.prometheus.instant(&rate).await?.into_iter().next())
        });
        counted.await.unwrap();
        watched.fills_the_dashboard().await;
        let rules = watched.rules().await;
        let shipped = component("prometheus-rule.yaml");
        assert_eq!(rules.len(), shipped["spec"]["groups"][0]["rules"].as_array().unwrap().len());
        assert_eq!(active(&rules), [], "on a healthy server");

        std::fs::write(&watched.config, "metrics: [").unwrap();
        watched.server.process().signal(Signal::SIGHUP).unwrap();
        watched.becomes("metrics_apiserver_config_last_reload_successful == 0").await;
        assert_eq!(active(&watched.rules().await), [("ExternalMetricsConfigurationRefused", "pending")]);
    });
}

#[test]
fn each_alert_fires_for_its_cause_and_for_no_other() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        rule_file(dir.path());
        let causes = dir.path().join("alerts.yaml");
        std::fs::write(&causes, include_str!("alerts.yaml")).unwrap();
        let tools = Tools::ensure().await.unwrap();
        let mut promtool = tokio::process::Command::new(tools.promtool());
        let output = promtool.args(["test", "rules"]).arg(&causes).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for rule in component("prometheus-rule.yaml")["spec"]["groups"][0]["rules"].as_array().unwrap() {
            let alert = rule["alert"].as_str().unwrap();
            assert!(include_str!("alerts.yaml").contains(&format!("\"{alert}\"")), "{alert} is not tried");
        }
    });
}
