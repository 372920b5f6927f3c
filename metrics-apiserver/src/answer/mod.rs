//! One request → values: catalog, rule, memory, policies.
//!
//! Adds no facts of its own: the catalog knows the rule, the rule the query and the policies, memory the reading.
//! Every read is counted, with how it ended.

mod metrics;
mod outcome;
mod read;
mod stats;

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use prometheus_client::registry::Registry;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument as _, info_span};

use crate::cache::{Cache, ReadError, Subscriber};
use crate::catalog::ServedCatalog;
use crate::metric::{MetricName, Namespace, Selector, Value};
use crate::rules::{PlanError, Rule, ValueError};

use metrics::ReadMetrics;
use read::Served;

/// What one request gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The metric's name as the operator wrote it.
    pub metric: MetricName,
    /// One or more.
    pub values: Vec<Value>,
}

/// Why a request gets no values.
///
/// The message is what the client may know, its cause included: the HPA shows it to whoever looks for the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// No rule serves this name: the client's mistake, or the operator's.
    #[error(
        "no rule serves the metric `{metric}`; check the name, or add a rule to the server's configuration"
    )]
    Unknown {
        /// The name as the client wrote it.
        metric: MetricName,
    },
    /// The client's selector asks for what the rule does not allow.
    #[error("metric `{metric}`: {source}")]
    Plan {
        /// The metric.
        metric: MetricName,
        /// What is not allowed.
        source: PlanError,
    },
    /// No reading in time.
    #[error("metric `{metric}`: {source}; the server's log says more")]
    Read {
        /// The metric.
        metric: MetricName,
        /// What went wrong.
        source: ReadError,
    },
    /// What Prometheus says is no value by the rule's policies.
    #[error("metric `{metric}`: {source}")]
    Value {
        /// The metric.
        metric: MetricName,
        /// Why not, and what the operator can do.
        source: ValueError,
    },
    /// The same as one of the above, and nothing can be held in its place any more.
    #[error("{error}; the hold is over: no reading of the last {} was good", spoken(*longest))]
    HoldOver {
        /// What is wrong now.
        error: Box<Self>,
        /// How old a reading may be that is held.
        longest: Duration,
    },
}

/// As in `5m 10s`.
fn spoken(duration: Duration) -> String {
    SignedDuration::try_from(duration)
        .map_or_else(|_| format!("{duration:?}"), |duration| format!("{duration:#}"))
}

/// Answers requests from the catalog of the moment.
pub struct Answers {
    catalog: Arc<ServedCatalog>,
    cache: Arc<Cache>,
    metrics: Arc<ReadMetrics>,
}

impl Answers {
    /// Answers from this catalog and this memory; `registry` shows what was answered.
    pub fn new(catalog: Arc<ServedCatalog>, cache: Arc<Cache>, registry: &mut Registry) -> Self {
        let metrics = ReadMetrics::register(registry, Arc::clone(&catalog));
        Self { catalog, cache, metrics }
    }

    /// Makes what the first read by new rules would have to make.
    pub fn prepare(&self) {
        self.metrics.renew();
    }

    /// The values of an external metric in one namespace, by `deadline`.
    pub async fn external(
        &self,
        namespace: &Namespace,
        metric: &MetricName,
        selector: &Selector,
        deadline: Instant,
    ) -> Result<Answer, AnswerError> {
        let began = Instant::now();
        let catalog = self.catalog.current();
        let Some(rule) = catalog.rule(metric) else {
            self.metrics.count_unknown(began.elapsed());
            return Err(AnswerError::Unknown { metric: metric.clone() });
        };
        let stats = self.metrics.stats(&catalog, &rule.name);
        let (name, space) = (rule.name.as_str(), namespace.as_str());
        // Cache says so if the read waits.
        let span = info_span!(target: "traces", "read", metric.name = name, k8s.namespace.name = space, waited = Empty);
        let subscriber = Subscriber::new(&rule.owner, Arc::clone(&stats.queries));
        let read = self.read(rule, namespace, selector, &subscriber, deadline).instrument(span).await;
        stats.record(rule.name.as_str(), &read, began.elapsed());
        read.map(|served| Answer { metric: rule.name.clone(), values: served.values })
    }

    async fn read(
        &self,
        rule: &Rule,
        namespace: &Namespace,
        selector: &Selector,
        subscriber: &Subscriber,
        deadline: Instant,
    ) -> Result<Served, AnswerError> {
        let query = rule
            .query(namespace, selector)
            .map_err(|source| AnswerError::Plan { metric: rule.name.clone(), source })?;
        read::read(&self.cache, rule, &query, subscriber, deadline).await
    }
}

#[cfg(test)]
mod tests;
