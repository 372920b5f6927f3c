//! What is counted of queries: for each metric here, for each backend there.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use super::{QueryError, Reading};

/// From a query that is answered from Prometheus' head to the longest timeout that makes sense for an HPA.
const BUCKETS: [f64; 11] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

const OUTCOMES: [&str; 7] =
    ["success", "timeout", "unavailable", "refused", "malformed", "too_much", "breaker_open"];

/// How queries ended, and how long those took that no open breaker ended.
#[derive(Debug)]
pub struct QueryCounts {
    outcomes: [Counter; OUTCOMES.len()],
    durations: Histogram,
}

impl Default for QueryCounts {
    fn default() -> Self {
        Self { outcomes: Default::default(), durations: Histogram::new(BUCKETS) }
    }
}

impl QueryCounts {
    /// A query ended after so long; says how.
    pub fn ended(&self, fetched: &Result<Reading, QueryError>, took: Duration) -> &'static str {
        let outcome = match fetched {
            Ok(_) => 0,
            Err(QueryError::TimedOut(_)) => 1,
            Err(QueryError::Unavailable { .. }) => 2,
            Err(QueryError::Refused { .. }) => 3,
            Err(QueryError::Malformed { .. } | QueryError::Unfit { .. }) => 4,
            Err(QueryError::TooMuch { .. }) => 5,
            Err(QueryError::BreakerOpen { .. }) => 6,
        };
        self.outcomes[outcome].inc();
        if !matches!(fetched, Err(QueryError::BreakerOpen { .. })) {
            self.durations.observe(took.as_secs_f64());
        }
        OUTCOMES[outcome]
    }

    /// Whether any has ended.
    pub fn any(&self) -> bool {
        self.outcomes.iter().any(|counter| counter.get() > 0)
    }

    /// Writes how many ended in each way, with this label and the label `outcome`; ways that never happened only if `all`.
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

    /// How long those took that no open breaker ended, in seconds.
    pub fn durations(&self) -> &Histogram {
        &self.durations
    }
}
