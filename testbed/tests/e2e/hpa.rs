//! The main way: Prometheus → rule → APIService → a plain HPA → more pods.

use crate::fixture::{STEADY, STEADY_NAMESPACE, STEADY_QUERY, with_fixture};
use serde_json::Value;
use std::time::Duration;

/// What the contract promises an operator between `kubectl apply` and the first reading.
const AVAILABLE_WITHIN: Duration = Duration::from_secs(5);

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
                "/apis/external.metrics.k8s.io/v1beta1/namespaces/{STEADY_NAMESPACE}/{STEADY}?labelSelector=queue%3D{queue}"
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

/// A quantity without a suffix or in thousandths, which is all that these tests' values take.
fn quantity(text: &str) -> f64 {
    match text.strip_suffix('m') {
        Some(thousandths) => thousandths.parse::<f64>().unwrap() / 1000.0,
        None => text.parse().unwrap(),
    }
}
