//! The `ConfigMaps` and Secrets that a pod refers to: which they are, what they hold, and when they have changed.

use super::{Shared, stop_asked};
use anyhow::{Context, Result};
use futures_util::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret};
use kube::{
    Api, Resource, ResourceExt,
    core::PartialObjectMeta,
    runtime::{WatchStreamExt, watcher},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

/// What holds data for pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    ConfigMap,
    Secret,
}

/// An object in the pod's namespace.
pub(super) type Reference = (Kind, String);

/// The values of an object.
pub(super) type Data = BTreeMap<String, Vec<u8>>;

/// Something that a pod needs is not there yet: the pod waits for it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Missing(pub(super) String);

/// The objects that a pod refers to, as they were when they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Objects(BTreeMap<Reference, Data>);

impl Objects {
    /// Reads them; those that do not exist are left out.
    pub(super) async fn read(
        client: &kube::Client,
        namespace: &str,
        references: &BTreeSet<Reference>,
    ) -> Result<Self> {
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let mut objects = BTreeMap::new();
        for (kind, name) in references {
            let data = match kind {
                Kind::ConfigMap => maps.get_opt(name).await.context("reading a ConfigMap")?.map(of_map),
                Kind::Secret => secrets.get_opt(name).await.context("reading a Secret")?.map(of_secret),
            };
            if let Some(data) = data {
                objects.insert((*kind, name.clone()), data);
            }
        }
        Ok(Self(objects))
    }

    /// What an object holds; `None` if it is absent and may be.
    pub(super) fn data(&self, kind: Kind, name: &str, optional: bool) -> Result<Option<&Data>, Missing> {
        let data = self.0.get(&(kind, name.to_owned()));
        if data.is_none() && !optional {
            return Err(Missing(format!("waiting for {kind:?} `{name}`")));
        }
        Ok(data)
    }

    /// One value of an object; `None` if it is absent and may be.
    pub(super) fn value(
        &self,
        kind: Kind,
        name: &str,
        key: &str,
        optional: bool,
    ) -> Result<Option<&[u8]>, Missing> {
        let value = self.data(kind, name, optional)?.and_then(|data| data.get(key));
        if value.is_none() && !optional {
            return Err(Missing(format!("waiting for key `{key}` of {kind:?} `{name}`")));
        }
        Ok(value.map(Vec::as_slice))
    }
}

fn of_map(map: ConfigMap) -> Data {
    let text = map.data.unwrap_or_default().into_iter().map(|(key, text)| (key, text.into_bytes()));
    let bytes = map.binary_data.unwrap_or_default().into_iter().map(|(key, bytes)| (key, bytes.0));
    text.chain(bytes).collect()
}

fn of_secret(secret: Secret) -> Data {
    secret.data.unwrap_or_default().into_iter().map(|(key, bytes)| (key, bytes.0)).collect()
}

#[cfg(test)]
impl<const N: usize> From<[(Kind, &str, &[(&str, &str)]); N]> for Objects {
    fn from(objects: [(Kind, &str, &[(&str, &str)]); N]) -> Self {
        let data = |data: &[(&str, &str)]| {
            data.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
        };
        Self(objects.into_iter().map(|(kind, name, it)| ((kind, name.to_owned()), data(it))).collect())
    }
}

/// All objects that the pod's volumes and variables refer to.
pub(super) fn references(pod: &Pod) -> BTreeSet<Reference> {
    let Some(spec) = &pod.spec else { return BTreeSet::new() };
    let mut found = BTreeSet::new();
    for volume in spec.volumes.iter().flatten() {
        found.extend(volume.config_map.iter().map(|it| (Kind::ConfigMap, it.name.clone())));
        found.extend(volume.secret.iter().filter_map(|it| Some((Kind::Secret, it.secret_name.clone()?))));
        for source in volume.projected.iter().filter_map(|it| it.sources.as_ref()).flatten() {
            found.extend(source.config_map.iter().map(|it| (Kind::ConfigMap, it.name.clone())));
            found.extend(source.secret.iter().map(|it| (Kind::Secret, it.name.clone())));
        }
    }
    for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
        found.extend(of_variables(container));
    }
    found
}

fn of_variables(container: &Container) -> Vec<Reference> {
    let mut found = Vec::new();
    for from in container.env_from.iter().flatten() {
        found.extend(from.config_map_ref.iter().map(|it| (Kind::ConfigMap, it.name.clone())));
        found.extend(from.secret_ref.iter().map(|it| (Kind::Secret, it.name.clone())));
    }
    for source in container.env.iter().flatten().filter_map(|it| it.value_from.as_ref()) {
        found.extend(source.config_map_key_ref.iter().map(|it| (Kind::ConfigMap, it.name.clone())));
        found.extend(source.secret_key_ref.iter().map(|it| (Kind::Secret, it.name.clone())));
    }
    found
}

/// How often each object has changed since the node started.
#[derive(Debug, Default)]
pub(super) struct Changes(Mutex<HashMap<(String, Reference), u64>>);

impl Changes {
    /// A number that changes whenever one of these objects does.
    pub(super) fn count(&self, namespace: &str, references: &BTreeSet<Reference>) -> u64 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |it: &Reference| counts.get(&(namespace.to_owned(), it.clone())).copied().unwrap_or(0);
        references.iter().map(count).sum()
    }

    fn record(&self, namespace: String, reference: Reference) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((namespace, reference)).or_default() += 1;
    }
}

/// Watches the objects of one kind until the node is to stop.
pub(super) async fn watch<K>(node: Arc<Shared>, kind: Kind, mut stop: watch::Receiver<bool>) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + 'static,
    K: serde::de::DeserializeOwned,
{
    let objects: Api<PartialObjectMeta<K>> = Api::all(node.client.clone());
    let events = watcher(objects, watcher::Config::default()).default_backoff();
    pin_mut!(events);
    loop {
        let event = tokio::select! {
            () = stop_asked(&mut stop) => return Ok(()),
            event = events.next() => event.context("a watch on ConfigMaps or Secrets ended")?,
        };
        match event {
            Ok(watcher::Event::Apply(it) | watcher::Event::InitApply(it) | watcher::Event::Delete(it)) => {
                node.changes.record(it.namespace().unwrap_or_default(), (kind, it.name_any()));
            }
            Ok(watcher::Event::Init | watcher::Event::InitDone) => {}
            // The watcher goes on by itself.
            Err(error) => tracing::debug!(%error, "a watch on ConfigMaps or Secrets was interrupted"),
        }
    }
}
