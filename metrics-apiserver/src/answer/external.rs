//! Answers of `external.metrics.k8s.io`: a metric of one namespace.

use tokio::time::Instant;

use super::Answers;
use super::explanation::Explanation;
use crate::metric::{MetricId, MetricName, Namespace, Selector};
use crate::rules::Rule;

impl Answers {
    /// The values of an external metric in one namespace, by `deadline`, and how they came about.
    pub async fn external(
        &self,
        namespace: &Namespace,
        metric: &MetricName,
        selector: &Selector,
        deadline: Instant,
    ) -> Explanation {
        let resources = self.objects.resources();
        let plan = |rule: &Rule| rule.external_plan(namespace, selector, &resources);
        self.answer(&MetricId::external(metric), metric, namespace, plan, deadline).await
    }
}
