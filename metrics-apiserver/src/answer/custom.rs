//! Answers of `custom.metrics.k8s.io`: a metric of objects of the cluster.

use std::sync::Arc;

use tokio::time::Instant;

use super::Answers;
use super::error::AnswerError;
use super::explanation::{Explanation, GroupAnswer};
use crate::metric::{
    MetricId, MetricName, Namespace, ObjectRef, ResourceInfo, Resources, Scope, Selector, Value,
};
use crate::objects::Selection;
use crate::rules::{CustomTarget, Plan, PlanError, Rule};

/// A read of a custom metric; its names and selectors are valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomRequest {
    /// The resource of the objects as the client wrote it: in the singular or plural, with or without its group.
    pub resource: Arc<str>,
    /// The namespace of the objects; none for cluster-scoped ones.
    pub namespace: Option<Namespace>,
    /// Which objects.
    pub objects: WantedObjects,
    /// The metric.
    pub metric: MetricName,
    /// Which of the metric's series.
    pub selector: Selector,
}

/// The objects that a read is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedObjects {
    /// The one of this name. Whether it exists is not looked up.
    Named(Arc<str>),
    /// All with these labels.
    Selected(Selector),
}

/// The values of a metric, one for each object that has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomAnswer {
    /// The resource of the objects.
    pub resource: Arc<ResourceInfo>,
    /// The objects with their values, sorted by name. Exactly one if the client named the object.
    pub values: Vec<(ObjectRef, Value)>,
}

impl Answers {
    /// The values of a custom metric, by `deadline`.
    pub async fn custom(
        &self,
        request: &CustomRequest,
        deadline: Instant,
    ) -> Result<CustomAnswer, AnswerError> {
        let resources = self.objects.resources();
        let Some(resource) = request.resolve(&resources) else {
            self.metrics.count_unknown(std::time::Duration::ZERO);
            return Err(request.unresolved());
        };
        let explanation = self.explain_custom(request, resource, &resources, deadline).await;
        let values = request.values(explanation)?;
        Ok(CustomAnswer { resource: Arc::clone(resource), values })
    }

    /// The values of a custom metric of objects of `resource`, by `deadline`, and how they came about.
    async fn explain_custom(
        &self,
        request: &CustomRequest,
        resource: &Arc<ResourceInfo>,
        resources: &Resources,
        deadline: Instant,
    ) -> Explanation {
        let scope = if request.namespace.is_some() { Scope::Namespaced } else { Scope::Cluster };
        let metric =
            MetricId::Custom { resource: resource.resource.clone(), scope, name: request.metric.clone() };
        let Some(served) = self.served(&metric) else {
            let pending = self.catalog.pending(&metric);
            let metric = request.metric.clone();
            let (of, source) = (request.resource.to_string(), None);
            return Explanation::unknown(
                &request.metric,
                AnswerError::NotFound { metric, of, pending, source },
            );
        };
        let plan = self.custom_plan(request, resource, resources, &served.rule, deadline).await;
        self.explain(&served, request.namespace.as_ref().map_or("", Namespace::as_str), plan, deadline).await
    }

    async fn custom_plan(
        &self,
        request: &CustomRequest,
        resource: &Arc<ResourceInfo>,
        resources: &Resources,
        rule: &Rule,
        deadline: Instant,
    ) -> Result<Plan, AnswerError> {
        let (resource, namespace) = (Arc::clone(resource), request.namespace.clone());
        let names = match &request.objects {
            WantedObjects::Named(name) => vec![Arc::clone(name)],
            WantedObjects::Selected(selector) => {
                let selector = selector.clone();
                let selection = Selection::new(Arc::clone(&resource), namespace.clone(), selector);
                let selected = self.objects.select(&selection, deadline).await?;
                selected.iter().map(|object| Arc::clone(&object.name)).collect()
            }
        };
        if names.is_empty() {
            return Err(request.not_found(None));
        }
        let target = CustomTarget { resource, namespace, names };
        rule.custom_plan(&target, &request.selector, resources).map_err(|source| match source {
            PlanError::TooLong { .. } => AnswerError::Plan { metric: request.metric.clone(), source },
            source => request.not_found(Some(source)),
        })
    }
}

impl CustomRequest {
    /// The resource that the client means: what is behind the first dot is the group.
    fn resolve<'a>(&self, resources: &'a Resources) -> Option<&'a Arc<ResourceInfo>> {
        match self.resource.split_once('.') {
            Some((resource, group)) => resources.resolve(resource, Some(group)),
            None => resources.resolve(&self.resource, None),
        }
    }

    /// As prometheus-adapter has it: to list objects of an unknown resource fails, one of them has no metric.
    fn unresolved(&self) -> AnswerError {
        match &self.objects {
            WantedObjects::Named(_) => self.not_found(None),
            WantedObjects::Selected(_) => {
                AnswerError::UnknownResource { resource: Arc::clone(&self.resource) }.of_custom()
            }
        }
    }

    fn not_found(&self, source: Option<PlanError>) -> AnswerError {
        AnswerError::NotFound {
            metric: self.metric.clone(),
            of: self.resource.to_string(),
            pending: None,
            source,
        }
    }

    /// The values of the objects that have one. An object without a usable value is left out, unless that leaves
    /// nothing; an object without data is left out in any case.
    fn values(&self, explanation: Explanation) -> Result<Vec<(ObjectRef, Value)>, AnswerError> {
        let groups = explanation.groups.map_err(AnswerError::of_custom)?;
        let (mut found, mut failure) = (Vec::with_capacity(groups.len()), None);
        for GroupAnswer { object, values, .. } in groups {
            match values {
                // The policies of a custom metric make one value of an object; of several, the last one counts.
                Ok(mut values) => found.extend(object.zip(values.pop())),
                Err(error) if error.is_no_data() => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
        match (failure, &self.objects) {
            (Some(failure), _) => Err(failure.of_custom()),
            (None, WantedObjects::Selected(_)) => Ok(found),
            (None, WantedObjects::Named(name)) => {
                let of = format!("{} {name}", self.resource);
                Err(AnswerError::NotFound { metric: self.metric.clone(), of, pending: None, source: None })
            }
        }
    }
}

#[cfg(test)]
mod tests;
