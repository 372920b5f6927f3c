//! A rule: how a metric is computed, from which backend, and what is answered without a usable number.

use std::sync::Arc;
use std::time::Duration;

use super::adapter::AdapterRule;
use super::native::NativeQuery;
use super::plan::{BackendName, Pick, Plan, PlanError, Query};
use super::policy::Policies;
use crate::metric::{MetricName, Namespace, Selector};

/// How old a reading may be by default: two thirds of the HPA's interval of 15 s.
pub const DEFAULT_MAX_AGE: Duration = Duration::from_secs(10);
/// Longest query that is sent, in bytes: the matchers are repeated in every vector selector.
const MAX_PROMQL: usize = 256 * 1024;

/// How one metric is computed. Several metrics can share a rule: one for each resource that a series describes.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The metric's name.
    pub name: MetricName,
    /// Where its queries are sent.
    pub backend: BackendName,
    /// What to answer when a query returns no usable number.
    pub policies: Policies,
    /// The greatest age of a reading that answers a read.
    pub max_age: Duration,
    /// Alive while a rule with these queries is served: the cache prefetches for nobody else.
    pub owner: Arc<()>,
    source: Source,
}

/// Where the text of the queries comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Native(NativeQuery),
    Series(Arc<AdapterRule>, Arc<str>),
}

impl Rule {
    /// A native rule with the default policies and `maxAge`.
    pub fn native(name: MetricName, backend: BackendName, query: NativeQuery) -> Self {
        Self::new(name, backend, Source::Native(query))
    }

    fn new(name: MetricName, backend: BackendName, source: Source) -> Self {
        let policies = Policies::default();
        Self { name, backend, policies, max_age: DEFAULT_MAX_AGE, owner: Arc::default(), source }
    }

    /// The rule of a metric that `rule` makes of this series.
    pub fn series(rule: &Arc<AdapterRule>, name: MetricName, series: Arc<str>) -> Self {
        Self {
            name,
            backend: rule.backend.clone(),
            policies: rule.policies,
            max_age: rule.max_age,
            owner: Arc::clone(&rule.owner),
            source: Source::Series(Arc::clone(rule), series),
        }
    }

    /// The query of a native rule.
    pub fn native_query(&self) -> Option<&NativeQuery> {
        match &self.source {
            Source::Native(query) => Some(query),
            Source::Series(..) => None,
        }
    }

    /// The adapter rule and the series that the metric is made of; none for a native rule.
    pub fn series_of(&self) -> Option<(&Arc<AdapterRule>, &Arc<str>)> {
        match &self.source {
            Source::Native(_) => None,
            Source::Series(rule, series) => Some((rule, series)),
        }
    }

    /// Takes the place of `before`, and keeps its owner if both make the same queries.
    pub fn replace(&mut self, before: &Self) {
        if self.backend == before.backend && self.source == before.source {
            self.owner = Arc::clone(&before.owner);
        }
    }

    /// How a read of this external metric in `namespace` with `selector` is answered.
    pub fn external_plan(&self, namespace: &Namespace, selector: &Selector) -> Result<Plan, PlanError> {
        let Source::Native(query) = &self.source else { return Err(PlanError::TooLong { limit: MAX_PROMQL }) };
        let promql = query.promql(namespace, selector)?;
        Ok(Plan { queries: vec![self.query(promql)?], pick: Pick::All })
    }

    fn query(&self, promql: String) -> Result<Query, PlanError> {
        if promql.len() > MAX_PROMQL {
            return Err(PlanError::TooLong { limit: MAX_PROMQL });
        }
        Ok(Query { backend: self.backend.clone(), promql: promql.into() })
    }
}

#[cfg(test)]
mod tests;
