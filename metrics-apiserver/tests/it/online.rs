//! `check --online` by the real executable.

use std::process::{Command, Output};

use serde_json::json;

use crate::http::{Play, Server};

fn checked(config: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.yaml"), config).unwrap();
    Command::new(env!("CARGO_BIN_EXE_metrics-apiserver"))
        .current_dir(directory.path())
        .args(["check", "--online", "--config=config.yaml"])
        .env_remove("KUBERNETES_SERVICE_HOST")
        .output()
        .unwrap()
}

#[test]
fn the_exit_code_says_whether_the_configuration_or_what_it_needs_is_at_fault() {
    let vector = json!({"resultType": "vector", "result": []});
    let prometheus = Server::plain(Play::json(200, json!({"status": "success", "data": vector})));
    let config =
        json!({"backends": {"default": {"url": prometheus.url}}, "metrics": [{"name": "a", "query": "a"}]});
    for (config, code, part) in [
        (config.to_string(), 0, "ok       metrics.a.query: answered, no data"),
        (
            config.to_string().replace(&prometheus.url, "http://127.0.0.1:1"),
            1,
            "FAILED   backends.default.reachable",
        ),
        (config.to_string().replace("query", "quary"), 64, "FAILED   configuration: "),
    ] {
        let output = checked(&config);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(part), "{part}\nnot in\n{text}");
    }
}
