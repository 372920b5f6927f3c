//! The real executable with the command line of prometheus-adapter.

use nix::sys::signal::Signal;
use reqwest::{Certificate, Client};

use crate::http::{Play, Server};
use crate::stage::{LOOPBACK, PATIENCE, Process, Stage, write_files};

/// As its chart has them, besides those that each process of the tests has. Without a serving certificate.
const FLAGS: [&str; 9] = [
    LOOPBACK,
    "/adapter",
    "--tls-cert-file=",
    "--tls-private-key-file=",
    "--cert-dir=cert",
    "--prometheus-url=http://127.0.0.1:1",
    "--metrics-relist-interval=1m",
    "--logtostderr=true",
    "--v=4",
];

const LOG_LINES_MAX: usize = 1_000;

/// The next line of the log with this text.
fn wait_for(process: &Process, text: &str) -> String {
    loop {
        let line = process.log.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no line with {text:?}"));
        if line.contains(text) {
            return line;
        }
    }
}

#[tokio::test]
async fn the_chart_of_prometheus_adapter_starts_a_server_with_a_backend_that_stays_after_a_reload() {
    let kubernetes = Server::plain(Play::json(500, ""));
    let directory = tempfile::tempdir().unwrap();
    write_files(directory.path(), "http://127.0.0.1:1", &kubernetes.url);
    let config = directory.path().join("config.yaml");
    std::fs::write(&config, "metrics: [{name: queue_depth, query: queue_depth}]\n").unwrap();
    let process = Process::start(directory.path(), &FLAGS, LOG_LINES_MAX);
    wait_for(&process, "flags without effect: --logtostderr");
    wait_for(&process, "serving a self-signed certificate");
    let address = process.address();

    let certificate = std::fs::read(directory.path().join("cert/apiserver.crt")).unwrap();
    let certificate = Certificate::from_pem(&certificate).unwrap();
    // reqwest panics without one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = Client::builder().no_proxy().tls_certs_only([certificate]).build().unwrap();
    let answer = client.get(format!("https://{address}/livez")).timeout(PATIENCE).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "ok");

    std::fs::write(&config, "metrics: [{name: queue_age, query: queue_age}]\n").unwrap();
    process.signal(Signal::SIGHUP);
    wait_for(&process, "new configuration in use");
    process.end();
}

#[tokio::test]
async fn the_log_has_each_query_at_the_verbosity_of_prometheus_adapter() {
    let stage = Stage::start(&["--v=6"], LOG_LINES_MAX);
    assert_eq!(stage.read("queue_depth", "").await, 200);
    let line = wait_for(&stage.process, "call answered");
    for part in ["backend=\"default\"", "http.method=\"GET\"", "query=queue_depth{", "http.code=200"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    stage.end();
}

#[test]
fn a_backend_of_flags_and_of_the_file_ends_the_start() {
    let directory = tempfile::tempdir().unwrap();
    write_files(directory.path(), "http://127.0.0.1:1", "http://127.0.0.1:1");
    let process = Process::start(directory.path(), &FLAGS, LOG_LINES_MAX);
    wait_for(&process, "backend `default` is defined here and by --prometheus-* flags");
}
