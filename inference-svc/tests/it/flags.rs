//! The command line, from outside.

use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_inference-svc")).args(args).output().expect("it runs")
}

#[test]
fn wrong_flags_exit_64_and_say_what_to_write() {
    let output = run(&["--inference-time", "10"]);
    assert_eq!(output.status.code(), Some(64));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("250ms, 10s, 1m, 1h"), "{message}");
    assert_eq!(run(&["--port", "8080", "--metrics-port", "8080"]).status.code(), Some(64));
    assert_eq!(run(&["--nonsense"]).status.code(), Some(64));
}

#[test]
fn help_and_version_exit_0_and_help_explains_every_flag() {
    assert_eq!(run(&["--version"]).status.code(), Some(0));
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8_lossy(&output.stdout);
    for flag in [
        "--bind-address",
        "--port",
        "--metrics-port",
        "--inference-time",
        "--jitter",
        "--slots",
        "--queue-limit",
        "--startup-delay",
        "--max-requests-per-connection",
        "--drain-timeout",
    ] {
        assert!(help.contains(flag), "no {flag} in\n{help}");
    }
}

#[test]
fn a_taken_port_exits_1_and_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let output = run(&["--bind-address=127.0.0.1", "--port", &port, "--metrics-port=0"]);
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains(&format!("127.0.0.1:{port}")), "{log}");
}
