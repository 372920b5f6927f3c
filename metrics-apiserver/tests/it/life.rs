//! How the real executable starts and ends.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;

use reqwest::Client;

use crate::http::{Play, Server};
use crate::stage::{LOOPBACK, PATIENCE, Process, Stage, write_files};

/// More lines than any of these tests makes.
const LOG_LINES_MAX: usize = 1_000;

#[test]
fn a_signal_ends_a_start_that_waits_for_kubernetes() {
    let kubernetes = Server::plain(Play::Hang);
    let directory = tempfile::tempdir().unwrap();
    write_files(directory.path(), "http://127.0.0.1:1", &kubernetes.url);
    let flags = [LOOPBACK, "--authentication-skip-lookup=false"];
    let process = Process::start(directory.path(), &flags, LOG_LINES_MAX);
    let began = Instant::now();
    while kubernetes.requests().is_empty() {
        assert!(began.elapsed() < PATIENCE, "it asks for the CA bundles");
        std::thread::sleep(Duration::from_millis(5));
    }
    process.signal(Signal::SIGHUP);
    process.end();
    let lines: Vec<_> = process.log.iter().collect();
    assert!(lines.iter().any(|line| line.contains("stopped while starting")), "{lines:#?}");
}

#[tokio::test]
async fn without_a_bind_address_both_address_families_are_served() {
    let kubernetes = Server::plain(Play::json(500, ""));
    let directory = tempfile::tempdir().unwrap();
    let certificate = write_files(directory.path(), "http://127.0.0.1:1", &kubernetes.url);
    let process = Process::start(directory.path(), &[], LOG_LINES_MAX);
    let address = process.address();
    let (_, port) = address.rsplit_once(':').unwrap();
    // reqwest panics without one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = Client::builder().no_proxy().tls_certs_only([certificate]).build().unwrap();
    let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    for host in ["127.0.0.1", "[::1]"].into_iter().take(if has_ipv6 { 2 } else { 1 }) {
        let answer = client.get(format!("https://{host}:{port}/livez")).timeout(PATIENCE).send();
        assert_eq!(answer.await.unwrap().text().await.unwrap(), "ok", "{host}");
    }
    process.end();
}

/// Every process of these tests has such an environment.
#[tokio::test]
async fn a_proxy_in_the_environment_is_used_neither_for_kubernetes_nor_for_prometheus() {
    let stage = Stage::start(&[], LOG_LINES_MAX);
    assert_eq!(stage.read("queue_depth", "").await, 200);
    stage.end();
}

#[test]
fn a_start_without_a_kubeconfig_says_why_once() {
    let directory = tempfile::tempdir().unwrap();
    write_files(directory.path(), "http://127.0.0.1:1", "http://127.0.0.1:1");
    let process = Process::start(directory.path(), &["--kubeconfig=nowhere"], LOG_LINES_MAX);
    let log: Vec<_> = process.log.iter().collect();
    let told: Vec<_> =
        log.iter().filter(|line| line.contains("cannot read the kubeconfig nowhere")).collect();
    assert_eq!(told.len(), 1, "{log:#?}");
    assert_eq!(told[0].matches("No such file").count(), 1, "{told:?}");
}

#[test]
fn a_pipe_in_place_of_a_file_fails_the_start_and_does_not_block_it() {
    for flag in ["--config", "--kubeconfig", "--tls-cert-file", "--tls-private-key-file", "--client-ca-file"]
    {
        let directory = tempfile::tempdir().unwrap();
        write_files(directory.path(), "http://127.0.0.1:1", "http://127.0.0.1:1");
        nix::unistd::mkfifo(&directory.path().join("pipe"), Mode::S_IRWXU).unwrap();
        let process = Process::start(directory.path(), &[&format!("{flag}=pipe")], LOG_LINES_MAX);
        let mut lines = Vec::new();
        while let Ok(line) = process.log.recv_timeout(PATIENCE) {
            lines.push(line);
        }
        assert!(lines.iter().any(|line| line.contains("not a regular file")), "{flag}: {lines:#?}");
    }
}

/// kube opens the files that a kubeconfig names; opening a pipe without a writer blocks.
#[test]
fn a_signal_ends_a_start_that_is_blocked_by_a_file() {
    let directory = tempfile::tempdir().unwrap();
    write_files(directory.path(), "http://127.0.0.1:1", "https://127.0.0.1:1");
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let kubeconfig = directory.path().join("kubeconfig.json");
    let text = std::fs::read_to_string(&kubeconfig).unwrap();
    let blocking = text.replace("tls.crt", "pipe");
    assert_ne!(text, blocking);
    std::fs::write(&kubeconfig, blocking).unwrap();
    let process = Process::start(directory.path(), &[], LOG_LINES_MAX);
    // Opening the write end fails until the server has opened the pipe. It stays open, so the server goes on reading.
    let began = Instant::now();
    let mut writer = OpenOptions::new();
    writer.write(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let _writer = loop {
        match writer.open(&pipe) {
            Ok(writer) => break writer,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    process.end();
    let lines: Vec<_> = process.log.iter().collect();
    assert!(lines.iter().any(|line| line.contains("stopped while starting")), "{lines:#?}");
}

#[test]
fn a_configuration_file_that_becomes_a_pipe_is_told_and_delays_no_end() {
    let stage = Stage::start(&[], LOG_LINES_MAX);
    let pipe = stage.directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    std::fs::rename(&pipe, stage.directory.path().join("config.yaml")).unwrap();
    stage.process.signal(Signal::SIGHUP);
    while !stage.process.log.recv_timeout(PATIENCE).unwrap().contains("not a regular file") {}
    stage.end();
}

// OpenShift chooses a user that the image does not know, in group 0. The files of Secrets belong to root:root, and have
// the mode 0440.
#[test]
fn any_user_in_group_0_can_serve_with_a_key_that_only_its_group_may_read() {
    let directory = tempfile::tempdir().unwrap();
    // Only root may become another user. Another developer runs this as the user that is there.
    let is_root = std::fs::metadata(directory.path()).unwrap().uid() == 0;
    write_files(directory.path(), "http://127.0.0.1:1", "http://127.0.0.1:1");
    let key = directory.path().join("tls.key");
    std::fs::set_permissions(&key, Permissions::from_mode(0o440)).unwrap();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let process =
        Process::start_as(is_root.then_some(1_000_680_000), directory.path(), &[LOOPBACK], LOG_LINES_MAX);
    process.address();
    process.end();
}
