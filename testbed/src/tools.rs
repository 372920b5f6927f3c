//! The real programs: built once from `testbed/tools/go.mod`, then kept in the user's cache.
//!
//! The cache lies outside the sources, so that a fresh clone is cheap; its folder carries a hash of everything that
//! decides what is built. Go's own settings (proxy, offline, flags) stay as the environment has them.

mod build;

use crate::workspace;
use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use std::{
    fs::{File, TryLockError},
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

/// Names a folder with prebuilt programs, which are then used as they are.
const PREBUILT: &str = "KUBERNETES_BIN";
/// The programs a folder must hold.
const PROGRAMS: [&str; 6] =
    ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "prometheus", "promtool"];
/// Between two tries to get the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(500);

/// A folder with all the programs.
#[derive(Clone, Debug)]
pub struct Tools {
    dir: PathBuf,
}

impl Tools {
    /// The programs, built first if need be, which takes about ten minutes on two cores and prints its progress.
    pub async fn ensure() -> Result<Self> {
        if let Some(dir) = std::env::var_os(PREBUILT) {
            return Self::at(&PathBuf::from(dir))
                .with_context(|| format!("{PREBUILT} names a folder that will not do"));
        }
        let sources = workspace::root().join("testbed/tools");
        let cache = cache_dir()?;
        let dir = cache.join(format!("tools-{}", hash(&sources)?));
        if !dir.exists() {
            std::fs::create_dir_all(&cache).with_context(|| format!("making {}", cache.display()))?;
            let _lock = lock(&cache.join("tools.lock")).await?;
            if !dir.exists() {
                build::build(&sources, &cache, &dir).await?;
            }
        }
        Self::at(&dir)
    }

    /// The etcd server.
    pub fn etcd(&self) -> PathBuf {
        self.dir.join("etcd")
    }

    /// Kubernetes' API server.
    pub fn kube_apiserver(&self) -> PathBuf {
        self.dir.join("kube-apiserver")
    }

    /// Kubernetes' controllers, the `HorizontalPodAutoscaler`'s among them.
    pub fn kube_controller_manager(&self) -> PathBuf {
        self.dir.join("kube-controller-manager")
    }

    /// Kubernetes' command line.
    pub fn kubectl(&self) -> PathBuf {
        self.dir.join("kubectl")
    }

    /// The Prometheus server.
    pub fn prometheus(&self) -> PathBuf {
        self.dir.join("prometheus")
    }

    /// Prometheus' command line.
    pub fn promtool(&self) -> PathBuf {
        self.dir.join("promtool")
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn at(dir: &Path) -> Result<Self> {
        let missing: Vec<&str> = PROGRAMS.into_iter().filter(|program| !dir.join(program).exists()).collect();
        ensure!(missing.is_empty(), "{} holds no {}", dir.display(), missing.join(", "));
        Ok(Self { dir: dir.to_owned() })
    }
}

/// Tells the user something; not through tracing, since a test that builds for minutes has no subscriber.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn cache_dir() -> Result<PathBuf> {
    let var = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = var("XDG_CACHE_HOME").or_else(|| Some(var("HOME")?.join(".cache")));
    Ok(caches
        .context("set HOME or XDG_CACHE_HOME: the built tools are kept there")?
        .join("metrics-apiserver"))
}

/// Of all that decides what is built.
fn hash(sources: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    for name in ["go.mod", "go.sum"] {
        let path = sources.join(name);
        hasher.update(std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?);
    }
    for arg in build::ARGS {
        hasher.update(arg);
    }
    let digest = hasher.finalize();
    let first = digest.first_chunk().context("a digest has 32 bytes")?;
    Ok(format!("{:016x}", u64::from_be_bytes(*first)))
}

/// Takes the lock that keeps two runs from building at once; it goes with the file, also if this process is killed.
async fn lock(path: &Path) -> Result<File> {
    let file = File::options().create(true).append(true).open(path);
    let file = file.with_context(|| format!("opening {}", path.display()))?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if !told => {
                say("waiting for another run that is building the tools");
                told = true;
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_PAUSE).await,
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("locking {}", path.display()));
            }
        }
    }
}
