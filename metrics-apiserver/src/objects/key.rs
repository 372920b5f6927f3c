//! Which objects are listed and watched together, and the requests for them.

use std::sync::Arc;

use form_urlencoded::Serializer;

use super::discovery::group_version_path;
use super::object::Selection;
use crate::metric::{Namespace, ResourceInfo, Scope, Selector};

/// Objects per page. As client-go's: a page of pods has about a MiB.
const PAGE_OBJECTS: usize = 500;
/// How long kube-apiserver keeps a watch open, in seconds; five minutes is the least that it chooses itself.
const WATCH_SECONDS: usize = 300;

pub(super) const ACCEPT_LIST: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
pub(super) const ACCEPT_WATCH: &str =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

/// A resource and the field selector: what one watch is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) resource: Arc<ResourceInfo>,
    pub(super) running: bool,
}

impl Key {
    pub(super) fn of(selection: &Selection) -> Self {
        Self { resource: Arc::clone(&selection.resource), running: selection.running }
    }

    pub(super) fn field_selector(&self) -> Option<&'static str> {
        self.running.then_some("status.phase=Running")
    }

    /// The target of a list. `go_on` is the token of the next page; without one, any version that kube-apiserver has
    /// in memory will do if `is_cached`, or else the list is of the latest version.
    pub(super) fn list_target(
        &self,
        namespace: Option<&Namespace>,
        selector: Option<&Selector>,
        is_cached: bool,
        go_on: &str,
    ) -> String {
        self.target(namespace, |query| {
            query.append_pair("limit", &PAGE_OBJECTS.to_string());
            if let Some(selector) = selector.filter(|selector| !selector.requirements().is_empty()) {
                query.append_pair("labelSelector", &selector.to_string());
            }
            if !go_on.is_empty() {
                query.append_pair("continue", go_on);
            } else if is_cached {
                query.append_pair("resourceVersion", "0");
            }
        })
    }

    /// The target of a watch from this version on.
    pub(super) fn watch_target(&self, resource_version: &str) -> String {
        self.target(None, |query| {
            query.append_pair("watch", "true");
            query.append_pair("allowWatchBookmarks", "true");
            query.append_pair("timeoutSeconds", &WATCH_SECONDS.to_string());
            query.append_pair("resourceVersion", resource_version);
        })
    }

    fn target(
        &self,
        namespace: Option<&Namespace>,
        parameters: impl FnOnce(&mut Serializer<'_, String>),
    ) -> String {
        let info = &self.resource;
        let mut target = group_version_path(&info.resource.group, &info.version);
        if let Some(namespace) = namespace.filter(|_| info.scope == Scope::Namespaced) {
            target.push_str("/namespaces/");
            target.push_str(namespace.as_str());
        }
        target.push('/');
        target.push_str(&info.resource.resource);
        target.push('?');
        let begin = target.len();
        let mut query = Serializer::for_suffix(target, begin);
        parameters(&mut query);
        if let Some(fields) = self.field_selector() {
            query.append_pair("fieldSelector", fields);
        }
        query.finish()
    }
}
