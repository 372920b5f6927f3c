//! `VictoriaMetrics` as a backend, with and without the parameter that makes its answers fresh.

use crate::{
    direct::{BASE, Caller, front_proxy},
    shared::with_cluster,
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use testbed::{Server, VictoriaMetrics, eventually, server};

/// How far in the past `VictoriaMetrics` evaluates a query (`-search.latencyOffset`).
const LATENCY_OFFSET: Duration = Duration::from_secs(30);
/// With `latency_offset: 1s`: that second, the two seconds after which a written sample is found, and room for a busy
/// machine.
const FRESH: Duration = Duration::from_secs(15);
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(250);

/// Both metrics read the same series. The age of a reading is 0, so that only the backend's delay is measured.
fn configuration(url: &str) -> String {
    format!(
        "backends:\n  plain: {{url: \"{url}\"}}\n  cured: {{url: \"{url}\", queryParameters: {{latency_offset: 1s}}}}\n\
         metrics:\n- {{name: late, backend: plain, maxAge: 0s, query: sum(queue)}}\n\
         - {{name: fresh, backend: cured, maxAge: 0s, query: sum(queue)}}\n"
    )
}

/// The value of a metric; none if there is none yet.
async fn value(caller: &Caller, metric: &str) -> Option<String> {
    let answer = caller.get(&format!("{BASE}/namespaces/shop/{metric}")).await;
    (answer.code == 200).then(|| answer.json()["items"][0]["value"].as_str().unwrap().to_owned())
}

async fn write(victoria_metrics: &VictoriaMetrics, value: u32) {
    victoria_metrics.write(&format!("queue{{namespace=\"shop\"}} {value}\n")).await.unwrap();
}

#[test]
fn a_step_arrives_30_s_late_unless_the_latency_offset_is_set() {
    with_cluster(|cluster| async move {
        let victoria_metrics = VictoriaMetrics::start("e2e-victoria-metrics").await.unwrap();
        let config = cluster.dir().subdir("victoria-metrics").unwrap().join("config.yaml");
        std::fs::write(&config, configuration(victoria_metrics.url())).unwrap();
        let kubeconfig = Server::account(&cluster).await.unwrap();
        let options = server::Options { config, kubeconfig, args: Vec::new() };
        let server = Server::start(&cluster, "with-victoria-metrics", &options).await.unwrap();
        let caller = Caller::new(&server.url(), server.ca(), Some(&front_proxy(&cluster)), true).for_admin();

        // As a scraper would write it, until both metrics have the value before the step.
        let before = eventually("both metrics to be 1", PATIENCE, || async {
            write(&victoria_metrics, 1).await;
            let values = [value(&caller, "late").await, value(&caller, "fresh").await];
            Ok(values.iter().all(|value| value.as_deref() == Some("1")).then_some(()))
        });
        before.await.unwrap();

        let (step, mut arrived) = (Instant::now(), BTreeMap::new());
        while arrived.len() < 2 && step.elapsed() < PATIENCE {
            write(&victoria_metrics, 100).await;
            for metric in ["late", "fresh"] {
                if value(&caller, metric).await.as_deref() == Some("100") {
                    arrived.entry(metric).or_insert_with(|| step.elapsed());
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        let (late, fresh) = (arrived["late"], arrived["fresh"]);
        assert!(late + Duration::from_secs(1) >= LATENCY_OFFSET, "{arrived:?}");
        assert!(fresh < FRESH, "{arrived:?}");

        let warned = |log: &str| -> Vec<String> {
            log.lines().filter(|line| line.contains("30 s in the past")).map(str::to_owned).collect()
        };
        let lines = eventually("the engine to be recognized", PATIENCE, || async {
            let lines = warned(&std::fs::read_to_string(server.log())?);
            Ok((!lines.is_empty()).then_some(lines))
        });
        let lines = lines.await.unwrap();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("plain") && lines[0].contains("latency_offset: 1s"), "{lines:?}");
    });
}
