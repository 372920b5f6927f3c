//! Resource rules whose queries lose the namespace.

use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The rules whose templates group by a fixed list of labels that lacks the namespace: they are queried once per
/// namespace.
#[derive(Debug, Default)]
pub(super) struct FixedGrouping(Mutex<Weak<()>>);

impl FixedGrouping {
    /// Whether these rules are known to do so.
    pub(super) fn is_of(&self, owner: &Arc<()>) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).ptr_eq(&Arc::downgrade(owner))
    }

    /// Notes that these rules do so.
    pub(super) fn remember(&self, owner: &Arc<()>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(owner);
    }
}
