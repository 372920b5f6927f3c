//! The real programs: built once from the Go modules of the testbed, then kept in the user's cache.
//!
//! The cache lies outside the sources, so that a fresh clone is cheap; a folder's name carries a hash of everything
//! that decides what is built. Go's own settings (proxy, offline, flags) stay as the environment has them.

mod build;

use crate::workspace;
use anyhow::{Context, Result, ensure};
use build::Module;
use sha2::{Digest, Sha256};
use std::{
    fs::{File, TryLockError},
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

/// Names a folder with prebuilt programs, which are then used as they are.
const PREBUILT: &str = "KUBERNETES_BIN";
/// Between two tries to get the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(500);

/// A folder with Kubernetes and Prometheus.
#[derive(Clone, Debug)]
pub struct Tools {
    dir: PathBuf,
}

impl Tools {
    /// The programs, built first if need be, which takes about ten minutes on two cores and prints its progress.
    pub async fn ensure() -> Result<Self> {
        let module = &build::TOOLS;
        let dir = match std::env::var_os(PREBUILT).map(PathBuf::from) {
            Some(dir) => {
                module.check(&dir).with_context(|| format!("{PREBUILT} names an incomplete folder"))?;
                dir
            }
            None => built(module).await?,
        };
        Ok(Self { dir })
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
}

/// prometheus-adapter, which tests and benchmarks compare with; built first if need be, in about three minutes.
pub async fn prometheus_adapter() -> Result<PathBuf> {
    program("adapter", &build::PEER).await
}

/// `VictoriaMetrics`, single node, which a test asks as a backend; built first if need be, in about a minute.
pub async fn victoria_metrics() -> Result<PathBuf> {
    program("victoria-metrics", &build::VICTORIA_METRICS).await
}

/// Helm, which the tests of the chart run; built first if need be, in about two minutes.
pub async fn helm() -> Result<PathBuf> {
    program("helm", &build::HELM).await
}

/// Helm 3, which the tests of the chart run as well; built first if need be, in about a minute.
///
/// A folder of prebuilt programs has it as `helm3`.
pub async fn helm_3() -> Result<PathBuf> {
    let prebuilt = std::env::var_os(PREBUILT).map(|dir| PathBuf::from(dir).join("helm3"));
    match prebuilt.filter(|program| program.exists()) {
        Some(program) => Ok(program),
        None => Ok(built(&build::HELM_3).await?.join("helm")),
    }
}

/// A program of a module that only tests need.
async fn program(name: &str, module: &Module) -> Result<PathBuf> {
    let prebuilt = std::env::var_os(PREBUILT).map(|dir| PathBuf::from(dir).join(name));
    match prebuilt.filter(|program| program.exists()) {
        Some(program) => Ok(program),
        None => Ok(built(module).await?.join(name)),
    }
}

/// The folder with a module's programs.
async fn built(module: &Module) -> Result<PathBuf> {
    let sources = workspace::root().join("testbed").join(module.name);
    let cache = cache_dir()?;
    let dir = cache.join(format!("{}-{}", module.name, hash(module, &sources)?));
    if !dir.exists() {
        std::fs::create_dir_all(&cache).with_context(|| format!("making {}", cache.display()))?;
        let _lock = lock(&cache.join(format!("{}.lock", module.name))).await?;
        if !dir.exists() {
            module.build(&sources, &cache, &dir).await?;
        }
    }
    module.check(&dir)?;
    Ok(dir)
}

impl Module {
    fn check(&self, dir: &Path) -> Result<()> {
        let missing = |program: &&&str| !dir.join(program).exists();
        let missing: Vec<&str> = self.programs.iter().filter(missing).copied().collect();
        ensure!(missing.is_empty(), "{} holds no {}", dir.display(), missing.join(", "));
        Ok(())
    }
}

/// Prints a line for the user; not through tracing, since a test that builds for minutes has no subscriber.
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
fn hash(module: &Module, sources: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    for name in ["go.mod", "go.sum"] {
        let path = sources.join(name);
        hasher.update(std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?);
    }
    for arg in module.args {
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
    let mut is_reported = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if !is_reported => {
                say("waiting for another run that builds the same programs");
                is_reported = true;
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_PAUSE).await,
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("locking {}", path.display()));
            }
        }
    }
}
