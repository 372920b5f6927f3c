//! Queries with a mark, remembered by their hashes: one query taken for another costs little wherever marks are used.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Queries marked at once; one more, and all marks are forgotten. To be learned again, each costs one query.
const QUERIES_MAX: usize = 4_096;

/// A set of queries.
#[derive(Debug, Default)]
pub(super) struct Marks {
    hasher: RandomState,
    queries: Mutex<HashSet<u64>>,
}

impl Marks {
    /// Whether this query has the mark.
    pub(super) fn has(&self, promql: &str) -> bool {
        let queries = self.queries();
        !queries.is_empty() && queries.contains(&self.hasher.hash_one(promql))
    }

    /// Gives a query the mark, or takes it away.
    pub(super) fn set(&self, promql: &str, is_marked: bool) {
        let mut queries = self.queries();
        if !is_marked {
            if !queries.is_empty() {
                queries.remove(&self.hasher.hash_one(promql));
            }
            return;
        }
        if queries.len() >= QUERIES_MAX {
            queries.clear();
        }
        queries.insert(self.hasher.hash_one(promql));
    }

    fn queries(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_stays_until_it_is_taken_away() {
        let marks = Marks::default();
        marks.set("up", false);
        assert!(!marks.has("up"), "nothing is known yet");
        marks.set("up", true);
        assert!(marks.has("up") && !marks.has("down"));
        marks.set("up", false);
        assert!(!marks.has("up"));
    }

    #[test]
    fn no_more_queries_are_remembered_than_there_may_be() {
        let marks = Marks::default();
        for query in 0..=QUERIES_MAX {
            marks.set(&query.to_string(), true);
        }
        assert_eq!(marks.queries().len(), 1);
        assert!(marks.has(&QUERIES_MAX.to_string()));
    }
}
