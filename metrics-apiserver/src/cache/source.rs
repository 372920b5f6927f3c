//! The door to a backend: the trait [`QuerySource`], what it gives and how it fails.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::metric::Sample;
use crate::rules::Query;

/// What a sample takes besides the text of its labels: itself, and two pieces of memory with the counts of who shares them and
/// with what the allocator keeps.
const SAMPLE_BYTES: usize = size_of::<Sample>() + 2 * (16 + 16);

/// Whoever can put a query to a backend: Prometheus over HTTP, or a test's fake.
pub trait QuerySource: Send + Sync + 'static {
    /// What the backend says to `query`; ends within the backend's own timeout.
    fn query(&self, query: Query) -> BoxFuture<'static, Result<Reading, QueryError>>;
}

/// What a backend says to one query.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The samples.
    pub samples: Vec<Sample>,
    /// The backend's own warning that the answer is not whole: a part of its data could not be reached, so the numbers
    /// may be too small. In its words, cut short; for the log, never for the client, for they may name hosts.
    pub partial: Option<Arc<str>>,
    /// When the query was sent, after it had waited for its turn: the samples are not older than this.
    pub asked: Instant,
}

impl Reading {
    /// How much memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.samples.iter().map(|sample| SAMPLE_BYTES + sample.labels.heap_bytes()).sum()
    }
}

/// Why a backend gave no samples. Cloned to every read that waited for the same fetch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The backend's own timeout passed.
    #[error("prometheus did not answer within {0:?}")]
    TimedOut(Duration),
    /// No connection, or an answer that says the server is not able to work (5xx, 429).
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
    /// The answer is no Prometheus answer: not JSON, cut off, of another shape.
    #[error("prometheus sent an answer that cannot be read")]
    Malformed {
        /// For the log, never for the client.
        detail: Arc<str>,
    },
    /// The answer is one, but no numbers at one moment: the query is at fault.
    #[error("{what}")]
    Unfit {
        /// What it is, and what to do about it.
        what: &'static str,
    },
    /// The answer is larger than we are ready to read.
    #[error("prometheus sent more than {limit}")]
    TooMuch {
        /// The limit that was passed, with its unit.
        limit: &'static str,
    },
    /// The backend failed too often in a row to be asked: nothing was sent.
    #[error("{cause}; it failed several times in a row and is not asked again until a probe succeeds")]
    Open {
        /// The message of the failure that was the last straw.
        cause: Arc<str>,
    },
}

impl QueryError {
    /// How long the next reads of the query get the same, without asking again. Fifty HPAs on a query that fails cost
    /// one query on their beat, not fifty.
    pub fn kept_for(&self) -> Duration {
        match self {
            // What is mended meanwhile is seen with an HPA's next beat.
            _ if self.is_final() => Duration::from_secs(5),
            // Costs the backend nothing, and may be over with the next probe.
            Self::Open { .. } => Duration::ZERO,
            // HPAs that were created together read within a second.
            _ => Duration::from_secs(1),
        }
    }

    /// Whether the fault lies in the query: the backend works, and would say the same a moment later.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Unfit { .. } | Self::TooMuch { .. })
    }

    /// What the log should say besides the message; may quote the backend's own words.
    pub fn detail(&self) -> &str {
        match self {
            Self::Unavailable { detail } | Self::Refused { detail } | Self::Malformed { detail } => detail,
            Self::TimedOut(_) | Self::Unfit { .. } | Self::TooMuch { .. } | Self::Open { .. } => "",
        }
    }
}
