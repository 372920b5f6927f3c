//! A rule: how a metric is computed, from which backend, and what is answered without a usable number.

use std::sync::Arc;
use std::time::Duration;

use super::adapter::{AdapterRule, Objects};
use super::native::NativeQuery;
use super::plan::{BackendName, MAX_PROMQL, Pick, Plan, PlanError, Query};
use super::policy::Policies;
use crate::metric::{MetricName, Namespace, ObjectRef, ResourceInfo, Resources, Selector};

/// How old a reading may be by default: two thirds of the HPA's interval of 15 s.
pub const DEFAULT_MAX_AGE: Duration = Duration::from_secs(10);

/// How one metric is computed. Several metrics can share a rule: one for each resource that a series describes.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The metric's name.
    pub name: MetricName,
    /// Where its queries are sent.
    pub backend: BackendName,
    /// Whether the backend is told the namespace of each request. Only for native rules: the series of others are
    /// discovered in all namespaces at once.
    pub tells_namespace: bool,
    /// What to answer when a query returns no usable number.
    pub policies: Policies,
    /// The greatest age of a reading that answers a read.
    pub max_age: Duration,
    /// Alive while a rule with these queries is served: the cache prefetches for nobody else.
    pub owner: Arc<()>,
    source: Source,
}

/// Where the text of the queries comes from.
#[derive(Debug, Clone)]
enum Source {
    Native(NativeQuery),
    /// A rule of prometheus-adapter, and one of the series that it takes.
    Series(Arc<AdapterRule>, Arc<str>),
}

/// The objects that a custom metric is read for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomTarget {
    /// Their resource.
    pub resource: Arc<ResourceInfo>,
    /// Their namespace; none for cluster-scoped objects.
    pub namespace: Option<Namespace>,
    /// Their names, each once; the answer has this order.
    pub names: Vec<Arc<str>>,
}

impl Rule {
    /// A native rule with the default policies and `maxAge`.
    pub fn native(name: MetricName, backend: BackendName, query: NativeQuery) -> Self {
        Self::new(name, backend, Source::Native(query))
    }

    fn new(name: MetricName, backend: BackendName, source: Source) -> Self {
        let policies = Policies::default();
        let (tells_namespace, owner) = (false, Arc::default());
        Self { name, backend, tells_namespace, policies, max_age: DEFAULT_MAX_AGE, owner, source }
    }

    /// The metric `name` of a series that a rule of prometheus-adapter takes.
    pub fn series(rule: &Arc<AdapterRule>, name: MetricName, series: Arc<str>) -> Self {
        Self {
            name,
            backend: rule.backend.clone(),
            tells_namespace: false,
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

    /// Whether it is written in PromQL, with namespace and selector injected.
    pub const fn is_native(&self) -> bool {
        matches!(self.source, Source::Native(_))
    }

    /// The rule of prometheus-adapter and the series that it is made of.
    pub fn series_of(&self) -> Option<(&Arc<AdapterRule>, &Arc<str>)> {
        match &self.source {
            Source::Native(_) => None,
            Source::Series(rule, series) => Some((rule, series)),
        }
    }

    /// Takes the place of `before`, and keeps its owner if both make the same queries. The owner of a series' metric is
    /// its adapter rule, which a reload keeps if it is the same.
    pub fn replace(&mut self, before: &Self) {
        if let (Source::Native(query), Source::Native(known)) = (&self.source, &before.source)
            && self.backend == before.backend
            && self.tells_namespace == before.tells_namespace
            && query == known
        {
            self.owner = Arc::clone(&before.owner);
        }
    }

    /// How a read of this external metric in `namespace` with `selector` is answered, in a cluster with these
    /// resources.
    pub fn external_plan(
        &self,
        namespace: &Namespace,
        selector: &Selector,
        resources: &Resources,
    ) -> Result<Plan, PlanError> {
        // Some servers take a tenant of this name for all of them.
        if self.tells_namespace && namespace.is_wildcard() {
            return Err(PlanError::AllNamespaces);
        }
        let promql = match &self.source {
            Source::Native(query) => query.promql(namespace, selector)?,
            Source::Series(rule, series) => {
                rule.external_query(series, namespace.as_str(), selector, resources)?
            }
        };
        let told = self.tells_namespace.then(|| namespace.clone());
        Ok(Plan { queries: vec![Query { namespace: told, ..self.query(promql)? }], pick: Pick::All })
    }

    /// How a read of this custom metric for these objects is answered, in a cluster with these resources. `selector` is
    /// the metric's own: it selects series, not objects.
    pub fn custom_plan(
        &self,
        target: &CustomTarget,
        selector: &Selector,
        resources: &Resources,
    ) -> Result<Plan, PlanError> {
        let Source::Series(rule, series) = &self.source else { return Err(PlanError::NotCustom) };
        let CustomTarget { resource, namespace, names } = target;
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        let objects =
            Objects { resource, namespace: namespace.as_ref().map(Namespace::as_str), names: &names };
        let promql = rule.custom_query(series, &objects, selector, resources)?;
        let object = |name: &Arc<str>| ObjectRef {
            resource: resource.resource.clone(),
            namespace: namespace.clone(),
            name: Arc::clone(name),
        };
        let objects = target.names.iter().map(object).collect();
        let pick = Pick::ByLabel { label: rule.label_of(resource, resources)?, objects };
        Ok(Plan { queries: vec![self.query(promql)?], pick })
    }

    fn query(&self, promql: String) -> Result<Query, PlanError> {
        if promql.len() > MAX_PROMQL {
            return Err(PlanError::TooLong { limit: MAX_PROMQL });
        }
        Ok(Query::new(self.backend.clone(), promql))
    }
}

#[cfg(test)]
mod tests;
