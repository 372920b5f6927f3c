//! The rules whose series are discovered.

use std::sync::Arc;

use crate::rules::BackendName;
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

/// One list of series. Rules with the same `seriesQuery` at the same backend share it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SeriesKey {
    pub(super) backend: BackendName,
    pub(super) selector: Arc<str>,
}

impl SeriesKey {
    pub(super) fn of(rule: &AdapterRule) -> Self {
        Self { backend: rule.backend.clone(), selector: Arc::clone(&rule.series_query) }
    }
}
