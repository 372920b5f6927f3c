//! prometheus-adapter, the peer: external rules equivalent to ours, on the same kube-apiserver and Prometheus.

use super::{
    say,
    stage::{Stage, Subject},
    start, world,
};
use crate::{Process, User, pki, tools};
use anyhow::Result;
use std::{
    fmt::Write as _,
    process::Command,
    time::{Duration, Instant},
};

/// A running prometheus-adapter. It ends with this value.
#[derive(Debug)]
pub(super) struct Adapter {
    pub(super) subject: Subject,
    /// From the process' start until a read had its first right answer.
    pub(super) first_answer: Duration,
    _process: Process,
}

/// Starts it and waits until it has discovered its series and gives the right answers.
pub(super) async fn start(stage: &Stage) -> Result<Adapter> {
    let program = tools::prometheus_adapter().await?;
    say("starting prometheus-adapter");
    let name = "bench-prometheus-adapter";
    let dir = stage.cluster.dir().subdir(name)?;
    let config = dir.join("config.yaml");
    pki::write(&config, &configuration())?;
    let (serving, target) = stage.serving(&dir)?;
    let kubeconfig = stage.cluster.kubeconfig(User::Admin);
    let mut command = Command::new(program);
    command.args(["--bind-address=127.0.0.1", &format!("--secure-port={}", serving.port)]);
    command.arg("--tls-cert-file").arg(&serving.files.certificate);
    command.arg("--tls-private-key-file").arg(&serving.files.key);
    for flag in ["--lister-kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig"] {
        command.arg(flag).arg(kubeconfig);
    }
    command.arg("--config").arg(&config).args(["--prometheus-url", stage.prometheus.url()]);
    // Series are discovered for this long after their last sample, and the samples are imported once.
    command.arg("--metrics-max-age=2h").current_dir(&dir);
    let started = Instant::now();
    let process = Process::start(name, &mut command, &stage.cluster.dir().log(name))?;
    let reader = std::sync::Arc::clone(&target);
    let (first_answer, _) =
        tokio::task::spawn_blocking(move || start::until_answered(&reader, started)).await??;
    let subject = Subject { target, pid: process.pid().as_raw(), is_ours: false };
    Ok(Adapter { subject, first_answer, _process: process })
}

/// The hundred metrics that are read. Every series has the namespace in its label, so that the matchers of a read are
/// the ones that ours injects.
fn configuration() -> String {
    let mut text = String::from("externalRules:\n");
    for rule in 0..world::RULES {
        let _ = writeln!(
            text,
            "- seriesQuery: 'bench{{rule=\"{rule}\"}}'\n  \
             name: {{as: \"cached_{rule}\"}}\n  \
             resources: {{overrides: {{namespace: {{resource: namespace}}}}}}\n  \
             metricsQuery: 'sum(last_over_time(<<.Series>>{{rule=\"{rule}\",<<.LabelMatchers>>}}[2h]))'"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_asks_what_ours_asks() {
        let text = configuration();
        assert_eq!(text.matches("- seriesQuery: ").count(), world::RULES);
        let query = "  metricsQuery: 'sum(last_over_time(<<.Series>>{rule=\"7\",<<.LabelMatchers>>}[2h]))'";
        assert!(text.lines().any(|line| line == query), "{text}");
    }
}
