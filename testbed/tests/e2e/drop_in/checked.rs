//! `check --cluster` before, during and after the swap of prometheus-adapter for our program.

use super::{DropIn, SOON, WEB, hpas, program, release, with_drop_in, workload};
use serde_json::{Value, json};
use std::{path::Path, process::Stdio};
use testbed::{Cluster, User, eventually, tools, workspace};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, Command},
};

/// With one HPA that reads metrics of every type.
const CHECKED: &str = "checked";
/// With one HPA that reads what no rule serves.
const MISTAKEN: &str = "checked-mistaken";
const SERVICE: &str = "--service=adapter/prometheus-adapter";
/// Longer than it takes until an API that is registered anew is available.
const WAIT: &str = "--wait=120s";

/// Starts the check of the cluster with these arguments.
async fn start(kubeconfig: &Path, args: &[String]) -> Child {
    let mut command = Command::new(program().await);
    command.args(["check", "--cluster", "-o=json", "--kubeconfig"]).arg(kubeconfig).args(args).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().unwrap()
}

/// The exit code and the checks.
async fn ended(child: Child) -> (Option<i32>, Vec<Value>) {
    let output = child.wait_with_output().await.unwrap();
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code(), report["checks"].as_array().unwrap().clone())
}

async fn check(cluster: &Cluster, args: &[String]) -> (Option<i32>, Vec<Value>) {
    ended(start(cluster.kubeconfig(User::Admin), args).await).await
}

/// The check of this name.
#[track_caller]
fn named<'a>(checks: &'a [Value], name: &str) -> &'a Value {
    checks
        .iter()
        .find(|check| check["name"] == name)
        .unwrap_or_else(|| panic!("{name} is not in {checks:#?}"))
}

/// What is said about the metrics of the HPA in this namespace.
fn of_hpa<'a>(checks: &'a [Value], namespace: &str) -> Vec<&'a Value> {
    checks.iter().filter(|check| check["hpa"]["namespace"] == namespace).collect()
}

/// The HPA that reads metrics of every type, its workload, the HPA with a mistake, and a user who may view.
fn objects() -> Vec<Value> {
    let mut all = hpas::autoscaler(CHECKED, &Value::Null);
    let metrics = hpas::metrics();
    all["spec"]["metrics"] = metrics.iter().map(|(_, metric)| metric.clone()).collect();
    all["spec"]["maxReplicas"] = json!(1);
    let target = json!({"type": "Value", "value": "2"});
    let missing =
        json!({"type": "External", "external": {"metric": {"name": "of_no_rule"}, "target": target}});
    let account = json!({"name": "viewer", "namespace": CHECKED});
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account});
    let workloads = [CHECKED, MISTAKEN].into_iter().flat_map(|namespace| workload(namespace, "1s"));
    workloads.chain([all, hpas::autoscaler(MISTAKEN, &missing), account, binding("view")]).collect()
}

/// Gives a `ClusterRole` to the user who may view.
fn binding(role: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": format!("checked-{role}")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "viewer", "namespace": CHECKED}],
    })
}

#[test]
fn the_check_of_the_cluster_tells_before_and_after_the_swap_which_hpas_are_answered() {
    with_drop_in(|drop_in| async move {
        let _damaged = drop_in.undamaged.write().await;
        let (cluster, url) = (&drop_in.cluster, drop_in.prometheus.url());
        release::apply(cluster, &objects()).await.unwrap();
        let config = format!("--config={}", drop_in.pods[0].root().join("etc/adapter/config.yaml").display());
        let configured = [config, format!("--prometheus-url={url}"), SERVICE.to_owned()];

        let adapter = tools::prometheus_adapter().await.unwrap();
        let theirs = drop_in.chart.run(cluster, "checked-theirs", &adapter, url).await.unwrap();
        drop_in.chart.register(cluster, &theirs).await.unwrap();
        drop_in.available().await.unwrap();
        before(cluster, &configured).await;
        let delete = ["delete", "hpa", WEB, "--namespace", MISTAKEN];
        cluster.kubectl().run(&delete).await.unwrap().success().unwrap();

        drop_in.chart.unregister(cluster).await.unwrap();
        during(&drop_in).await;
        let waiting = [&configured[..], &[WAIT.to_owned()]].concat();
        let (code, checks) = check(cluster, &waiting).await;
        assert_eq!(code, Some(0), "{checks:#?}");

        viewer(cluster).await;
        checker(cluster).await;
        drop_in.available().await.unwrap();
    });
}

