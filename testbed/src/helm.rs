//! Helm, as a user runs it.

use crate::tools;
use anyhow::{Context, Result, bail};
use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};
use tokio::process::Command;

/// Helm, with or without a cluster.
#[derive(Clone, Debug)]
pub struct Helm {
    program: PathBuf,
    kubeconfig: Option<PathBuf>,
    home: PathBuf,
}

/// What a command of Helm gave.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Helm {
    /// Helm 4, built first if need be. Its caches and settings are in `home`, never in the user's own.
    pub async fn find(home: &Path, kubeconfig: Option<&Path>) -> Result<Self> {
        Ok(Self::new(tools::helm().await?, home, kubeconfig))
    }

    /// Helm 3, otherwise as [`Helm::find`].
    pub async fn find_3(home: &Path, kubeconfig: Option<&Path>) -> Result<Self> {
        Ok(Self::new(tools::helm_3().await?, home, kubeconfig))
    }

    fn new(program: PathBuf, home: &Path, kubeconfig: Option<&Path>) -> Self {
        Self { program, kubeconfig: kubeconfig.map(Path::to_owned), home: home.to_owned() }
    }

    /// Runs one command; an error only if Helm could not be run at all.
    pub async fn run(&self, args: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command.args(args).stdin(Stdio::null()).kill_on_drop(true);
        for (variable, folder) in
            [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
        {
            command.env(variable, self.home.join("helm").join(folder));
        }
        // Without a cluster: a file that does not exist, so that Helm does not use the user's.
        let nowhere = self.home.join("helm/no-kubeconfig");
        command.env("KUBECONFIG", self.kubeconfig.as_deref().unwrap_or(&nowhere)).env("HOME", &self.home);
        let output =
            command.output().await.with_context(|| format!("starting {}", self.program.display()))?;
        Ok(Output {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

impl Output {
    /// What Helm printed, or an error with its complaint if it failed.
    pub fn success(self) -> Result<String> {
        if !self.status.success() {
            bail!("helm ended with {}: {}{}", self.status, self.stderr.trim_end(), self.stdout.trim_end());
        }
        Ok(self.stdout)
    }
}
