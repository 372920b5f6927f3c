//! The objects that one watch keeps up to date, and whether they may be served.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::error::RequestError;
use super::key::Key;
use super::object::{Object, Selection};
use super::store::{Budget, Store, TooMany};
use super::wire::{Metadata, WatchEvent};

/// A resource that no read has asked for in this time is no longer watched. HPAs read every 15 seconds, and the longest
/// sync period in use is a few minutes.
const UNUSED_MAX: Duration = Duration::from_secs(15 * 60);
/// How long objects are served without word from kube-apiserver. Pods that are gone are not worse than no answer until
/// then.
const CONTACT_MAX: Duration = Duration::from_secs(60);
/// How long a read waits for the first list of a watch before it lists by itself.
const SYNC_WAIT: Duration = Duration::from_millis(200);
/// The first list of a watch that takes longer than this is not waited for.
const SYNC_MAX: Duration = Duration::from_secs(5);

/// The objects of one watch.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) key: Key,
    began: Instant,
    /// In milliseconds after `began`.
    last_used: AtomicU64,
    state: RwLock<State>,
    /// Whether the first list is there, or failed.
    settled: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    store: Store,
    /// When kube-apiserver last said something; none while the store may not be served.
    contact: Option<Instant>,
}

impl Watched {
    pub(super) fn new(key: Key, budget: Arc<Budget>) -> Self {
        Self {
            key,
            began: Instant::now(),
            last_used: AtomicU64::new(0),
            state: RwLock::new(State { store: Store::new(budget), contact: None }),
            settled: watch::Sender::new(false),
        }
    }

    /// Notes that a read wants the objects.
    pub(super) fn touch(&self) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_used.fetch_max(millis, Ordering::Relaxed);
    }

    /// Until no read has wanted the objects for a while.
    pub(super) async fn unused(&self) {
        loop {
            let last_used = self.began + Duration::from_millis(self.last_used.load(Ordering::Relaxed));
            if last_used.elapsed() >= UNUSED_MAX {
                return;
            }
            sleep_until(last_used + UNUSED_MAX).await;
        }
    }

    /// Waits for a short time if the first list is on its way.
    pub(super) async fn wait_for_sync(&self, deadline: Instant) {
        let until = deadline.min(Instant::now() + SYNC_WAIT).min(self.began + SYNC_MAX);
        let mut settled = self.settled.subscribe();
        // Neither the end of the time nor that of the watch is an error: the read lists by itself then.
        let _ = timeout_at(until, settled.wait_for(|settled| *settled)).await;
    }

    /// The selected objects; none while the store may not be served.
    pub(super) fn select(
        &self,
        selection: &Selection,
        max: usize,
    ) -> Option<Result<Vec<Arc<Object>>, TooMany>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let is_current = state.contact?.elapsed() <= CONTACT_MAX;
        is_current.then(|| state.store.select(selection, max))
    }

    /// Replaces all objects.
    pub(super) fn replace(&self, store: Store) {
        // The old store is dropped after the lock is released.
        let _old = std::mem::replace(&mut self.state().store, store);
    }

    /// Removes all objects, which may not be served then; whether there were any.
    pub(super) fn clear(&self, budget: &Arc<Budget>) -> bool {
        let mut state = self.state();
        state.contact = None;
        let old = std::mem::replace(&mut state.store, Store::new(Arc::clone(budget)));
        drop(state);
        old.len() > 0
    }

    /// The objects are up to date.
    pub(super) fn contact(&self) {
        self.state().contact = Some(Instant::now());
        self.settled.send_replace(true);
    }

    /// The objects are not kept up to date for the time being: whether they may be served for a while.
    pub(super) fn lose(&self, may_serve: bool) {
        if !may_serve {
            self.state().contact = None;
        }
        self.settled.send_replace(true);
    }

    /// Applies one event; returns the version after it.
    pub(super) fn apply(&self, event: WatchEvent) -> Result<String, RequestError> {
        if event.r#type == "ERROR" {
            return Err(RequestError::Status(event.object.code.unwrap_or(500)));
        }
        let metadata = event.object.metadata;
        let version = metadata.resource_version.clone();
        let mut state = self.state();
        state.contact = Some(Instant::now());
        match event.r#type.as_str() {
            "ADDED" | "MODIFIED" => state.store.insert(metadata)?,
            "DELETED" => {
                let Metadata { name, namespace, .. } = metadata;
                state.store.remove(namespace.as_deref().unwrap_or_default(), &name);
            }
            // A bookmark has nothing but a version.
            _ => {}
        }
        Ok(version)
    }

    /// The number of objects.
    pub(super) fn len(&self) -> usize {
        self.state.read().unwrap_or_else(PoisonError::into_inner).store.len()
    }

    fn state(&self) -> RwLockWriteGuard<'_, State> {
        // Nothing that is done under the lock panics half-way.
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}
