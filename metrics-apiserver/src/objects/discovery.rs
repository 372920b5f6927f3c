//! Reads the cluster's resources: one aggregated document for `/api` and one for `/apis`, or the legacy lists of each
//! group if kube-apiserver has no such documents.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::time::Instant;

use super::error::RequestError;
use super::request;
use super::wire::{AggregatedGroup, AggregatedResource, LegacyGroup, LegacyResource};
use crate::metric::{GroupResource, ResourceInfo, Resources, Scope};

/// kube-apiserver chooses the first form that it knows.
const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                      application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
const ACCEPT_JSON: &str = "application/json";
/// One discovery, with the legacy lists of all groups.
const DEADLINE: Duration = Duration::from_secs(30);
/// Bytes of one document. A cluster with a thousand CRDs has about two MiB.
const DOCUMENT_BYTES_MAX: usize = 32 << 20;
/// Resources of all groups. Large clusters have two thousand.
const RESOURCES_MAX: usize = 20_000;

/// A version of a group.
#[derive(Debug, Clone)]
struct Version {
    name: String,
    /// None if kube-apiserver does not know them now, because the server of an aggregated API does not answer.
    resources: Option<Vec<Found>>,
}

/// A group with its versions, the preferred one first.
#[derive(Debug, Clone)]
struct Group {
    name: String,
    versions: Vec<Version>,
}

#[derive(Debug, Clone)]
struct Found {
    resource: String,
    singular: String,
    kind: String,
    scope: Scope,
}

/// What was read from one path.
#[derive(Debug)]
struct Document {
    path: &'static str,
    etag: Option<String>,
    groups: Vec<Group>,
}

/// The documents that were read last.
pub(super) struct Discovery {
    client: Client,
    documents: [Document; 2],
}

impl Discovery {
    pub(super) fn new(client: Client) -> Self {
        let documents = ["/api", "/apis"].map(|path| Document { path, etag: None, groups: Vec::new() });
        Self { client, documents }
    }

    /// Reads what changed. After an error the last resources are still those of the cluster, as far as it is known.
    pub(super) async fn read(&mut self) -> Result<Resources, RequestError> {
        let deadline = Instant::now() + DEADLINE;
        for document in &mut self.documents {
            document.read(&self.client, deadline).await?;
        }
        let groups = self.documents.iter().flat_map(|document| &document.groups);
        let resources: Vec<_> = groups.flat_map(resources).take(RESOURCES_MAX + 1).collect();
        if resources.len() > RESOURCES_MAX {
            return Err(RequestError::TooMany(RESOURCES_MAX));
        }
        Ok(Resources::new(resources))
    }
}

impl Document {
    async fn read(&mut self, client: &Client, deadline: Instant) -> Result<(), RequestError> {
        let response = request::get(client, self.path, ACCEPT, self.etag.as_deref()).await?;
        if response.is_unmodified {
            return Ok(());
        }
        let etag = response.etag.clone();
        let (mut groups, mut legacy) = (Vec::new(), Vec::new());
        let mut take = |key: &str, piece: &[u8]| {
            match key {
                "items" => groups.push(Group::from(serde_json::from_slice::<AggregatedGroup>(piece)?)),
                "groups" => legacy.push(Group::from(serde_json::from_slice::<LegacyGroup>(piece)?)),
                // Of the core group there is no more than the names of its versions.
                "versions" => {
                    let version = Version { name: serde_json::from_slice(piece)?, resources: None };
                    legacy.push(Group { name: String::new(), versions: vec![version] });
                }
                _ => {}
            }
            Ok(())
        };
        response.read(&["items", "groups", "versions"], DOCUMENT_BYTES_MAX, deadline, &mut take).await?;
        for group in &mut legacy {
            group.read_legacy(client, deadline).await?;
        }
        groups.extend(legacy);
        for group in &mut groups {
            group.keep(self.groups.iter().find(|known| known.name == group.name));
        }
        (self.etag, self.groups) = (etag, groups);
        Ok(())
    }
}

