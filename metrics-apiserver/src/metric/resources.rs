//! The resources of the cluster, found by the names that people write.

use std::collections::HashMap;
use std::sync::Arc;

use super::object::ResourceInfo;

/// The resources that the cluster serves, in the order of preference: the core group first, then the groups in the
/// order in which kube-apiserver lists them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    all: Vec<Arc<ResourceInfo>>,
    /// Plural and singular names, each with positions in `all`, ascending.
    by_name: HashMap<Arc<str>, Vec<usize>>,
}

impl Resources {
    /// The resources of all groups, each in the version that the cluster prefers, in the order of the API server. The
    /// earlier one is preferred where a name means several.
    pub fn new(all: Vec<Arc<ResourceInfo>>) -> Self {
        let mut by_name: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
        for (index, info) in all.iter().enumerate() {
            by_name.entry(Arc::clone(&info.resource.resource)).or_default().push(index);
            if info.singular != info.resource.resource {
                by_name.entry(Arc::clone(&info.singular)).or_default().push(index);
            }
        }
        Self { all, by_name }
    }

    /// The resource of this name, by the rules of client-go's `RESTMapper`: singular or plural, in any case.
    ///
    /// Without a group, or with an empty one, the preferred resource of any group is found. With a group it is the
    /// resource of exactly this group or else of one that begins with it, as in `storageclass.storage`.
    pub fn resolve(&self, resource: &str, group: Option<&str>) -> Option<&Arc<ResourceInfo>> {
        let found = self.by_name.get(resource.to_lowercase().as_str())?;
        let found = found.iter().filter_map(|index| self.all.get(*index));
        let Some(group) = group.filter(|group| !group.is_empty()) else {
            return found.into_iter().next();
        };
        let group = group.to_lowercase();
        let exact = found.clone().find(|info| *info.resource.group == *group);
        exact.or_else(|| found.into_iter().find(|info| info.resource.group.starts_with(&group)))
    }

    /// All of them, in the order of preference.
    pub fn all(&self) -> &[Arc<ResourceInfo>] {
        &self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{GroupResource, Scope};

    fn info(resource: &str, singular: &str, group: &str) -> Arc<ResourceInfo> {
        Arc::new(ResourceInfo {
            resource: GroupResource { resource: resource.into(), group: group.into() },
            singular: singular.into(),
            kind: singular.into(),
            version: "v1".into(),
            scope: Scope::Namespaced,
        })
    }

    fn cluster() -> Resources {
        Resources::new(vec![
            info("pods", "pod", ""),
            info("events", "event", ""),
            info("events", "event", "events.k8s.io"),
            info("deployments", "deployment", "apps"),
            info("ingresses", "ingress", "extensions"),
            info("ingresses", "ingress", "networking.k8s.io"),
            info("storageclasses", "storageclass", "storage.k8s.io"),
            info("widgets", "widget", "apps.example.com"),
            info("deployments", "deployment", "apps.example.com"),
        ])
    }

    fn found(resource: &str, group: Option<&str>) -> Option<String> {
        let cluster = cluster();
        let info = cluster.resolve(resource, group)?;
        Some(format!("{}.{}", info.resource.resource, info.resource.group))
    }

    #[test]
    fn a_resource_is_found_by_its_plural_or_singular_name_in_any_case() {
        for name in ["pods", "pod", "Pod", "PODS"] {
            assert_eq!(found(name, None).as_deref(), Some("pods."), "{name}");
        }
        assert_eq!(found("po", None), None);
        assert_eq!(found("", None), None);
    }

    #[test]
    fn without_a_group_the_core_group_and_then_the_first_group_is_preferred() {
        assert_eq!(found("event", None).as_deref(), Some("events."));
        assert_eq!(found("event", Some("")).as_deref(), Some("events."));
        assert_eq!(found("ingress", None).as_deref(), Some("ingresses.extensions"));
        assert_eq!(found("deployment", None).as_deref(), Some("deployments.apps"));
    }

    #[test]
    fn a_group_is_exact_or_else_the_beginning_of_one() {
        assert_eq!(
            found("ingress", Some("networking.k8s.io")).as_deref(),
            Some("ingresses.networking.k8s.io")
        );
        assert_eq!(found("storageclass", Some("Storage")).as_deref(), Some("storageclasses.storage.k8s.io"));
        assert_eq!(found("deployments", Some("apps")).as_deref(), Some("deployments.apps"));
        assert_eq!(found("widget", Some("apps")).as_deref(), Some("widgets.apps.example.com"));
        assert_eq!(found("pods", Some("apps")), None);
    }

    #[test]
    fn an_empty_table_finds_nothing() {
        assert_eq!(Resources::default().resolve("pods", None), None);
        assert!(Resources::default().all().is_empty());
        assert_eq!(cluster().all().len(), 9);
    }
}
