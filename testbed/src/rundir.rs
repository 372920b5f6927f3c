//! The folders of one run: what it works with, which goes with it, and its logs, which stay.

use crate::workspace;
use anyhow::{Context, Result};
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::SystemTime,
};
use tempfile::TempDir;

/// Folders with logs that are kept; older ones go when a new run starts.
const LOGS_KEPT: usize = 30;
/// Begins the name of every run's folder among the temporary files.
const PREFIX: &str = "testbed-";
/// The lock's name in a run's folder.
const LOCK: &str = "lock";

static RUNS: AtomicU32 = AtomicU32::new(0);

/// The folders of one run.
#[derive(Debug)]
pub struct RunDir {
    state: TempDir,
    /// Locked as long as this process lives: how a later run knows that the folder is in use.
    _lock: File,
    logs: PathBuf,
}

impl RunDir {
    /// Makes the folders of a new run; `name` begins the name of its log folder under `target/testbed/logs/`.
    pub fn new(name: &str) -> Result<Self> {
        remove_abandoned(&std::env::temp_dir())?;
        let state =
            tempfile::Builder::new().prefix(PREFIX).tempdir().context("making a folder for the run")?;
        let lock = lock(state.path()).context("locking the run's folder")?;
        let all = workspace::target_dir()?.join("testbed/logs");
        std::fs::create_dir_all(&all).with_context(|| format!("making {}", all.display()))?;
        prune(&all)?;
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let logs = all.join(format!("{name}-{}-{run}", std::process::id()));
        std::fs::create_dir_all(&logs).with_context(|| format!("making {}", logs.display()))?;
        Ok(Self { state, _lock: lock, logs })
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

/// Makes the lock, which gets its name only when it is held: nobody may find it free.
fn lock(state: &Path) -> std::io::Result<File> {
    let unnamed = state.join("lock.new");
    let file = File::create(&unnamed)?;
    file.lock()?;
    std::fs::rename(unnamed, state.join(LOCK))?;
    Ok(file)
}

/// Removes the folders of runs that were killed: those with a lock that nobody holds.
fn remove_abandoned(all: &Path) -> Result<()> {
    for entry in std::fs::read_dir(all).with_context(|| format!("reading {}", all.display()))?.flatten() {
        let is_run = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if is_run && File::open(entry.path().join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_folder_of_a_run_that_was_killed_is_removed() {
        let all = tempfile::tempdir().unwrap();
        let [living, killed, foreign] = ["testbed-living", "testbed-killed", "testbed-foreign"].map(|name| {
            let dir = all.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            dir
        });
        let held = lock(&living).unwrap();
        drop(lock(&killed).unwrap());
        remove_abandoned(all.path()).unwrap();
        assert!(living.exists() && foreign.exists());
        assert!(!killed.exists());
        drop(held);
    }
}
