//! The guide for Temporal, with an account of thousands of task queues and with data that are late.

use crate::{place::Place, pool::with_place};
use jiff::Timestamp;
use std::{
    fmt::Write,
    time::{Duration, Instant},
};
use testbed::eventually;

const GUIDE: &str = "temporal";
/// Series of the account: as many as choke a discovery that keeps each of them.
const SERIES: usize = 5_000;
/// How late the data of one version are, in seconds. Prometheus forgets a sample after five minutes.
const LATE: i64 = 180;
const SOON: Duration = Duration::from_secs(90);
const BACKLOG: &str = "temporal_cloud_v1_approximate_backlog_count";

/// The metrics of a large account, as their exporter has them.
fn account() -> String {
    let mut text = format!("# TYPE {BACKLOG} gauge\n");
    for number in 0..SERIES {
        writeln!(text, "{BACKLOG}{{worker_name=\"d{number}\",build_id=\"v1\"}} {number}").unwrap();
    }
    let time = (Timestamp::now().as_second() - LATE) * 1000;
    writeln!(text, "{BACKLOG}{{worker_name=\"late\",build_id=\"v1\"}} 42 {time}").unwrap();
    text
}

impl Place {
    /// Has the exporter of the guide serve these metrics.
    async fn export(&self, metrics: &str) {
        let file = self.checkout.root().join("account.txt");
        std::fs::write(&file, metrics).unwrap();
        let command = "kubectl create configmap temporal-exporter --from-file=metrics.txt=account.txt \
            --dry-run=client -o yaml | kubectl replace -f -";
        let (output, succeeds) = self.checkout.shell(command).await;
        assert!(succeeds, "{output}");
    }

    /// Waits until a version has this backlog; gives how long the last read took.
    async fn has_backlog(&self, deployment: &str, value: &str) -> Duration {
        let path = format!(
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/temporal_backlog_count\
             ?labelSelector=worker_name%3D{deployment},build_id%3Dv1"
        );
        let read = async || {
            let begin = Instant::now();
            let (output, _) = self.checkout.shell(&format!("kubectl get --raw '{path}'")).await;
            anyhow::ensure!(output.contains(&format!("\"value\":\"{value}\"")), "{output}");
            Ok(Some(begin.elapsed()))
        };
        eventually(&format!("a backlog of {value} of {deployment}"), SOON, read).await.unwrap()
    }
}

#[test]
fn temporal_can_be_followed_and_serves_an_account_of_five_thousand_series_and_data_that_are_late() {
    with_place(async |place| {
        place.follow_steps(GUIDE, |step| step.section != "Go back").await;
        place.export(&account()).await;
        place.has_backlog("d4999", "4999").await;
        place.has_backlog("late", "42").await;
        // A restarted server finds them again, and each is one read of one series.
        let restart = "kubectl rollout restart deployment/prometheus-adapter -n monitoring && \
            kubectl rollout status deployment/prometheus-adapter -n monitoring --timeout=2m";
        let (output, succeeds) = place.checkout.shell(restart).await;
        assert!(succeeds, "{output}");
        place.has_backlog("late", "42").await;
        let took = place.has_backlog("d17", "17").await;
        assert!(took < Duration::from_secs(5), "{took:?}");
        place.follow_steps(GUIDE, |step| step.section == "Go back").await;
        place.is_as_before(GUIDE).await;
    });
}
