//! What kubectl prints of the three APIs.

use super::{IDLE, NODE, WEB, with_drop_in};
use serde_json::json;

/// A quarter of a core, which the rate of a counter may miss by its last digit.
const QUARTER: [&str; 2] = ["249m", "250m"];

/// The row without its CPU usage, which must be a quarter of a core and stand in this column.
#[track_caller]
fn without_cpu(row: &[String], column: usize) -> Vec<&str> {
    assert!(QUARTER.contains(&&*row[column]), "{row:?}");
    row.iter().enumerate().filter(|(at, _)| *at != column).map(|(_, word)| word.as_str()).collect()
}

#[test]
fn kubectl_top_prints_the_usage_of_pods_containers_and_nodes() {
    with_drop_in(|drop_in| async move {
        let _undamaged = drop_in.undamaged.read().await;
        let pod = drop_in.idle_pod().await;

        let rows = drop_in.rows(&["top", "pods", "-n", IDLE]).await.unwrap();
        assert_eq!(rows[0], ["NAME", "CPU(cores)", "MEMORY(bytes)"]);
        assert_eq!(without_cpu(&rows[1], 1), [&pod, "64Mi"]);
        assert_eq!(rows.len(), 2, "{rows:?}");

        let rows = drop_in.rows(&["top", "pod", &pod, "-n", IDLE]).await.unwrap();
        assert_eq!(without_cpu(&rows[1], 1), [&pod, "64Mi"]);
        let rows = drop_in.rows(&["top", "pods", "-n", IDLE, "-l", "app=web", "--no-headers"]).await.unwrap();
        assert_eq!(without_cpu(&rows[0], 1), [&pod, "64Mi"]);

        let rows = drop_in.rows(&["top", "pods", "-A"]).await.unwrap();
        assert_eq!(rows[0], ["NAMESPACE", "NAME", "CPU(cores)", "MEMORY(bytes)"]);
        let idle = rows.iter().find(|row| row[0] == IDLE).unwrap();
        assert_eq!(without_cpu(idle, 2), [IDLE, &pod, "64Mi"]);

        let rows = drop_in.rows(&["top", "pods", "-A", "--containers"]).await.unwrap();
        assert_eq!(rows[0], ["NAMESPACE", "POD", "NAME", "CPU(cores)", "MEMORY(bytes)"]);
        let idle = rows.iter().find(|row| row[0] == IDLE).unwrap();
        assert_eq!(without_cpu(idle, 3), [IDLE, &pod, WEB, "64Mi"]);

        let rows = drop_in.rows(&["top", "nodes"]).await.unwrap();
        assert_eq!(rows[0], ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]);
        assert_eq!(without_cpu(&rows[1], 1), [NODE, "0%", "32768Mi", "12%"]);
        assert_eq!(rows.len(), 2, "{rows:?}");
    });
}

#[test]
fn kubectl_get_raw_reads_each_api() {
    with_drop_in(|drop_in| async move {
        let _undamaged = drop_in.undamaged.read().await;
        let pod = drop_in.idle_pod().await;
        let custom = format!("/apis/custom.metrics.k8s.io/v1beta1/namespaces/{IDLE}");

        let list = drop_in.raw(&format!("{custom}/pods/*/python_slots")).await.unwrap();
        assert_eq!((&list["kind"], list["items"].as_array().unwrap().len()), (&json!("MetricValueList"), 1));
        let (item, described) = (&list["items"][0], &list["items"][0]["describedObject"]);
        let expected = json!({"kind": "Pod", "namespace": IDLE, "name": pod, "apiVersion": "/v1"});
        assert_eq!(
            (described, &item["metricName"], &item["value"]),
            (&expected, &json!("python_slots"), &json!("1"))
        );

        for (path, kind, name) in [
            (format!("{custom}/metrics/python_slots"), "Namespace", IDLE),
            (format!("{custom}/services/web/requests_of_service"), "Service", WEB),
            (format!("{custom}/deployments.apps/web/requests_of_deployment"), "Deployment", WEB),
            (format!("{custom}/models.mlops.example.com/web/requests_of_model"), "Model", WEB),
        ] {
            let list = drop_in.raw(&path).await.unwrap();
            let described = &list["items"][0]["describedObject"];
            assert_eq!((&described["kind"], &described["name"]), (&json!(kind), &json!(name)), "{list}");
        }

        let external = format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/{IDLE}/requests_of_app");
        let list = drop_in.raw(&format!("{external}?labelSelector=app%3Dweb")).await.unwrap();
        assert_eq!(
            (&list["items"][0]["metricName"], &list["items"][0]["value"]),
            (&json!("requests_of_app"), &json!("0"))
        );

        let pods = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{IDLE}/pods");
        let list = drop_in.raw(&pods).await.unwrap();
        let item = &list["items"][0];
        assert_eq!((&list["kind"], &item["metadata"]["name"]), (&json!("PodMetricsList"), &json!(pod)));
        assert_eq!((&item["window"], &item["containers"][0]["name"]), (&json!("5m0s"), &json!(WEB)));
        assert_eq!(item["containers"][0]["usage"]["memory"], "64Mi");
        assert_eq!(drop_in.raw(&format!("{pods}/{pod}")).await.unwrap()["metadata"]["labels"]["app"], WEB);
        let node = drop_in.raw(&format!("/apis/metrics.k8s.io/v1beta1/nodes/{NODE}")).await.unwrap();
        assert_eq!((&node["kind"], &node["usage"]["memory"]), (&json!("NodeMetrics"), &json!("32Gi")));
    });
}
