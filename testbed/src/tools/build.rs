//! One `go build` of all the programs of a module.

use super::say;
use anyhow::{Context, Result, bail, ensure};
use std::{
    collections::VecDeque,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::MissedTickBehavior,
};

/// A Go module whose `tool` directives name programs that are built together.
#[derive(Debug)]
pub(super) struct Module {
    /// Its folder in `testbed`.
    pub(super) name: &'static str,
    /// What it is, in a line of progress.
    what: &'static str,
    /// The programs that it builds.
    pub(super) programs: &'static [&'static str],
    /// What decides what is built, besides go.mod and go.sum.
    pub(super) args: &'static [&'static str],
    /// Programs that Go names after the last folder of their module, and their usual names.
    renames: &'static [(&'static str, &'static str)],
}

/// The control plane and Prometheus: only Kubernetes' service discovery in Prometheus, no debug symbols, and the
/// version that kube-apiserver and kubectl report.
pub(super) const TOOLS: Module = Module {
    name: "tools",
    what: "etcd, Kubernetes and Prometheus for the testbed: once, about ten minutes on two cores",
    programs: &["etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "prometheus", "promtool"],
    args: &[
        "-tags",
        "remove_all_sd,enable_kubernetes_sd",
        "-ldflags",
        "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2 -X k8s.io/component-base/version.gitMajor=1 \
         -X k8s.io/component-base/version.gitMinor=37",
        "tool",
    ],
    // etcd's main package is the module `server`.
    renames: &[("server", "etcd")],
};

/// prometheus-adapter, a module of its own: it needs older libraries of Kubernetes.
pub(super) const PEER: Module = Module {
    name: "peer",
    what: "prometheus-adapter to compare with: once, about three minutes on two cores",
    programs: &["adapter"],
    args: &["-ldflags", "-s -w", "tool"],
    renames: &[],
};

/// `VictoriaMetrics`, a module of its own: one test needs it.
pub(super) const VICTORIA_METRICS: Module = Module {
    name: "victoriametrics",
    what: "VictoriaMetrics to query: once, about a minute on two cores",
    programs: &["victoria-metrics"],
    args: &["-ldflags", "-s -w", "tool"],
    renames: &[],
};

/// Helm, a module of its own, since only the tests of the chart need it.
pub(super) const HELM: Module = Module {
    name: "helm",
    what: "Helm for the tests of the chart: once, about two minutes on two cores",
    programs: &["helm"],
    args: &["-ldflags", "-s -w", "tool"],
    renames: &[],
};

/// Helm 3, a module of its own: both versions cannot be in one.
pub(super) const HELM_3: Module = Module {
    name: "helm3",
    what: "Helm 3 for the tests of the chart: once, about a minute on two cores",
    programs: &["helm"],
    args: &["-ldflags", "-s -w", "tool"],
    renames: &[],
};

/// How often a line of progress is printed.
const PROGRESS: Duration = Duration::from_secs(10);
/// How many of Go's last error lines an error quotes.
const ERROR_LINES: usize = 30;
/// What to do without Go.
const HINT: &str = "install Go from https://go.dev/dl/, or set KUBERNETES_BIN to a folder with prebuilt etcd, \
                    kube-apiserver, kube-controller-manager, kubectl, prometheus and promtool";

impl Module {
    /// Builds all programs into a folder beside `dir` and renames it when it is whole.
    pub(super) async fn build(&self, sources: &Path, cache: &Path, dir: &Path) -> Result<()> {
        check_go(sources).await?;
        say(&format!("building {}", self.what));
        let partial = tempfile::Builder::new().prefix("building-").tempdir_in(cache)?;
        let child = Command::new("go")
            .args(["build", "-v", "-o"])
            .arg(partial.path())
            .args(self.args)
            .current_dir(sources)
            .env("CGO_ENABLED", "0")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting go")?;
        follow(child).await?;
        for (from, to) in self.renames {
            std::fs::rename(partial.path().join(from), partial.path().join(to))?;
        }
        std::fs::rename(partial.keep(), dir)
            .with_context(|| format!("moving the programs to {}", dir.display()))
    }
}

/// Waits for `go build -v`, which prints each package it has to compile, and prints progress.
async fn follow(mut child: Child) -> Result<()> {
    let started = Instant::now();
    let stderr = child.stderr.take().context("go has no stderr")?;
    let mut lines = BufReader::new(stderr).lines();
    let mut progress = tokio::time::interval(PROGRESS);
    progress.set_missed_tick_behavior(MissedTickBehavior::Skip);
    progress.tick().await;
    let (mut packages, mut downloads) = (0, 0);
    let mut errors = VecDeque::new();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) if line.starts_with("go: downloading ") => downloads += 1,
                Some(line) if line.contains(' ') => errors.push_back(line),
                Some(_) => packages += 1,
                None => break,
            },
            _ = progress.tick() => {
                let seconds = started.elapsed().as_secs();
                say(&format!(
                    "building: {seconds} s, {downloads} modules fetched, {packages} packages compiled"
                ));
            }
        }
        errors.drain(..errors.len().saturating_sub(ERROR_LINES));
    }
    let status = child.wait().await?;
    ensure!(status.success(), "go build ended with {status}:\n{}", Vec::from(errors).join("\n"));
    say(&format!("built in {} s", started.elapsed().as_secs()));
    Ok(())
}

/// Go must be there and new enough; with GOTOOLCHAIN=auto it fetches the version it needs by itself.
async fn check_go(sources: &Path) -> Result<()> {
    let needed = std::fs::read_to_string(sources.join("go.mod"))?;
    let needed = needed
        .lines()
        .find_map(|line| line.strip_prefix("go "))
        .context("go.mod names no Go version")?
        .trim();
    let output = Command::new("go").args(["env", "GOVERSION"]).current_dir(sources).output().await;
    let output = output
        .with_context(|| format!("Go {needed} or newer is needed to build the testbed's tools: {HINT}"))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || !is_at_least(&version, needed) {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("Go is {version}, but {needed} or newer is needed: {HINT} {}", errors.trim());
    }
    Ok(())
}

/// Whether `version`, such as `go1.26.8`, is at least `needed`, such as `1.26.7`.
fn is_at_least(version: &str, needed: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        let digits = text.trim_start_matches("go").split(|c: char| !c.is_ascii_digit() && c != '.').next();
        digits.unwrap_or_default().split('.').filter_map(|part| part.parse().ok()).collect()
    };
    numbers(version) >= numbers(needed)
}

#[cfg(test)]
mod tests {
    use super::is_at_least;

    #[test]
    fn an_older_go_is_found_out() {
        assert!(is_at_least("go1.26.7", "1.26.7"));
        assert!(is_at_least("go1.26.10", "1.26.7"));
        assert!(is_at_least("go1.27rc1", "1.26.7"));
        assert!(is_at_least("go1.27.0-custom", "1.26.7"));
        assert!(!is_at_least("go1.26.6", "1.26.7"));
        assert!(!is_at_least("go1.9", "1.26.7"));
        assert!(!is_at_least("", "1.26.7"));
    }
}
