//! Latency of /metrics while every slot is busy and 1,000 requests are queued: `cargo bench -p inference-svc`.
//!
//! Starts the real executable, fills its queue over 1,001 connections, then reads the metrics port over one connection,
//! as Prometheus does. Exits with 1 if p99 is not below 10 ms.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark may fail this way, and prints"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use support::{Connection, InferenceSvc};

const QUEUED: u32 = 1_000;
const READS: usize = 5_000;
const P99_MAX: Duration = Duration::from_millis(10);

fn main() -> ExitCode {
    let svc = InferenceSvc::start(&["--inference-time=1h", "--queue-limit=1000"]);
    let idle = latencies(svc.metrics);
    let _clients: Vec<_> = (0..=QUEUED)
        .map(|_| {
            let mut connection = Connection::open(svc.service);
            connection.send("POST", "/infer");
            connection
        })
        .collect();
    svc.wait_for("python_requests_queued", f64::from(QUEUED));
    let busy = latencies(svc.metrics);
    println!("GET /metrics, {READS} reads over one connection");
    report("idle", &idle);
    report("slots busy, 1000 queued", &busy);
    if percentile(&busy, 99) < P99_MAX { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Sorted durations from the request to the last byte of the answer.
fn latencies(address: SocketAddr) -> Vec<Duration> {
    let mut connection = Connection::open(address);
    let mut times: Vec<_> = (0..READS)
        .map(|_| {
            let begin = Instant::now();
            connection.send("GET", "/metrics");
            assert_eq!(connection.receive().status, 200);
            begin.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

fn report(state: &str, sorted: &[Duration]) {
    let ms = |percent| percentile(sorted, percent).as_secs_f64() * 1e3;
    println!("{state:>24}: p50 {:.3} ms, p99 {:.3} ms, max {:.3} ms", ms(50), ms(99), ms(100));
}
