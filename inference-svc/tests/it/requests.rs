//! Inferences: queue, slots, limits, disconnecting clients.

use serde_json::Value;

use crate::support::{Connection, InferenceSvc, request};

const COUNT: &str = "python_request_duration_seconds_count";
const SUM: &str = "python_request_duration_seconds_sum";

fn sent(svc: &InferenceSvc) -> Connection {
    let mut connection = Connection::open(svc.service);
    connection.send("POST", "/infer");
    connection
}

#[test]
fn the_histogram_holds_the_time_in_the_queue() {
    let svc = InferenceSvc::start(&["--inference-time=200ms"]);
    let mut clients: Vec<_> = (0..3).map(|_| sent(&svc)).collect();
    let mut queued = Vec::new();
    for client in &mut clients {
        let response = client.receive();
        assert_eq!(response.status, 200);
        let answer: Value = serde_json::from_str(&response.body).expect("JSON");
        assert!(answer["ran_seconds"].as_f64().expect("a number") >= 0.2, "{answer}");
        queued.push(answer["queued_seconds"].as_f64().expect("a number"));
    }
    queued.sort_by(f64::total_cmp);
    assert!(queued[0] < queued[1] && queued[1] < queued[2] && queued[2] >= 0.2, "{queued:?}");
    svc.wait_for(COUNT, 3.0);
    // In parallel they would take 3 × 0.2 s; one after the other they take 0.2 + 0.4 + 0.6 s, less their arrival gaps.
    assert!(svc.sample(SUM) >= 0.6 + queued.iter().sum::<f64>() - 0.001, "{} {queued:?}", svc.sample(SUM));
}

#[test]
fn two_slots_work_side_by_side() {
    let svc = InferenceSvc::start(&["--inference-time=1h", "--slots=2"]);
    let _clients: Vec<_> = (0..3).map(|_| sent(&svc)).collect();
    svc.wait_for("python_requests_in_flight", 3.0);
    svc.wait_for("python_requests_queued", 1.0);
}

#[test]
fn over_the_queue_limit_it_answers_503_and_counts_no_duration() {
    let svc = InferenceSvc::start(&["--inference-time=1m", "--queue-limit=1"]);
    let _running = sent(&svc);
    svc.wait_for("python_requests_in_flight", 1.0);
    let _queued = sent(&svc);
    svc.wait_for("python_requests_queued", 1.0);
    let refused = request(svc.service, "POST", "/infer");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("61"));
    svc.wait_for("python_requests_rejected_total{reason=\"queue_full\"}", 1.0);
    svc.wait_for(COUNT, 0.0);
}

#[test]
fn a_client_that_disconnects_frees_its_place_and_is_counted() {
    let svc = InferenceSvc::start(&["--inference-time=1h"]);
    let running = sent(&svc);
    svc.wait_for("python_requests_in_flight", 1.0);
    let first = sent(&svc);
    svc.wait_for("python_requests_queued", 1.0);
    let _second = sent(&svc);
    svc.wait_for("python_requests_queued", 2.0);
    drop(first);
    svc.wait_for("python_requests_queued", 1.0);
    drop(running);
    svc.wait_for("python_requests_queued", 0.0);
    svc.wait_for("python_requests_in_flight", 1.0);
    svc.wait_for("python_requests_abandoned_total", 2.0);
    svc.wait_for(COUNT, 2.0);
}

#[test]
fn requests_pipelined_after_the_last_one_of_a_connection_run_no_inference() {
    let svc = InferenceSvc::start(&["--inference-time=200ms", "--max-requests-per-connection=1"]);
    let mut connection = Connection::open(svc.service);
    connection.send_all(&[("GET", "/"), ("GET", "/"), ("POST", "/infer")]);
    let first = connection.receive();
    assert_eq!((first.status, first.header("connection")), (200, Some("close")));
    connection.drain();
    svc.wait_for("python_requests_in_flight", 0.0);
    svc.wait_for(COUNT, 1.0);
}

#[test]
fn the_nth_request_of_a_connection_is_its_last() {
    let svc = InferenceSvc::start(&["--inference-time=1ms", "--max-requests-per-connection=2"]);
    let mut connection = Connection::open(svc.service);
    connection.send("GET", "/");
    let first = connection.receive();
    assert_eq!((first.status, first.header("connection")), (200, None));
    connection.send("POST", "/infer");
    let second = connection.receive();
    assert_eq!((second.status, second.header("connection")), (200, Some("close")));
    assert!(connection.is_closed());
    // The metrics port has no such limit: Prometheus may keep its connection.
    let mut scraper = Connection::open(svc.metrics);
    for _ in 0..5 {
        scraper.send("GET", "/metrics");
        assert_eq!(scraper.receive().header("connection"), None);
    }
}
