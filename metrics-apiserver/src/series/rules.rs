//! The rules whose series are discovered.

use std::sync::Arc;

use crate::rules::adapter::AdapterRule;

/// The rules whose series are discovered.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// For `custom.metrics.k8s.io`; of two for one metric the later one wins.
    pub custom: Vec<Arc<AdapterRule>>,
    /// For `external.metrics.k8s.io`; the same.
    pub external: Vec<Arc<AdapterRule>>,
}

impl Rules {
    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<AdapterRule>> {
        self.custom.iter().chain(&self.external)
    }
}
