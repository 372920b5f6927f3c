//! Logs the annotations of a backend, each text once: an annotation on a query comes with every response to it.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use super::annotations::Annotations;
use crate::cache::BackendName;

/// Texts remembered of one backend. Some differ from query to query; the rest is counted in the metrics
/// and not logged.
const TEXTS_MAX: usize = 256;

/// The texts that were logged, by their hashes.
#[derive(Debug, Default)]
pub(super) struct AnnotationLog {
    logged: Mutex<HashSet<u64>>,
    hash: RandomState,
}

impl AnnotationLog {
    /// Logs what was not logged before.
    pub(super) fn log(&self, backend: &BackendName, query: &str, annotations: &Annotations) {
        let backend = &*backend.0;
        if let Some(text) = annotations.partial.as_deref().filter(|text| self.is_new(text)) {
            tracing::warn!(backend, query, text, "prometheus returned partial data");
        }
        for text in annotations.warnings.iter().filter(|text| self.is_new(text)) {
            tracing::warn!(backend, query, text, "warning from prometheus about a query");
        }
        for text in annotations.infos.iter().filter(|text| self.is_new(text)) {
            tracing::info!(backend, query, text, "info from prometheus about a query");
        }
    }

    fn is_new(&self, text: &str) -> bool {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        logged.len() < TEXTS_MAX && logged.insert(self.hash.hash_one(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_logged_once_and_only_so_many_are() {
        let log = AnnotationLog::default();
        assert!(log.is_new("a"));
        assert!(!log.is_new("a"));
        let logged = (0..10_000).filter(|number| log.is_new(&number.to_string())).count();
        assert_eq!(logged, TEXTS_MAX - 1);
    }
}
