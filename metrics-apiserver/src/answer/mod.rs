//! Answers requests: the catalog finds the rule, the rule makes a plan, the cache has the readings, the policies make
//! values.
//!
//! Every read is counted by its outcome. Each API has its own file, which reduces its requests to a metric and a plan.

mod custom;
mod error;
mod explanation;
mod external;
mod grouping;
mod metrics;
mod outcome;
mod read;
mod resource;
mod stats;
mod usage;

use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument as _, info_span};

use crate::cache::{Cache, Subscriber};
use crate::catalog::ServedCatalog;
use crate::metric::{MetricId, MetricName, Namespace};
use crate::objects::Objects;
use crate::rules::{Plan, PlanError, Rule};

pub use custom::{CustomAnswer, CustomRequest, WantedObjects};
pub use error::{AnswerError, Cause};
pub use explanation::{Answer, Explanation, GroupAnswer, Step, UsedReading};
pub use usage::{ContainerUsage, ObjectUsage, Usage, UsageAnswer, UsageRequest, UsageTarget, Used};

use grouping::FixedGrouping;
use metrics::ReadMetrics;
use read::Read;
use stats::ReadStats;

/// Answers requests from the current catalog.
pub struct Answers {
    catalog: Arc<ServedCatalog>,
    cache: Arc<Cache>,
    objects: Arc<Objects>,
    metrics: Arc<ReadMetrics>,
    fixed_by: FixedGrouping,
}

impl Answers {
    /// Answers from this catalog and this cache about these objects; registers the metrics of reads.
    pub fn new(
        catalog: Arc<ServedCatalog>,
        cache: Arc<Cache>,
        objects: Arc<Objects>,
        registry: &mut Registry,
    ) -> Self {
        let metrics = ReadMetrics::register(registry, Arc::clone(&catalog));
        Self { catalog, cache, objects, metrics, fixed_by: FixedGrouping::default() }
    }

    /// The catalog that is served.
    pub fn catalog(&self) -> &ServedCatalog {
        &self.catalog
    }

    /// The cluster's resources and objects.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Prepares the statistics of new rules, so that the first read does not have to.
    pub fn prepare(&self) {
        self.metrics.renew();
    }

    /// Answers a request for a metric, which the client calls `name`, by the plan that its rule makes.
    async fn answer(
        &self,
        id: &MetricId,
        name: &MetricName,
        namespace: &Namespace,
        plan: impl FnOnce(&Rule) -> Result<Plan, PlanError>,
        deadline: Instant,
    ) -> Explanation {
        let Some(served) = self.served(id) else {
            let metric = name.clone();
            let error = match self.catalog.pending(id) {
                Some(pending) => AnswerError::Pending { metric, pending },
                None => AnswerError::Unknown { metric },
            };
            return Explanation::unknown(name, error);
        };
        let plan = plan(&served.rule)
            .map_err(|source| AnswerError::Plan { metric: served.rule.name.clone(), source });
        self.explain(&served, namespace.as_str(), plan, deadline).await
    }

    /// The rule that serves `metric`. A read of a metric that none serves is counted here.
    fn served(&self, metric: &MetricId) -> Option<Served> {
        let (began, catalog) = (Instant::now(), self.catalog.current());
        let Some(rule) = catalog.rule(metric) else {
            self.metrics.count_unknown(began.elapsed());
            return None;
        };
        Some(Served { rule: Arc::clone(rule), stats: self.metrics.stats(&catalog, metric, rule), began })
    }

    /// Answers a request by the plan that its rule made, if it made one, and counts the read.
    async fn explain(
        &self,
        served: &Served,
        namespace: &str,
        plan: Result<Plan, AnswerError>,
        deadline: Instant,
    ) -> Explanation {
        let Served { rule, stats, began } = served;
        let name = rule.name.as_str();
        // The cache sets `waited` if the read waits for a query.
        let span = info_span!(
            target: "traces", "read", metric.name = name, k8s.namespace.name = namespace, waited = Empty,
        );
        let subscriber = Subscriber::new(&rule.owner, Arc::clone(&stats.queries)).in_namespace(namespace);
        let read = Read { cache: &self.cache, rule, subscriber: &subscriber, deadline };
        let explanation = async {
            let mut readings = Vec::new();
            let (plan, groups) = match plan {
                Ok(plan) => {
                    let groups = read.answers(&plan, &mut readings).await;
                    (Some(plan), Ok(groups))
                }
                Err(error) => (None, Err(error)),
            };
            let (metric, rule) = (rule.name.clone(), Some(Arc::clone(rule)));
            Explanation { metric, rule, plan, readings, groups }
        };
        let explanation = explanation.instrument(span).await;
        stats.record(&explanation, began.elapsed());
        explanation
    }
}

/// A rule that serves what a request asks for.
struct Served {
    rule: Arc<Rule>,
    stats: Arc<ReadStats>,
    began: Instant,
}

#[cfg(test)]
mod tests;
