//! Answers of `external.metrics.k8s.io`: a metric of one namespace.

use tokio::time::Instant;

use super::Answers;
use super::error::AnswerError;
use super::explanation::{Answer, Explanation};
use crate::metric::{MetricId, MetricName, Namespace, Selector};

impl Answers {
    /// The values of an external metric in one namespace, by `deadline`.
    pub async fn external(
        &self,
        namespace: &Namespace,
        metric: &MetricName,
        selector: &Selector,
        deadline: Instant,
    ) -> Result<Answer, AnswerError> {
        self.explain_external(namespace, metric, selector, deadline).await.into_answer()
    }

    /// The same with how it came about.
    pub async fn explain_external(
        &self,
        namespace: &Namespace,
        metric: &MetricName,
        selector: &Selector,
        deadline: Instant,
    ) -> Explanation {
        let id = MetricId::external(metric.clone());
        self.answer(&id, namespace, |rule| rule.plan(namespace, selector), deadline).await
    }
}