impl Group {
    /// Reads the legacy list of each version. One that cannot be read is unknown; the others are used.
    async fn read_legacy(&mut self, client: &Client, deadline: Instant) -> Result<(), RequestError> {
        for version in &mut self.versions {
            let path = group_version_path(&self.name, &version.name);
            let mut found = Vec::new();
            let mut take = |key: &str, piece: &[u8]| {
                if key == "resources" {
                    found.extend(Found::legacy(serde_json::from_slice(piece)?));
                }
                Ok(())
            };
            let read = match request::get(client, &path, ACCEPT_JSON, None).await {
                Ok(response) => response.read(&["resources"], DOCUMENT_BYTES_MAX, deadline, &mut take).await,
                Err(error) => Err(error),
            };
            match read {
                Ok(()) => version.resources = Some(found),
                Err(RequestError::Status(_)) => version.resources = None,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Keeps the resources that are known of versions that cannot be read now.
    fn keep(&mut self, known: Option<&Self>) {
        let Some(known) = known else { return };
        for version in self.versions.iter_mut().filter(|version| version.resources.is_none()) {
            let before = known.versions.iter().find(|before| before.name == version.name);
            version.resources = before.and_then(|before| before.resources.clone());
        }
    }
}

/// The path of a version of a group.
pub(super) fn group_version_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

/// The resources of a group, each in the first version that has it.
fn resources(group: &Group) -> Vec<Arc<ResourceInfo>> {
    let name: Arc<str> = group.name.as_str().into();
    let mut seen = HashSet::new();
    let mut resources = Vec::new();
    for version in &group.versions {
        let version_name: Arc<str> = version.name.as_str().into();
        let found = version.resources.iter().flatten();
        for found in found.filter(|found| seen.insert(found.resource.as_str())) {
            resources.push(Arc::new(ResourceInfo {
                resource: GroupResource {
                    resource: found.resource.as_str().into(),
                    group: Arc::clone(&name),
                },
                singular: found.singular.as_str().into(),
                kind: found.kind.as_str().into(),
                version: Arc::clone(&version_name),
                scope: found.scope,
            }));
        }
    }
    resources
}

impl Found {
    fn aggregated(wire: AggregatedResource) -> Option<Self> {
        let scope = if wire.scope == "Namespaced" { Scope::Namespaced } else { Scope::Cluster };
        let kind = wire.response_kind.unwrap_or_default().kind;
        Self::new(wire.resource, &wire.singular_resource, kind, scope)
    }

    fn legacy(wire: LegacyResource) -> Option<Self> {
        let scope = if wire.namespaced { Scope::Namespaced } else { Scope::Cluster };
        Self::new(wire.name, &wire.singular_name, wire.kind, scope)
    }

    /// None for a subresource, and for the parent of subresources that is no resource itself.
    fn new(resource: String, singular: &str, kind: String, scope: Scope) -> Option<Self> {
        if resource.is_empty() || resource.contains('/') || kind.is_empty() {
            return None;
        }
        let singular = if singular.is_empty() { kind.to_lowercase() } else { singular.to_lowercase() };
        Some(Self { resource, singular, kind, scope })
    }
}

impl From<AggregatedGroup> for Group {
    fn from(wire: AggregatedGroup) -> Self {
        let versions = wire.versions.into_iter().map(|version| Version {
            name: version.version,
            resources: (version.freshness != "Stale")
                .then(|| version.resources.into_iter().filter_map(Found::aggregated).collect()),
        });
        Self { name: wire.metadata.name, versions: versions.collect() }
    }
}

impl From<LegacyGroup> for Group {
    fn from(wire: LegacyGroup) -> Self {
        let mut versions: Vec<String> = wire.versions.into_iter().map(|version| version.version).collect();
        if let Some(preferred) = wire.preferred_version {
            versions.sort_by_key(|version| *version != preferred.version);
        }
        let versions = versions.into_iter().map(|name| Version { name, resources: None });
        Self { name: wire.name, versions: versions.collect() }
    }
}
