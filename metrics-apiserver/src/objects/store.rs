//! The objects of one watched resource, by namespace and name. All stores share one budget.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::error::RequestError;
use super::object::{Object, Selection};
use super::wire::Metadata;
use crate::metric::{Labels, Namespace};

/// Objects in all stores: the pods of the largest clusters that Kubernetes supports (150,000) and their owners.
const OBJECTS_MAX: usize = 250_000;
/// Estimated memory of all stores. An object with ten labels takes about 700 bytes.
const BYTES_MAX: usize = 192 << 20;
/// What an object takes besides its text: the object, the counters of its `Arc`s, and its place in the map.
const OBJECT_BYTES: usize = size_of::<Object>() + 4 * size_of::<usize>() + 64;

/// What all stores may hold.
#[derive(Debug)]
pub(super) struct Budget {
    objects_max: usize,
    bytes_max: usize,
    objects: AtomicUsize,
    bytes: AtomicUsize,
}

impl Budget {
    pub(super) fn new(objects_max: usize, bytes_max: usize) -> Self {
        Self { objects_max, bytes_max, objects: AtomicUsize::new(0), bytes: AtomicUsize::new(0) }
    }

    /// The estimated memory of all stores, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> Result<(), OutOfBudget> {
        let objects = self.objects.fetch_add(1, Ordering::Relaxed);
        let held = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if objects < self.objects_max && held + bytes <= self.bytes_max {
            return Ok(());
        }
        self.release(1, bytes);
        Err(OutOfBudget)
    }

    fn release(&self, objects: usize, bytes: usize) {
        self.objects.fetch_sub(objects, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(OBJECTS_MAX, BYTES_MAX)
    }
}

/// All stores together hold as much as they may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutOfBudget;

impl From<OutOfBudget> for RequestError {
    fn from(OutOfBudget: OutOfBudget) -> Self {
        Self::OutOfBudget
    }
}

/// More objects are selected than a read may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

/// The objects of one watched resource.
#[derive(Debug)]
pub(super) struct Store {
    namespaces: BTreeMap<Arc<str>, InNamespace>,
    objects: usize,
    bytes: usize,
    budget: Arc<Budget>,
}

#[derive(Debug)]
struct InNamespace {
    namespace: Option<Namespace>,
    by_name: BTreeMap<Arc<str>, Arc<Object>>,
}

impl Store {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self { namespaces: BTreeMap::new(), objects: 0, bytes: 0, budget }
    }

    pub(super) fn len(&self) -> usize {
        self.objects
    }

    /// Adds or replaces an object.
    pub(super) fn insert(&mut self, metadata: Metadata) -> Result<(), OutOfBudget> {
        let in_namespace = metadata.namespace.clone().unwrap_or_default();
        self.remove(&in_namespace, &metadata.name);
        let known = self.namespaces.get(in_namespace.as_str()).and_then(|known| known.namespace.as_ref());
        let Some(object) = object(metadata, known) else { return Ok(()) };
        let bytes = bytes(&object);
        self.budget.take(bytes)?;
        self.objects += 1;
        self.bytes += bytes;
        let place = self.namespaces.entry(in_namespace.into());
        let place = place
            .or_insert_with(|| InNamespace { namespace: object.namespace.clone(), by_name: BTreeMap::new() });
        place.by_name.insert(Arc::clone(&object.name), Arc::new(object));
        Ok(())
    }

    /// Removes an object, if it is there.
    pub(super) fn remove(&mut self, namespace: &str, name: &str) {
        let Some(place) = self.namespaces.get_mut(namespace) else { return };
        let Some(object) = place.by_name.remove(name) else { return };
        if place.by_name.is_empty() {
            self.namespaces.remove(namespace);
        }
        let bytes = bytes(&object);
        self.objects -= 1;
        self.bytes -= bytes;
        self.budget.release(1, bytes);
    }

    /// The selected objects, sorted by namespace and name; at most `max`.
    pub(super) fn select(&self, selection: &Selection, max: usize) -> Result<Vec<Arc<Object>>, TooMany> {
        let places: Vec<&InNamespace> = match selection.in_namespace() {
            Some(namespace) => self.namespaces.get(namespace.as_str()).into_iter().collect(),
            None => self.namespaces.values().collect(),
        };
        let objects = places.into_iter().flat_map(|place| place.by_name.values());
        let selected = objects.filter(|object| selection.selector.matches(&object.labels));
        let selected: Vec<_> = selected.take(max.saturating_add(1)).cloned().collect();
        if selected.len() > max { Err(TooMany) } else { Ok(selected) }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.budget.release(self.objects, self.bytes);
    }
}

/// The object; none if its namespace has no valid name, which the API server does not allow. Objects of one namespace
/// share its name.
pub(super) fn object(metadata: Metadata, known: Option<&Namespace>) -> Option<Object> {
    let namespace = match (known, metadata.namespace.as_deref().filter(|name| !name.is_empty())) {
        (Some(known), _) => Some(known.clone()),
        (None, Some(name)) => Some(Namespace::parse(name).ok()?),
        (None, None) => None,
    };
    let labels = metadata.labels.map(|labels| labels.into_iter().collect::<Labels>()).unwrap_or_default();
    Some(Object { namespace, name: metadata.name.into(), labels })
}

fn bytes(object: &Object) -> usize {
    OBJECT_BYTES + object.name.len() + object.labels.heap_bytes()
}
