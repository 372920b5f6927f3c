//! Prefetching for a real HPA: its reads are answered from the cache, and Prometheus sees one query per interval.

use crate::{
    direct::{Caller, front_proxy},
    shared::runtime,
};
use serde_json::json;
use std::time::Duration;
use testbed::{Cluster, Prometheus, Server, cluster, eventually, prometheus, server};

/// How often the HPA reads; shorter than Kubernetes' 15 s, as is `maxAge`, and in about the same proportion.
const INTERVAL: Duration = Duration::from_secs(2);
/// Reads until the interval is known, and some more.
const WARM_UP: u64 = 4;
const READS: u64 = 25;
/// Long enough for a busy machine.
const SOON: Duration = Duration::from_secs(120);
const SAMPLES: &str = "# TYPE queue gauge\nqueue 2 1700000000\n# EOF\n";

#[test]
fn an_hpa_is_answered_from_the_cache_and_costs_one_query_per_interval() {
    runtime().block_on(async {
        let options =
            cluster::Options { name: "prefetch".into(), hpa_sync_period: INTERVAL, ..Default::default() };
        let cluster = Cluster::start(options).await.unwrap();
        let openmetrics = Some(SAMPLES.to_owned());
        let options = prometheus::Options { name: "prefetch".into(), openmetrics, ..Default::default() };
        let prometheus = Prometheus::start(options).await.unwrap();
        let server = registered(&cluster, prometheus.url()).await;
        autoscale(&cluster).await;
        let reader = Caller::new(&server.url(), server.ca(), Some(&front_proxy(&cluster)), true).for_admin();

        let warm = after(&reader, WARM_UP).await;
        let then = after(&reader, warm.reads() + READS).await;
        let (reads, hits) = (then.reads() - warm.reads(), then.hits - warm.hits);
        let queries = then.queries - warm.queries;
        println!("{hits} of {reads} reads from the cache, {queries} queries");
        // The goals are 99 of 100 reads and 1.05 queries per interval; of so few reads, one may be an exception.
        assert!(hits + 1 >= reads, "{warm:?} {then:?}");
        assert!(queries * 100 <= reads * 105 + 100, "{warm:?} {then:?}");
        drop(server);
        prometheus.stop().await.unwrap();
        cluster.shutdown().await.unwrap();
    });
}

/// The server's counters of its cache.
#[derive(Debug)]
struct Counts {
    hits: u64,
    joined: u64,
    missed: u64,
    queries: u64,
}

impl Counts {
    fn reads(&self) -> u64 {
        self.hits + self.joined + self.missed
    }
}

/// The counters after so many reads.
async fn after(reader: &Caller, reads: u64) -> Counts {
    let counted = eventually("the HPA's reads", SOON, async || {
        let page = reader.try_get("/metrics").await?.body;
        let count = |series: &str| {
            let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
            line.map_or(0, |count| count.parse::<u64>().unwrap())
        };
        let lookups =
            |result| count(&format!("metrics_apiserver_cache_lookups_total{{result=\"{result}\"}}"));
        let started =
            |reason| count(&format!("metrics_apiserver_cache_queries_started_total{{reason=\"{reason}\"}}"));
        let counts = Counts {
            hits: lookups("hit"),
            joined: lookups("joined"),
            missed: lookups("missed"),
            queries: started("read") + started("prefetch"),
        };
        Ok((counts.reads() >= reads).then_some(counts))
    });
    counted.await.unwrap()
}

async fn registered(cluster: &Cluster, prometheus: &str) -> Server {
    let config = cluster.dir().subdir("prefetch").unwrap().join("config.yaml");
    let text = format!(
        "backends:\n  default: {{url: \"{prometheus}\"}}\n\
         metrics:\n- {{name: queue, namespace: none, maxAge: 1400ms, query: queue @ 1700000000}}\n"
    );
    std::fs::write(&config, text).unwrap();
    let kubeconfig = Server::account(cluster).await.unwrap();
    let options = server::Options { config, kubeconfig, args: Vec::new() };
    let server = Server::start(cluster, "metrics-apiserver", &options).await.unwrap();
    server.register(cluster).await.unwrap();
    server
}

/// An HPA at its target. It reads whether its Deployment has pods or not; nothing runs them here.
async fn autoscale(cluster: &Cluster) {
    let objects = [
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{"name": "web", "image": "none"}]},
                },
            },
        }),
        json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "minReplicas": 1,
                "maxReplicas": 2,
                "metrics": [{"type": "External", "external": {
                    "metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "2"},
                }}],
            },
        }),
    ];
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    cluster.kubectl().run_with_input(&["apply", "-f", "-"], &list).await.unwrap().success().unwrap();
}
