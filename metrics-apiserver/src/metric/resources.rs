//! The resources that the cluster knows.

use std::sync::Arc;

use super::object::ResourceInfo;

/// The resources of the cluster at one time, in the order of the API server: the core group first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    all: Vec<Arc<ResourceInfo>>,
}

impl Resources {
    /// The resources of all groups, each in the version that the cluster prefers, in the order of the API server.
    pub fn new(all: Vec<Arc<ResourceInfo>>) -> Self {
        Self { all }
    }

    /// All resources.
    pub fn all(&self) -> &[Arc<ResourceInfo>] {
        &self.all
    }

    /// The resource of this plural or singular name. Without a group, the first group that has it; with one, exactly
    /// that group, or else the first whose name begins with it.
    pub fn resolve(&self, resource: &str, group: Option<&str>) -> Option<&Arc<ResourceInfo>> {
        let name = resource.to_lowercase();
        let is_named =
            |info: &&Arc<ResourceInfo>| *info.resource.resource == *name || *info.singular == *name;
        let named = || self.all.iter().filter(is_named);
        match group {
            None => named().next(),
            Some(group) => named()
                .find(|info| *info.resource.group == *group)
                .or_else(|| named().find(|info| info.resource.group.starts_with(group))),
        }
    }
}