/// prometheus-adapter answers, and this configuration would.
async fn before(cluster: &Cluster, configured: &[String]) {
    let before = eventually("every metric to be answered twice", SOON, async || {
        let (code, checks) = check(cluster, configured).await;
        let metrics = of_hpa(&checks, CHECKED);
        let is_answered = metrics.iter().all(|metric| metric["outcome"] == "ok");
        anyhow::ensure!(is_answered, "{metrics:#?}");
        Ok(Some((code, checks)))
    });
    let (code, checks) = before.await.unwrap();
    let metrics = of_hpa(&checks, CHECKED);
    let kinds: Vec<_> = metrics.iter().map(|metric| metric["hpa"]["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Pods", "Object", "Object", "Object", "Object", "External"], "not metrics.k8s.io");
    for metric in &metrics {
        let numbers = &metric["hpa"];
        assert!(numbers["now"].is_string() && numbers["configuration"].is_string(), "{metric:#?}");
        assert_eq!(numbers["ratio"], 1.0, "{metric:#?}");
    }
    assert_eq!(code, Some(1), "one HPA reads what no rule serves");
    let [mistaken] = of_hpa(&checks, MISTAKEN)[..] else { panic!("{checks:#?}") };
    assert_eq!(mistaken["outcome"], "failed");
    assert_eq!(mistaken["page"], "docs/configuration.md#the-file");
    let detail = mistaken["detail"].as_str().unwrap();
    assert!(
        detail.contains("no metric of this name is served") && detail.contains("no rule serves"),
        "{detail}"
    );
    for (name, part) in [
        (
            "apiservices.v1beta1.custom.metrics.k8s.io",
            "leads to adapter/prometheus-adapter (prometheus-adapter)",
        ),
        ("certificates.v1beta1.custom.metrics.k8s.io.serving", "not verified: subject "),
        ("rbac.hpa-controller.custom.metrics.k8s.io", "horizontal-pod-autoscaler may get, list"),
    ] {
        let found = named(&checks, name);
        assert!(found["outcome"] == "ok" && found["detail"].as_str().unwrap().contains(part), "{found:#?}");
    }
}

/// Nothing serves the APIs. The check waits until our program does, and without a configuration it also looks at
/// metrics.k8s.io, which leads to a successor of prometheus-adapter.
async fn during(drop_in: &DropIn) {
    let cluster = &drop_in.cluster;
    let mut waiting = start(cluster.kubeconfig(User::Admin), &[SERVICE.to_owned(), WAIT.to_owned()]).await;
    let mut progress = BufReader::new(waiting.stderr.take().unwrap());
    let mut line = String::new();
    progress.read_line(&mut line).await.unwrap();
    assert!(line.contains(" checks failed: ") && line.contains("checking again in "), "{line}");
    drop_in.chart.register(cluster, &drop_in.pods[0]).await.unwrap();
    let drained = tokio::spawn(async move { progress.read_to_string(&mut line).await.map(|_| line) });
    let (code, checks) = ended(waiting).await;
    let progress = drained.await.unwrap().unwrap();
    assert_eq!(code, Some(0), "{progress}\n{checks:#?}");
    let metrics = of_hpa(&checks, CHECKED);
    let kinds: Vec<_> = metrics.iter().map(|metric| metric["hpa"]["type"].clone()).collect();
    assert_eq!(kinds[6..], ["Resource", "ContainerResource"]);
}

/// A user who may view learns what can be told.
async fn viewer(cluster: &Cluster) {
    let viewer = cluster.service_account_kubeconfig(CHECKED, "viewer").await.unwrap();
    let (code, checks) = ended(start(&viewer, &[]).await).await;
    assert_eq!(code, Some(0), "what is forbidden is no failure: {checks:#?}");
    for metric in of_hpa(&checks, CHECKED) {
        assert_eq!(metric["outcome"], "skipped", "{metric:#?}");
        assert!(metric["detail"].as_str().unwrap().contains("ScalingActive True"), "{metric:#?}");
    }
    assert_eq!(named(&checks, "apiservices.v1beta1.custom.metrics.k8s.io")["outcome"], "skipped");
}

/// With the role of the documentation a user who may view sees everything.
async fn checker(cluster: &Cluster) {
    let documentation = std::fs::read_to_string(workspace::root().join("docs/operations.md")).unwrap();
    let role =
        documentation.split("```yaml\n").find(|block| block.contains("name: cluster-checker")).unwrap();
    let role = release::documents(role.split("```").next().unwrap());
    release::apply(cluster, &[&role[..], &[binding("cluster-checker")]].concat()).await.unwrap();
    let viewer = cluster.service_account_kubeconfig(CHECKED, "viewer").await.unwrap();
    let (code, checks) = ended(start(&viewer, &[SERVICE.to_owned(), WAIT.to_owned()]).await).await;
    assert_eq!(code, Some(0), "{checks:#?}");
    let forbidden = checks.iter().filter(|check| check["detail"].as_str().unwrap().contains("forbidden"));
    assert_eq!(forbidden.collect::<Vec<_>>(), [&Value::Null; 0]);
}
