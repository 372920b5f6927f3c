//! Why a query or a read fails.

use std::sync::Arc;
use std::time::Duration;

/// Why a read gets no reading.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The query failed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The read's deadline passed first; the query continues and serves the next read.
    #[error("prometheus did not answer in time; the next read gets this query's result")]
    DeadlinePassed,
    /// The query that the read waited for was sent more than `maxAge` before it.
    #[error(
        "prometheus did not answer within the metric's maxAge of {0:?}; make the query faster or increase maxAge"
    )]
    TooOld(Duration),
    /// [`Limits::in_flight`](super::Limits::in_flight) queries are in flight.
    #[error("too many queries to prometheus are in flight")]
    Busy,
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
