//! The files of a pod: its volumes, kept as the API has them, and the roots of its containers.

use super::{
    Shared,
    container::Folders,
    objects::{self, Objects, Reference},
    plan::{self, Place},
    sandbox::{self, Namespaces},
    services::Names,
    volume::{
        self, File, Files, Volume,
        token::{Token, TokenPlan},
        writer::{self, Owner},
    },
};
use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    net::Ipv4Addr,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// After an attempt that failed.
const RETRY: Duration = Duration::from_millis(500);

/// What is on disk for a pod.
pub(super) struct PodFiles {
    dir: PathBuf,
    references: BTreeSet<Reference>,
    /// For pods with volumes.
    namespaces: Option<Namespaces>,
    group: Option<u32>,
    /// The changes and rotations that the files are younger than.
    seen: (u64, u64),
    retry: Instant,
    tokens: HashMap<TokenPlan, Token>,
    written: BTreeMap<String, BTreeMap<String, File>>,
    names: watch::Receiver<Names>,
    roots: Vec<PathBuf>,
}

impl PodFiles {
    /// Nothing is written yet.
    pub(super) async fn new(node: &Shared, pod: &Pod) -> Result<Self> {
        let namespaces = if plan::has_volumes(pod) { Some(node.namespaces().await?) } else { None };
        let gives_away = namespaces.as_ref().is_some_and(Namespaces::can_give_away);
        Ok(Self {
            dir: node.state.join(pod.uid().unwrap_or_default()),
            references: objects::references(pod),
            group: volume::group(pod).filter(|_| gives_away),
            namespaces,
            seen: (0, 0),
            retry: Instant::now(),
            tokens: HashMap::new(),
            written: BTreeMap::new(),
            names: node.names.subscribe(),
            roots: Vec::new(),
        })
    }

    /// Writes the volumes as they are to be now; gives what the pod's objects hold.
    pub(super) async fn write(&mut self, node: &Shared, pod: &Pod, place: Place<'_>) -> Result<Objects> {
        let now = self.now(node, pod);
        let objects =
            Objects::read(&node.client, &pod.namespace().unwrap_or_default(), &self.references).await?;
        if self.namespaces.is_some() {
            if now.1 != self.seen.1 {
                self.tokens.clear();
            }
            for (name, volume) in volume::volumes(pod, &objects, place)? {
                let dir = self.volumes().join(&name);
                match volume {
                    Volume::Empty => make_shared(&dir, self.group)?,
                    Volume::Files(files) => self.write_files(node, pod, &name, &dir, files).await?,
                }
            }
        }
        self.seen = now;
        Ok(objects)
    }

    /// Brings volumes and names up to date, if they are not.
    pub(super) async fn step(&mut self, node: &Shared, pod: &Pod, place: Place<'_>) -> Result<()> {
        if self.namespaces.is_none() {
            return Ok(());
        }
        if self.names.has_changed().unwrap_or(false) {
            let hosts = self.names.borrow_and_update().hosts(pod, place.pod_ip);
            for root in &self.roots {
                sandbox::write_hosts(root, &hosts)?;
            }
        }
        let is_due = self.seen != self.now(node, pod)
            || self.tokens.values().any(|token| token.refresh <= Timestamp::now());
        if is_due
            && Instant::now() >= self.retry
            && let Err(error) = self.write(node, pod, place).await
        {
            // As kubelet: the pod keeps the files that it has.
            tracing::debug!(
                pod.name = pod.name_any(),
                error = format!("{error:#}"),
                "volumes were not updated"
            );
            self.retry = Instant::now() + RETRY;
        }
        Ok(())
    }

    /// The folders of one of the pod's containers, if it needs any.
    pub(super) fn folders(&mut self, container: &str, pod: &Pod, ip: Ipv4Addr) -> Result<Option<Folders>> {
        let Some(namespaces) = self.namespaces.clone() else { return Ok(None) };
        let root = self.dir.join("roots").join(container);
        sandbox::make_root(&root, &self.names.borrow_and_update().hosts(pod, ip))?;
        self.roots.push(root.clone());
        Ok(Some(Folders { namespaces, root, volumes: self.volumes() }))
    }

    /// Removes everything.
    pub(super) fn remove(&self) -> Result<()> {
        if self.dir.exists() {
            fs::remove_dir_all(&self.dir).with_context(|| format!("removing {}", self.dir.display()))?;
        }
        Ok(())
    }

    fn now(&self, node: &Shared, pod: &Pod) -> (u64, u64) {
        let changes = node.changes.count(&pod.namespace().unwrap_or_default(), &self.references);
        (changes, *node.rotation.borrow())
    }

    fn volumes(&self) -> PathBuf {
        self.dir.join("volumes")
    }

    async fn write_files(
        &mut self,
        node: &Shared,
        pod: &Pod,
        name: &str,
        dir: &Path,
        files: Files,
    ) -> Result<()> {
        let Files { mut files, tokens } = files;
        let mut owners = BTreeMap::new();
        for plan in tokens {
            let bytes = self.token(node, pod, &plan).await?.into_bytes();
            files.insert(plan.path.clone(), File { bytes, mode: plan.mode });
            if self.namespaces.as_ref().is_some_and(Namespaces::can_give_away) {
                owners.insert(plan.path, Owner { user: plan.owner, group: self.group });
            }
        }
        if self.written.get(name) != Some(&files) {
            writer::write(dir, &files, Owner { user: None, group: self.group }, &owners)?;
            self.written.insert(name.to_owned(), files);
        }
        Ok(())
    }

    /// The token that is good for now.
    async fn token(&mut self, node: &Shared, pod: &Pod, plan: &TokenPlan) -> Result<String> {
        if let Some(token) = self.tokens.get(plan)
            && token.refresh > Timestamp::now()
        {
            return Ok(token.text.clone());
        }
        let token = plan.request(&node.client, pod).await?;
        let text = token.text.clone();
        self.tokens.insert(plan.clone(), token);
        Ok(text)
    }
}

/// An emptyDir, where every user of the pod may write.
fn make_shared(dir: &Path, group: Option<u32>) -> Result<()> {
    if dir.exists() {
        return Ok(());
    }
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    chown(dir, None, group)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(if group.is_some() { 0o2777 } else { 0o777 }))?;
    Ok(())
}
