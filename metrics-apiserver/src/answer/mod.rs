//! Answers requests: the catalog finds the rule, the rule makes a plan, the cache has the readings, the policies make
//! values.
//!
//! Every read is counted by its outcome. Each API has its own file, which reduces its requests to a metric and a plan.

mod error;
mod explanation;
mod external;
mod metrics;
mod outcome;
mod read;
mod stats;

use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument as _, info_span};

use crate::cache::{Cache, Subscriber};
use crate::catalog::ServedCatalog;
use crate::metric::{MetricId, MetricName, Namespace};
use crate::rules::{Plan, PlanError, Rule};

pub use error::{AnswerError, Cause};
pub use explanation::{Answer, Explanation, GroupAnswer, Step, UsedReading};

use metrics::ReadMetrics;
use read::Read;

/// Answers requests from the current catalog.
pub struct Answers {
    catalog: Arc<ServedCatalog>,
    cache: Arc<Cache>,
    metrics: Arc<ReadMetrics>,
}

impl Answers {
    /// Answers from this catalog and this cache; registers the metrics of reads.
    pub fn new(catalog: Arc<ServedCatalog>, cache: Arc<Cache>, registry: &mut Registry) -> Self {
        let metrics = ReadMetrics::register(registry, Arc::clone(&catalog));
        Self { catalog, cache, metrics }
    }

    /// Prepares the statistics of new rules, so that the first read does not have to.
    pub fn prepare(&self) {
        self.metrics.renew();
    }

    /// Answers a request for a metric, which the client calls `name`, by the plan that its rule makes.
    async fn answer(
        &self,
        metric: &MetricId,
        name: &MetricName,
        namespace: &Namespace,
        plan: impl FnOnce(&Rule) -> Result<Plan, PlanError>,
        deadline: Instant,
    ) -> Explanation {
        let began = Instant::now();
        let catalog = self.catalog.current();
        let Some(rule) = catalog.rule(metric) else {
            self.metrics.count_unknown(began.elapsed());
            let (metric, readings) = (name.clone(), Vec::new());
            let groups = Err(AnswerError::Unknown { metric: metric.clone() });
            return Explanation { metric, rule: None, plan: None, readings, groups };
        };
        let stats = self.metrics.stats(&catalog, metric);
        let (name, space) = (rule.name.as_str(), namespace.as_str());
        // The cache sets `waited` if the read waits for a query.
        let span = info_span!(target: "traces", "read", metric.name = name, k8s.namespace.name = space, waited = Empty);
        let subscriber = Subscriber::new(&rule.owner, Arc::clone(&stats.queries)).in_namespace(namespace);
        let read = Read { cache: &self.cache, rule, subscriber: &subscriber, deadline };
        let explanation = async {
            let (mut readings, metric) = (Vec::new(), rule.name.clone());
            let (plan, groups) = match plan(rule) {
                Ok(plan) => {
                    let groups = read.answers(&plan, &mut readings).await;
                    (Some(plan), Ok(groups))
                }
                Err(source) => (None, Err(AnswerError::Plan { metric: metric.clone(), source })),
            };
            Explanation { metric, rule: Some(Arc::clone(rule)), plan, readings, groups }
        };
        let explanation = explanation.instrument(span).await;
        stats.record(&explanation, began.elapsed());
        explanation
    }
}

#[cfg(test)]
mod tests;
