//! The interface to a backend: the trait [`QuerySource`], its result and its errors.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::metric::Sample;
use crate::rules::Query;

/// Memory of a sample besides the text of its labels: the sample itself and two heap allocations, each with reference
/// counts and the allocator's overhead.
const SAMPLE_BYTES: usize = size_of::<Sample>() + 2 * (16 + 16);

/// Runs a query on a backend: Prometheus over HTTP, or a fake in tests.
pub trait QuerySource: Send + Sync + 'static {
    /// The backend's result for `query`; ends within the backend's own timeout.
    ///
    /// `owner` is not part of the query: it lets the backend limit how much of it one metric uses.
    fn query(&self, query: Query, owner: Owner) -> BoxFuture<'static, Result<Reading, QueryError>>;
}

/// The metric that a query is sent for, by the identity of something that it shares with no other metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner(usize);

impl Owner {
    /// The metric that this is part of, such as its counts.
    pub fn new<T>(part: &Arc<T>) -> Self {
        Self(Arc::as_ptr(part).addr())
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

/// Why a backend returned no samples. Cloned to every read that waited for the query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The backend's own timeout passed.
    #[error("prometheus did not answer within {0:?}")]
    TimedOut(Duration),
    /// No connection, or a response that says the server cannot work (5xx, 429).
    #[error("prometheus is not reachable")]
    Unavailable {
        /// For the log, never for the client.
        detail: Arc<str>,
    },
    /// Prometheus refused the query (4xx, or `status: error`).
    #[error("prometheus refused the query")]
    Refused {
        /// For the log, never for the client.
        detail: Arc<str>,
    },
    /// The response is not a Prometheus response: not JSON, truncated, or of another shape.
    #[error("prometheus sent an answer that cannot be read")]
    Malformed {
        /// For the log, never for the client.
        detail: Arc<str>,
    },
    /// The result is valid, but not an instant vector or scalar of numbers: the query is wrong.
    #[error("{what}")]
    Unfit {
        /// What it is, and how to fix the query.
        what: &'static str,
    },
    /// The response exceeds a limit.
    #[error("prometheus sent more than {limit}")]
    TooMuch {
        /// The limit, with its unit.
        limit: &'static str,
    },
    /// The backend failed several times in a row: the query was not sent.
    #[error("{cause}; circuit breaker open, waiting for a successful probe")]
    BreakerOpen {
        /// The message of the failure that opened the breaker.
        cause: Arc<str>,
    },
}

impl QueryError {
    /// How long reads get this error without a new query, so that fifty HPAs on a failing query cost one query per
    /// interval, not fifty.
    pub fn kept_for(&self) -> Duration {
        match self {
            // Short enough that a repaired query is seen by the next read of an HPA.
            _ if self.is_final() => Duration::from_secs(5),
            // Costs the backend nothing, and the next probe may close the breaker.
            Self::BreakerOpen { .. } => Duration::ZERO,
            // HPAs that were created together read within a second.
            _ => Duration::from_secs(1),
        }
    }

    /// Whether the query itself is wrong: the backend works and would return the same error again.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Unfit { .. } | Self::TooMuch { .. })
    }

    /// Details for the log; may quote the backend.
    pub fn detail(&self) -> &str {
        match self {
            Self::Unavailable { detail } | Self::Refused { detail } | Self::Malformed { detail } => detail,
            Self::TimedOut(_) | Self::Unfit { .. } | Self::TooMuch { .. } | Self::BreakerOpen { .. } => "",
        }
    }
}
