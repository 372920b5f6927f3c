//! Prometheus is down, or hangs: nobody but those who asked for a metric may notice, and they are told why.

use crate::{
    fixture::{Fixture, OUTAGE, available, with_fixture},
    workload::{SOON, Workload},
};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use testbed::{eventually, http};

/// The read deadline of 1 s and the way there and back.
const READ_WITHIN: Duration = Duration::from_millis(1200);
/// As long as a read may take on a machine that was busy with something else just then; without a deadline it would be
/// the 60 s that kube-apiserver waits.
const READ_WITHIN_ONCE: Duration = Duration::from_secs(4);
/// Reads one after the other while Prometheus hangs.
const READS: usize = 5;

#[test]
fn an_hpa_keeps_its_size_and_says_why_while_prometheus_is_down_and_recovers() {
    with_fixture(|fixture| async move {
        let prometheus = fixture.outage.lock().await;
        prometheus.start_again().await.unwrap();
        let workload = start(&fixture, "hpa-outage").await;
        let reader = Reader::new(&fixture, "hpa-outage").await;
        workload.scaling_active("True").await;
        reader.until_right().await;

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
fn a_read_ends_within_its_deadline_while_prometheus_hangs_and_the_api_stays_available() {
    with_fixture(|fixture| async move {
        let prometheus = fixture.outage.lock().await;
        prometheus.start_again().await.unwrap();
        let create = ["create", "namespace", "hung"];
        fixture.cluster.kubectl().run(&create).await.unwrap().success().unwrap();
        let reader = Reader::new(&fixture, "hung").await;
        reader.until_right().await;

        prometheus.signal(Signal::SIGSTOP).await.unwrap();
        let hung = reader.read_in_turn().await;
        let available = available(&fixture.cluster).await;
        // First of all it goes on: other tests come after.
        prometheus.signal(Signal::SIGCONT).await.unwrap();
        available.unwrap();
        let mut reads = hung.unwrap();
        for (took, code, answer) in &reads {
            assert!(matches!(code, 503 | 504), "{code} {answer}");
            assert!(answer["message"].as_str().unwrap().contains("metric `outage_queue`"), "{answer}");
            assert!(!answer.to_string().contains(prometheus.url()), "{answer}");
            assert!(*took < READ_WITHIN_ONCE, "{took:?}");
        }
        reads.sort_by_key(|(took, ..)| *took);
        assert!(reads[READS / 2].0 < READ_WITHIN, "{reads:?}");

        reader.until_right().await;
        assert!(fixture.server.process().look().unwrap().is_none(), "the server must have gone on");
        let delete = ["delete", "namespace", "hung", "--wait=false"];
        fixture.cluster.kubectl().run(&delete).await.unwrap().success().unwrap();
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

    /// Waits for the metric: until a new right counts, until Prometheus is back.
    async fn until_right(&self) {
        let right = eventually("the metric to be read", SOON, || async {
            let (code, answer) = self.read().await?;
            anyhow::ensure!(code == 200 && answer["items"][0]["value"] == "3", "{code} {answer}");
            Ok(Some(()))
        });
        right.await.unwrap();
    }

    /// [`READS`] reads one after the other: how long each took, its code and its body.
    async fn read_in_turn(&self) -> anyhow::Result<Vec<(Duration, u16, Value)>> {
        let mut reads = Vec::new();
        for _ in 0..READS {
            let begin = Instant::now();
            let (code, answer) = self.read().await?;
            reads.push((begin.elapsed(), code, answer));
        }
        Ok(reads)
    }
}
