//! Which queries have long answers: those are asked for compressed, the others are not.
//!
//! What an HPA reads is one sample, and to compress that costs more than all the rest of the query: Prometheus makes a new
//! compressor for each answer that may be compressed. Measured at Prometheus 3 with an answer of one sample:
//! 0.74 ms of processor time compressed, 0.12 ms as it is.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Some hundred series; shorter answers take longer to compress than to send.
const LONG_BYTES_MIN: usize = 64 << 10;

/// Queries remembered; one more, and all are forgotten, which costs each an answer that is not compressed.
const QUERIES_MAX: usize = 4_096;

/// The queries whose last answer was long, by their hashes: one taken for another costs a compression more or less.
#[derive(Debug, Default)]
pub(super) struct LongAnswers {
    hasher: RandomState,
    queries: Mutex<HashSet<u64>>,
}

impl LongAnswers {
    /// Whether the last answer to this query was long.
    pub(super) fn expects(&self, promql: &str) -> bool {
        let queries = self.queries();
        !queries.is_empty() && queries.contains(&self.hasher.hash_one(promql))
    }

    /// Takes note of an answer of so many bytes, decompressed.
    pub(super) fn note(&self, promql: &str, bytes: usize) {
        let mut queries = self.queries();
        if bytes < LONG_BYTES_MIN {
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
    fn the_last_answer_counts() {
        let long = LongAnswers::default();
        assert!(!long.expects("up"), "nothing is known yet");
        long.note("up", LONG_BYTES_MIN);
        assert!(long.expects("up") && !long.expects("down"));
        long.note("up", LONG_BYTES_MIN - 1);
        assert!(!long.expects("up"));
    }

    #[test]
    fn no_more_queries_are_remembered_than_there_may_be() {
        let long = LongAnswers::default();
        for query in 0..=QUERIES_MAX {
            long.note(&query.to_string(), LONG_BYTES_MIN);
        }
        assert_eq!(long.queries().len(), 1);
        assert!(long.expects(&QUERIES_MAX.to_string()));
    }
}
