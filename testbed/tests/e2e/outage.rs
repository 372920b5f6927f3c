//! Prometheus is down: nobody but those who asked for a metric may notice, and they are told why.

use crate::{
    fixture::{Fixture, OUTAGE, available, with_fixture},
    workload::{SOON, Workload},
};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use testbed::{eventually, http};

/// The read deadline of 1 s and the way there and back.
const READ_WITHIN: Duration = Duration::from_millis(1200);

#[test]
fn an_hpa_keeps_its_size_and_says_why_while_prometheus_is_down_and_recovers() {
    with_fixture(|fixture| async move {
        let prometheus = fixture.outage.lock().await;
        prometheus.start_again().await.unwrap();
        let workload = start(&fixture, "hpa-outage").await;
        let reader = Reader::new(&fixture, "hpa-outage").await;
        workload.scaling_active("True").await;
        let right = eventually("the reader's right to count", SOON, || async {
            Ok((reader.read().await?.0 == 200).then_some(()))
        });
        right.await.unwrap();

        prometheus.stop().await.unwrap();
        let message = workload.scaling_active("False").await;
        assert!(message.contains("metric `outage_queue`: prometheus is not reachable"), "{message}");
        let begin = Instant::now();
        let (code, answer) = reader.read().await.unwrap();
        assert!(begin.elapsed() < READ_WITHIN, "{:?}", begin.elapsed());
        assert_eq!((code, answer["kind"].as_str()), (503, Some("Status")), "{answer}");
        assert!(!answer.to_string().contains(prometheus.url()), "{answer}");
        assert_eq!(workload.replicas().await, Some(2));
        available(&fixture.cluster).await.unwrap();

        prometheus.start_again().await.unwrap();
        workload.scaling_active("True").await;
        assert_eq!(reader.read().await.unwrap().0, 200);
        assert_eq!(workload.replicas().await, Some(2));
        assert!(fixture.server.process().look().unwrap().is_none(), "the server must have gone on");
        workload.end().await;
    });
}

#[test]
fn a_namespace_can_be_deleted_while_prometheus_is_down() {
    with_fixture(|fixture| async move {
        let prometheus = fixture.outage.lock().await;
        prometheus.stop().await.unwrap();
        let namespace = "hpa-deleted";
        let workload = start(&fixture, namespace).await;
        workload.scaling_active("False").await;
        workload.end().await;
        let namespaces: Api<Namespace> = Api::all(fixture.cluster.client().await.unwrap());
        let gone = eventually("the namespace to go", SOON, || async {
            match namespaces.get_opt(namespace).await? {
                Some(left) => anyhow::bail!("{:?}", left.status),
                None => Ok(Some(())),
            }
        });
        gone.await.unwrap();
        assert!(prometheus.instant("up").await.is_err(), "prometheus must have been down all the time");
        prometheus.start_again().await.unwrap();
    });
}

/// Two replicas at exactly their target: the HPA has no reason to change anything.
async fn start(fixture: &Arc<Fixture>, namespace: &'static str) -> Workload {
    let target = json!({"type": "Value", "value": "3"});
    Workload::start(fixture, namespace, 2, 5, (OUTAGE, target)).await
}

/// Reads the metric through kube-apiserver, each time once: kube's own client tries again after a 503.
struct Reader {
    client: reqwest::Client,
    url: String,
    token: String,
}

impl Reader {
    /// A ServiceAccount of this namespace, which must exist, with all rights in it.
    async fn new(fixture: &Fixture, namespace: &str) -> Self {
        let cluster = &fixture.cluster;
        let account = format!("--serviceaccount={namespace}:reader");
        let account = ["rolebinding", "reader", "--clusterrole=cluster-admin", &account];
        for object in [&["serviceaccount", "reader"][..], &account] {
            let args = [&["create", "-n", namespace], object].concat();
            cluster.kubectl().run(&args).await.unwrap().success().unwrap();
        }
        let token = cluster.request_service_account_token(namespace, "reader").await.unwrap();
        let ca = std::fs::read_to_string(&cluster.credentials().files().cluster_ca).unwrap();
        let path = format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{OUTAGE}");
        let url = format!("{}{path}", cluster.url());
        Self { client: http::client(Some(&ca)).unwrap(), url, token }
    }

    /// The code and the body of the answer.
    async fn read(&self) -> anyhow::Result<(u16, Value)> {
        let answer = self.client.get(&self.url).bearer_auth(&self.token).send().await?;
        Ok((answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await?)?))
    }
}
