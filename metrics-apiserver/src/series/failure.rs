//! Why a list of series fails, and log lines about it: one when failures begin, and one when they end.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::rules::SeriesKey;
use crate::cache::QueryError;
use crate::rules::BackendName;

/// Why a list of series is not to be relied on. Displayed for clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is none.
    Query(QueryError),
    /// The backend says that it lacks some; with its words, for the log.
    Partial(Arc<str>),
}

/// The label `outcome` of calls that succeeded, and of those that failed.
pub(super) const OUTCOMES: [&str; 8] =
    ["success", "timeout", "unavailable", "breaker_open", "refused", "unreadable", "too_large", "partial"];

impl Failure {
    /// The label `outcome` in the metrics.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Partial(_) => "partial",
            Self::Query(QueryError::TimedOut(_)) => "timeout",
            Self::Query(QueryError::Unavailable { .. }) => "unavailable",
            Self::Query(QueryError::BreakerOpen { .. }) => "breaker_open",
            Self::Query(QueryError::Refused { .. }) => "refused",
            Self::Query(QueryError::Malformed { .. } | QueryError::Unfit { .. }) => "unreadable",
            Self::Query(QueryError::TooMuch { .. }) => "too_large",
        }
    }

    /// Whether the other lists of the backend fail as well.
    fn is_of_backend(&self) -> bool {
        matches!(
            self,
            Self::Query(
                QueryError::TimedOut(_) | QueryError::Unavailable { .. } | QueryError::BreakerOpen { .. }
            )
        )
    }

    fn detail(&self) -> &str {
        match self {
            Self::Query(error) => error.detail(),
            Self::Partial(warning) => warning,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(error) => error.fmt(f),
            Self::Partial(_) => f.write_str("prometheus sent a partial list"),
        }
    }
}

/// Which failures were logged. A backend that is down is logged once, not once for each rule.
#[derive(Debug, Default)]
pub(super) struct Reports {
    backends: BTreeSet<BackendName>,
    lists: BTreeSet<SeriesKey>,
}

impl Reports {
    /// Forgets what fails no longer because nobody asks for it.
    pub(super) fn retain(&mut self, is_known: impl Fn(&SeriesKey) -> bool) {
        self.lists.retain(is_known);
    }

    /// Logs a failure, unless it goes on.
    pub(super) fn failed(&mut self, key: &SeriesKey, failure: &Failure, is_kept: bool) {
        let is_new = if failure.is_of_backend() {
            self.backends.insert(key.backend.clone())
        } else {
            self.lists.insert(key.clone())
        };
        if is_new {
            let (backend, series_query, detail) = (&*key.backend.0, &*key.selector, failure.detail());
            let effect = if is_kept { "the last list stays in use" } else { "its metrics are not known yet" };
            tracing::warn!(backend, series_query, error = %failure, detail, "cannot list series; {effect}");
        }
    }

    /// Logs the end of failures.
    pub(super) fn succeeded(&mut self, key: &SeriesKey) {
        let was_down = self.backends.remove(&key.backend);
        if self.lists.remove(key) || was_down {
            let (backend, series_query) = (&*key.backend.0, &*key.selector);
            tracing::info!(backend, series_query, "series are listed again");
        }
    }
}
