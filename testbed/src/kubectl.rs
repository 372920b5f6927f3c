//! The real kubectl, acting as the holder of one kubeconfig.

use crate::Tools;
use anyhow::{Context, Result, bail};
use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};
use tokio::{io::AsyncWriteExt, process::Command};

/// kubectl for one identity.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
}

/// What a kubectl command gave.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Kubectl {
    /// kubectl with this kubeconfig; its caches go into `home`, never into the user's own.
    pub fn new(tools: &Tools, kubeconfig: &Path, home: &Path) -> Self {
        Self { program: tools.kubectl(), kubeconfig: kubeconfig.to_owned(), home: home.to_owned() }
    }

    /// Runs one command; an error only if kubectl could not be run at all.
    pub async fn run(&self, args: &[&str]) -> Result<Output> {
        self.run_with_input(args, "").await
    }

    /// Runs one command that reads `input`, as `apply -f -` does.
    pub async fn run_with_input(&self, args: &[&str], input: &str) -> Result<Output> {
        let mut child = Command::new(&self.program)
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home)
            .env_remove("KUBECACHEDIR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        let stdin = child.stdin.take();
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A command that does not read its input closes it: no reason to fail.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let ((), output) = tokio::join!(feed, child.wait_with_output());
        let output = output.context("waiting for kubectl")?;
        Ok(Output {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

impl Output {
    /// What kubectl printed, or an error with its complaint if it failed.
    pub fn success(self) -> Result<String> {
        if !self.status.success() {
            bail!("kubectl ended with {}: {}", self.status, self.stderr.trim_end());
        }
        Ok(self.stdout)
    }
}
