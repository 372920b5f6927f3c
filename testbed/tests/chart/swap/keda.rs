//! Over KEDA's registration of external metrics, which its operator writes its CA into again and again. In place of
//! KEDA's metrics server and of its operator there are a release of ours under its name, and a task.

use super::{
    APIS, SOON, Swap,
    level::STEADY,
    reader::{Metric, Reader},
    releases::OURS,
    say, with_swap,
};
use crate::case::{NAMESPACE, chart_path};
use anyhow::ensure;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use testbed::eventually;
use tokio::task::JoinSet;

const KEDA: &str = "keda-operator-metrics-apiserver";
const METRIC: &str = "metrics_apiserver_apiservice_registered";
const EXTERNAL: &[Metric] = &[Metric::External];

impl Swap {
    /// `helm COMMAND` with what stands for KEDA, which serves external metrics only.
    async fn keda(&self, command: &str, more: &[&str]) {
        let only = "rules.custom=null,rules.resource=null";
        let names = format!("nameOverride=keda,fullnameOverride={KEDA},namespaceOverride=keda");
        let args = ["--set", only, "--set", &names];
        self.release(command, "keda", &chart_path(), &[&args[..], more].concat()).await;
    }

    async fn external(&self) -> Value {
        self.api_service(APIS[1]).await
    }

    /// KEDA's operator, until the set is dropped: has its own CA in the object, whosever it is.
    fn operator(self: &Arc<Self>, bundle: &str) -> JoinSet<()> {
        let swap = Arc::clone(self);
        let patch = format!(r#"{{"spec":{{"caBundle":"{bundle}"}}}}"#);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                // There may be no such object for a while.
                let patch = ["patch", "apiservice", APIS[1], "--type=merge", "--patch", &patch];
                let _ = swap.place.kubectl.run(&patch).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        tasks
    }

    /// Waits until the log of a pod of ours has this.
    async fn logs_have(&self, expected: &str) {
        let logged = eventually(expected, SOON, || async {
            let files = std::fs::read_dir(self.place.cluster.dir().logs())?;
            for file in files {
                let file = file?.path();
                let name = file.to_string_lossy().into_owned();
                if name.contains(&format!("{NAMESPACE}_{OURS}-"))
                    && std::fs::read_to_string(&file)?.contains(expected)
                {
                    return Ok(Some(()));
                }
            }
            Ok(None)
        });
        logged.await.unwrap();
    }

    /// What every pod of ours says of the registration of external metrics.
    async fn registered(&self, expected: u8) {
        let what = format!("{METRIC} to be {expected}");
        let said = eventually(&what, SOON, || async {
            let pods = ["get", "pods", "-n", NAMESPACE, "-o", "jsonpath={.items[*].status.podIP}"];
            let of = ["-l", &format!("app.kubernetes.io/instance={OURS}")];
            let pods = self.place.kubectl.run(&[&pods[..], &of].concat()).await?.success()?;
            ensure!(!pods.is_empty(), "no pod");
            for pod in pods.split_whitespace() {
                let metrics = self.direct.get(format!("https://{pod}:6443/metrics")).send().await?;
                let metrics = metrics.error_for_status()?.text().await?;
                let line = format!("{METRIC}{{group=\"external.metrics.k8s.io\"}} {expected}");
                ensure!(metrics.contains(&line), "{pod}: no {line}");
            }
            Ok(Some(()))
        });
        said.await.unwrap();
    }
}

#[test]
fn kedas_registration_is_taken_over_once_its_operator_is_stopped_and_is_given_back() {
    with_swap(|swap| async move {
        swap.place
            .apply(&["apply", "-f", "-"], "{apiVersion: v1, kind: Namespace, metadata: {name: keda}}")
            .await;
        swap.keda("install", &[]).await;
        swap.answers(EXTERNAL).await;
        swap.settled(EXTERNAL, STEADY).await;
        assert_eq!(swap.external().await["spec"]["service"]["name"], KEDA);
        let bundle = swap.external().await["spec"]["caBundle"].as_str().unwrap().to_owned();
        let mut operator = swap.operator(&bundle);
        swap.release("install", OURS, &chart_path(), &["--set", "apiServices.create=false"]).await;

        // With the operator at work: kube-apiserver verifies our certificate with KEDA's CA.
        let changes = swap.changes().await;
        let reader = Reader::start(&swap, EXTERNAL);
        swap.release("upgrade", OURS, &chart_path(), &["--take-ownership"]).await;
        let expected =
            format!("APIService {} has a caBundle that does not verify the serving certificate", APIS[1]);
        swap.logs_have(&expected).await;
        swap.registered(0).await;
        assert_eq!(swap.external().await["spec"]["caBundle"], bundle);
        let report = reader.finish().await;
        say(&format!("KEDA's operator at work: {report}"));
        assert!(report.wrong.is_empty(), "{report}");
        operator.shutdown().await;

        let as_the_runbook_says = async {
            swap.place.kubectl(&["delete", "apiservice", APIS[1]]).await;
            swap.release("upgrade", OURS, &chart_path(), &[]).await;
        };
        let report = swap.during(EXTERNAL, "KEDA's operator stopped", as_the_runbook_says).await;
        assert!(report.longest < SOON, "{report}");
        assert_eq!(swap.changes().await, changes, "an HPA decided without a reason");
        assert_eq!(swap.external().await["spec"]["service"]["name"], OURS);
        swap.registered(1).await;
        swap.scales(EXTERNAL).await;

        let back = async {
            swap.keda("upgrade", &["--take-ownership"]).await;
            swap.uninstall(OURS).await;
        };
        let report = swap.during(EXTERNAL, "back to KEDA", back).await;
        report.assert_no_gap();
        assert_eq!(swap.external().await["spec"]["service"]["name"], KEDA);
    });
}
