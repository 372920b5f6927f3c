//! What backends say beside their samples, in the log: each text once.
//!
//! A remark on a query comes with every answer to it, every 15 s for as long as the rule is there.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use super::annotations::Annotations;
use crate::cache::BackendName;

/// Texts remembered of one backend. Some name what differs from query to query; beyond so many they are counted in the
/// metrics and said no more.
const TEXTS_MAX: usize = 256;

/// The texts that were said, by their hashes.
#[derive(Debug, Default)]
pub(super) struct AnnotationLog {
    said: Mutex<HashSet<u64>>,
    hash: RandomState,
}

impl AnnotationLog {
    /// Says what was not said before.
    pub(super) fn log(&self, backend: &BackendName, query: &str, annotations: &Annotations) {
        let backend = &*backend.0;
        if let Some(text) = annotations.partial.as_deref().filter(|text| self.is_new(text)) {
            tracing::warn!(backend, query, text, "prometheus says that its answer is not whole");
        }
        for text in annotations.warnings.iter().filter(|text| self.is_new(text)) {
            tracing::warn!(backend, query, text, "prometheus warns of a query");
        }
        for text in annotations.infos.iter().filter(|text| self.is_new(text)) {
            tracing::info!(backend, query, text, "prometheus remarks on a query");
        }
    }

    fn is_new(&self, text: &str) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.len() < TEXTS_MAX && said.insert(self.hash.hash_one(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_said_once_and_only_so_many_are() {
        let remarks = AnnotationLog::default();
        assert!(remarks.is_new("a"));
        assert!(!remarks.is_new("a"));
        let said = (0..10_000).filter(|number| remarks.is_new(&number.to_string())).count();
        assert_eq!(said, TEXTS_MAX - 1);
    }
}
