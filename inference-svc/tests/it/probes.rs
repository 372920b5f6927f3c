//! /metrics and the probes, on both ports.

use std::time::{Duration, Instant};

use crate::support::{Connection, InferenceSvc, eventually, get, request};

#[test]
fn both_ports_answer_metrics_and_probes() {
    let svc = InferenceSvc::start(&[]);
    for address in [svc.service, svc.metrics] {
        assert_eq!(get(address, "/healthz").status, 200);
        assert_eq!(get(address, "/readyz").status, 200);
        let metrics = get(address, "/metrics");
        assert_eq!(metrics.status, 200);
        let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(metrics.header("content-type"), Some(openmetrics));
        assert!(metrics.body.contains("python_request_duration_seconds_count 0\n"), "{}", metrics.body);
        assert!(metrics.body.ends_with("# EOF\n"), "{}", metrics.body);
    }
    assert_eq!(request(svc.metrics, "POST", "/infer").status, 404, "inferences are on the other port");
}

#[test]
fn it_is_ready_only_after_the_startup_delay() {
    let begin = Instant::now();
    let svc = InferenceSvc::start(&["--startup-delay=1s", "--inference-time=1ms"]);
    let loading = get(svc.metrics, "/readyz");
    assert_eq!((loading.status, get(svc.metrics, "/healthz").status), (503, 200), "{}", loading.body);
    let refused = request(svc.service, "POST", "/infer");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"), "{refused:?}");
    eventually("it becomes ready", || get(svc.metrics, "/readyz").status == 200);
    assert!(begin.elapsed() >= Duration::from_secs(1));
    assert_eq!(request(svc.service, "POST", "/infer").status, 200);
    assert!(svc.sample("python_requests_rejected_total{reason=\"loading\"}") >= 1.0);
}

#[test]
fn metrics_answer_while_the_slot_is_busy_and_200_requests_queue() {
    let svc = InferenceSvc::start(&["--inference-time=1h"]);
    let clients: Vec<_> = (0..201)
        .map(|_| {
            let mut connection = Connection::open(svc.service);
            connection.send("POST", "/infer");
            connection
        })
        .collect();
    svc.wait_for("python_requests_queued", 200.0);
    assert!((svc.sample("python_requests_in_flight") - 201.0).abs() < 1e-9);
    assert!((svc.sample("python_slots") - 1.0).abs() < 1e-9);
    for address in [svc.service, svc.metrics] {
        assert_eq!(get(address, "/readyz").status, 200);
        assert_eq!(get(address, "/metrics").status, 200);
    }
    drop(clients);
    svc.wait_for("python_requests_in_flight", 0.0);
}
