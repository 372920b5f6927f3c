//! The folders of one run: what it works with, which goes with it, and its logs, which stay.

use crate::workspace;
use anyhow::{Context, Result};
use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::SystemTime,
};
use tempfile::TempDir;

/// Folders with logs that are kept; older ones go when a new run starts.
const LOGS_KEPT: usize = 30;

static RUNS: AtomicU32 = AtomicU32::new(0);

/// The folders of one run.
#[derive(Debug)]
pub struct RunDir {
    state: TempDir,
    logs: PathBuf,
}

impl RunDir {
    /// Makes the folders of a new run; `name` begins the name of its log folder under `target/testbed/logs/`.
    pub fn new(name: &str) -> Result<Self> {
        let state =
            tempfile::Builder::new().prefix("testbed-").tempdir().context("making a folder for the run")?;
        let all = workspace::target_dir()?.join("testbed/logs");
        std::fs::create_dir_all(&all).with_context(|| format!("making {}", all.display()))?;
        prune(&all)?;
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let logs = all.join(format!("{name}-{}-{run}", std::process::id()));
        std::fs::create_dir_all(&logs).with_context(|| format!("making {}", logs.display()))?;
        Ok(Self { state, logs })
    }

    /// The folder that goes when the run ends: keys, data, kubeconfigs.
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// A new folder in [`Self::state`].
    pub fn subdir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.state().join(name);
        std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        Ok(dir)
    }

    /// The folder with the logs.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// The log file of one program.
    pub fn log(&self, program: &str) -> PathBuf {
        self.logs.join(format!("{program}.log"))
    }
}

/// Removes the oldest folders; another run may do the same just now, so that one that is gone already is no error.
fn prune(all: &Path) -> Result<()> {
    let mut dirs: Vec<(SystemTime, PathBuf)> = std::fs::read_dir(all)?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
        })
        .collect();
    dirs.sort();
    let old = dirs.len().saturating_sub(LOGS_KEPT);
    for (_, dir) in dirs.drain(..old) {
        let _ = std::fs::remove_dir_all(dir);
    }
    Ok(())
}
