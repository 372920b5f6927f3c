//! The main way: Prometheus → rule → `APIService` → a plain HPA → more pods.

use crate::{
    fixture::{STEADY, STEADY_NAMESPACE, STEADY_QUERY, with_fixture},
    workload::Workload,
};
use serde_json::{Value, json};
use std::time::Duration;

/// What the contract promises an operator between `kubectl apply` and the first reading.
const AVAILABLE_WITHIN: Duration = Duration::from_secs(5);
/// The HPA's upper bound: few pods, for each is a process.
const MAX: i32 = 3;
/// Four for each pod at the most: each waits for three others, so that no number of pods satisfies the HPA.
const CLIENTS: usize = 12;

#[test]
fn the_api_is_available_within_five_seconds_of_its_registration() {
    with_fixture(|fixture| async move {
        assert!(fixture.available_after < AVAILABLE_WITHIN, "{:?}", fixture.available_after);
    });
}

#[test]
fn a_kubectl_read_equals_the_query_asked_of_prometheus() {
    with_fixture(|fixture| async move {
        for queue in ["orders", "mails"] {
            let path = format!(
                "/apis/external.metrics.k8s.io/v1beta1/namespaces/{STEADY_NAMESPACE}/{STEADY}\
                 ?labelSelector=queue%3D{queue}"
            );
            let read = fixture.cluster.kubectl().run(&["get", "--raw", &path]).await.unwrap();
            let read: Value = serde_json::from_str(&read.success().unwrap()).unwrap();
            let query = STEADY_QUERY
                .replace(STEADY, &format!("{STEADY}{{namespace=\"{STEADY_NAMESPACE}\",queue=\"{queue}\"}}"));
            let asked = fixture.steady.instant(&query).await.unwrap();
            let items = read["items"].as_array().unwrap();
            assert_eq!((items.len(), asked.len()), (1, 1), "{read}");
            assert_eq!(items[0]["metricName"], STEADY);
            let served = quantity(items[0]["value"].as_str().unwrap());
            assert_eq!(served.to_bits(), asked[0].value.to_bits(), "{read}");
        }
    });
}

#[test]
fn an_hpa_with_a_value_target_goes_up_to_its_max_under_load_and_back_down() {
    let metric = "python_request_duration_seconds_per_request";
    up_and_down("hpa-value", metric, json!({"type": "Value", "value": "200m"}));
}

#[test]
fn an_hpa_with_an_average_value_target_goes_up_to_its_max_under_load_and_back_down() {
    let target = json!({"type": "AverageValue", "averageValue": "2"});
    up_and_down("hpa-average-value", "python_requests_in_flight", target);
}

fn up_and_down(namespace: &'static str, metric: &'static str, target: Value) {
    with_fixture(|fixture| async move {
        let workload = Workload::start(&fixture, namespace, 1, MAX, (metric, target)).await;
        // Idle pods that are scraped have a value, so the HPA works before the first request.
        workload.scaling_active("True").await;
        assert_eq!(workload.replicas().await, Some(1));
        let load = workload.load(CLIENTS);
        workload.reaches(MAX).await;
        drop(load);
        workload.reaches(1).await;
        workload.end().await;
    });
}

/// A quantity without a suffix or in thousandths, which is all that these tests' values take.
fn quantity(text: &str) -> f64 {
    match text.strip_suffix('m') {
        Some(thousandths) => thousandths.parse::<f64>().unwrap() / 1000.0,
        None => text.parse().unwrap(),
    }
}
