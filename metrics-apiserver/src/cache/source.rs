//! The interface to a backend: the trait [`QuerySource`] and its result.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::QueryError;
use crate::metric::Sample;
use crate::rules::Query;

/// Memory of a sample besides the text of its labels: the sample itself and two heap allocations, each with reference
/// counts and the allocator's overhead.
const SAMPLE_BYTES: usize = size_of::<Sample>() + 2 * (16 + 16);

/// Runs a query on a backend: Prometheus over HTTP, or a fake in tests.
pub trait QuerySource: Send + Sync + 'static {
    /// The backend's result for `query`; ends within the backend's own timeout.
    ///
    /// `owner` is not part of the query: it lets the backend limit how much of it one metric of a namespace uses.
    fn query(&self, query: Query, owner: Owner) -> BoxFuture<'static, Result<Reading, QueryError>>;
}

/// What a query is sent for: a metric, by the identity of something that it shares with no other metric, read in a
/// namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner {
    metric: usize,
    /// A hash: two namespaces with the same one would only share what each could have.
    namespace: u64,
}

impl Owner {
    /// The metric that this is part of, such as its counts.
    pub fn new<T>(part: &Arc<T>) -> Self {
        Self { metric: Arc::as_ptr(part).addr(), namespace: 0 }
    }

    /// The same metric in one namespace.
    #[must_use]
    pub fn in_namespace(self, namespace: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        namespace.hash(&mut hasher);
        Self { namespace: hasher.finish(), ..self }
    }

    /// A hash of the namespace.
    pub(super) fn namespace(self) -> u64 {
        self.namespace
    }
}

/// The result of one query.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The samples.
    pub samples: Vec<Sample>,
    /// The backend's warning that the result is partial: some of its data was unreachable, so values may be too small.
    /// The backend's words, truncated; for the log only, because they may name hosts.
    pub partial: Option<Arc<str>>,
    /// When the query was sent, after it had waited for a permit: the samples are at least this recent.
    pub asked: Instant,
}

impl Reading {
    /// Memory used, in bytes.
    pub fn bytes(&self) -> usize {
        self.samples.iter().map(|sample| SAMPLE_BYTES + sample.labels.heap_bytes()).sum()
    }
}
