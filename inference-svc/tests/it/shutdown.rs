//! SIGTERM: no accepted request is lost, and the process exits in time.

use std::time::{Duration, Instant};

use crate::support::{Connection, InferenceSvc, eventually, get};

fn sent(svc: &InferenceSvc) -> Connection {
    let mut connection = Connection::open(svc.service);
    connection.send("POST", "/infer");
    connection
}

#[test]
fn requests_in_flight_and_new_ones_are_finished_before_it_exits_0() {
    let mut svc = InferenceSvc::start(&["--inference-time=1500ms", "--max-requests-per-connection=100"]);
    let mut running = sent(&svc);
    svc.wait_for("python_requests_in_flight", 1.0);
    let mut queued = sent(&svc);
    svc.wait_for("python_requests_queued", 1.0);
    svc.terminate();
    eventually("it is not ready", || get(svc.metrics, "/readyz").status == 503);
    assert_eq!(get(svc.metrics, "/healthz").status, 200, "it is still alive");
    let mut late = sent(&svc);
    for client in [&mut running, &mut queued, &mut late] {
        let response = client.receive();
        assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    }
    assert_eq!(svc.exit().code(), Some(0));
}

#[test]
fn a_process_that_stops_before_its_model_is_loaded_runs_no_inference() {
    let mut svc = InferenceSvc::start(&["--startup-delay=1h", "--inference-time=1ms", "--drain-timeout=10s"]);
    // An open connection without a request keeps the process from exiting.
    let mut waiting = Connection::open(svc.service);
    svc.terminate();
    eventually("it stops", || get(svc.metrics, "/readyz").body.contains("stopping"));
    waiting.send("GET", "/");
    let response = waiting.receive();
    assert_eq!((response.status, response.header("connection")), (503, Some("close")), "{response:?}");
    assert!(response.body.contains("loading"), "{response:?}");
    assert_eq!(svc.exit().code(), Some(0));
}

#[test]
fn requests_longer_than_the_drain_timeout_are_cancelled() {
    let mut svc = InferenceSvc::start(&["--inference-time=1h", "--drain-timeout=500ms"]);
    let _running = sent(&svc);
    svc.wait_for("python_requests_in_flight", 1.0);
    let begin = Instant::now();
    svc.terminate();
    assert_eq!(svc.exit().code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}
