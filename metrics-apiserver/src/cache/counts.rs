//! Counters of queries: one set per metric, one per backend.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use super::{QueryError, Reading};
use crate::limit::LogLimiter;

/// Seconds. From a query of recent samples to the longest timeout that makes sense for an HPA.
const BUCKETS: [f64; 11] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

const OUTCOMES: [&str; 7] =
    ["success", "timeout", "unavailable", "refused", "malformed", "too_much", "breaker_open"];

/// One log line per metric in this time: a client that asks ever new selectors makes each of them fail.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Completed queries by outcome, and the duration of those that were sent.
#[derive(Debug)]
pub struct QueryCounts {
    /// The log of failed queries.
    pub(super) failures: LogLimiter,
    outcomes: [Counter; OUTCOMES.len()],
    durations: Histogram,
}

impl Default for QueryCounts {
    fn default() -> Self {
        Self {
            failures: LogLimiter::new(LOG_INTERVAL, 1),
            outcomes: Default::default(),
            durations: Histogram::new(BUCKETS),
        }
    }
}

impl QueryCounts {
    /// Counts a completed query; returns its outcome.
    pub fn ended(&self, result: &Result<Reading, QueryError>, took: Duration) -> &'static str {
        let outcome = match result {
            Ok(_) => 0,
            Err(QueryError::TimedOut(_)) => 1,
            Err(QueryError::Unavailable { .. }) => 2,
            Err(QueryError::Refused { .. }) => 3,
            Err(QueryError::Malformed { .. } | QueryError::Unfit { .. }) => 4,
            Err(QueryError::TooMuch { .. }) => 5,
            Err(QueryError::BreakerOpen { .. }) => 6,
        };
        self.outcomes[outcome].inc();
        if !matches!(result, Err(QueryError::BreakerOpen { .. })) {
            self.durations.observe(took.as_secs_f64());
        }
        OUTCOMES[outcome]
    }

    /// Whether any has completed.
    pub fn any(&self) -> bool {
        self.outcomes.iter().any(|counter| counter.get() > 0)
    }

    /// Encodes the counters with this label and the label `outcome`; those at zero only if `all`.
    pub fn encode_outcomes(
        &self,
        (name, value): (&str, &str),
        all: bool,
        encoder: &mut MetricEncoder<'_>,
    ) -> fmt::Result {
        let outcomes = OUTCOMES.iter().zip(&self.outcomes);
        outcomes.filter(|(_, counter)| all || counter.get() > 0).try_for_each(|(outcome, counter)| {
            counter.encode(encoder.encode_family(&[(name, value), ("outcome", *outcome)])?)
        })
    }

    /// Duration in seconds of all queries but those that an open breaker ended.
    pub fn durations(&self) -> &Histogram {
        &self.durations
    }
}
