//! A rule of prometheus-adapter: which series it takes, what it calls their metrics, and how it asks for them.

use std::sync::Arc;
use std::time::Duration;

use super::core::{NAMESPACES, is_root_scoped};
use super::error::QueryError;
use super::matchers::Matchers;
use super::naming::Naming;
use super::resources::{Meaning, ResourceLabels};
use super::strings;
use super::template::{Fields, QueryFields, Template};
use crate::metric::{ResourceInfo, Resources, Selector};
use crate::rules::plan::{BackendName, MAX_PROMQL};
use crate::rules::policy::Policies;

/// The label with the name of a series. It describes no object.
const NAME: &str = "__name__";

/// A rule for custom or external metrics.
#[derive(Debug, Clone)]
pub struct AdapterRule {
    /// The selector of the series that are discovered.
    pub series_query: Arc<str>,
    /// Which of the series it takes, and what their metrics are called.
    pub naming: Naming,
    /// Which labels name which resources.
    pub resources: ResourceLabels,
    /// Whether external metrics belong to the namespace of the request; custom metrics know that themselves.
    pub namespaced: bool,
    /// The query of a metric.
    pub query: Template,
    /// Where its queries are sent.
    pub backend: BackendName,
    /// What to answer when a query returns no usable number.
    pub policies: Policies,
    /// The greatest age of a reading that answers a read.
    pub max_age: Duration,
    /// Alive while the rule is served: the cache prefetches for nobody else.
    pub owner: Arc<()>,
}

/// By what was configured.
impl PartialEq for AdapterRule {
    fn eq(&self, other: &Self) -> bool {
        self.series_query == other.series_query
            && self.naming == other.naming
            && self.resources == other.resources
            && self.namespaced == other.namespaced
            && self.query == other.query
            && self.backend == other.backend
            && self.policies == other.policies
            && self.max_age == other.max_age
    }
}

impl Eq for AdapterRule {}

/// The objects of one request for a custom metric.
#[derive(Debug, Clone, Copy)]
pub struct Objects<'a> {
    /// Their resource.
    pub resource: &'a ResourceInfo,
    /// Their namespace; none for objects outside of namespaces, of which a namespace itself is one.
    pub namespace: Option<&'a str>,
    /// Their names, in the order of the API server.
    pub names: &'a [&'a str],
}

impl AdapterRule {
    /// The name of the metric of a series; none if the rule does not take the series.
    pub fn metric_name(&self, series: &str) -> Option<String> {
        self.naming.metric_name(series)
    }

    /// The resources that a series with labels of these names describes, each once in the order of the labels, and
    /// whether its metrics are namespaced.
    ///
    /// They are if any label is neither a namespace, a node nor a persistent volume. A label that has the form of a
    /// resource's label but names none that the cluster knows does not count.
    pub fn associations<'l>(
        &self,
        labels: impl IntoIterator<Item = &'l str>,
        resources: &Resources,
    ) -> (Vec<Arc<ResourceInfo>>, bool) {
        let (mut found, mut is_namespaced) = (Vec::<Arc<ResourceInfo>>::new(), false);
        for label in labels.into_iter().filter(|label| *label != NAME) {
            match self.resources.meaning(label, resources) {
                Meaning::Resource(info) => {
                    is_namespaced |= !is_root_scoped(&info.resource);
                    if found.iter().all(|known| known.resource != info.resource) {
                        found.push(info);
                    }
                }
                Meaning::Nothing => is_namespaced = true,
                Meaning::Unknown => {}
            }
        }
        (found, is_namespaced)
    }

    /// The query for a custom metric of these objects.
    pub fn custom_query(
        &self,
        series: &str,
        objects: &Objects<'_>,
        selector: &Selector,
        resources: &Resources,
    ) -> Result<String, QueryError> {
        let mut matchers = Matchers::of_selector(selector)?;
        if let Some(namespace) = objects.namespace {
            matchers.add_names(&self.resources.need_label(&NAMESPACES, resources)?, &[namespace]);
        }
        let label = self.resources.need_label(objects.resource, resources)?;
        matchers.add_names(&label, objects.names);
        render(&self.query, series, matchers, vec![label.to_string()])
    }

    /// The label whose value is the name of an object: which sample of an answer is whose.
    pub fn label_of(&self, resource: &ResourceInfo, resources: &Resources) -> Result<Arc<str>, QueryError> {
        self.resources.need_label(resource, resources)
    }

    /// Whether the query names the series nowhere but in strings, as in `{"<<.Series>>",<<.LabelMatchers>>}`. Only then
    /// can it read series whose names PromQL cannot write without quotes.
    pub fn quotes_series(&self) -> bool {
        let outside = |series| {
            let grouped = vec![NAME.to_owned()];
            let promql = render(&self.query, series, Matchers::default(), grouped).ok()?;
            Some(strings::outside(&promql))
        };
        // Of names that have nothing in common nothing is left outside, not even what a function makes of them.
        outside(SAMPLES[0]).is_some_and(|one| outside(SAMPLES[1]) == Some(one))
    }

    /// The query for an external metric in a namespace.
    pub fn external_query(
        &self,
        series: &str,
        namespace: &str,
        selector: &Selector,
        resources: &Resources,
    ) -> Result<String, QueryError> {
        let mut matchers = Matchers::of_selector(selector)?;
        if self.namespaced {
            matchers.add_names(&self.resources.need_label(&NAMESPACES, resources)?, &[namespace]);
        }
        render(&self.query, series, matchers, Vec::new())
    }
}

/// A name in place of the series', to find where the query has it.
const STAND_IN: &str = "metrics_apiserver:series:stand_in";

/// Names that PromQL cannot write without quotes; they have neither a character in the same place nor a length in
/// common.
const SAMPLES: [&str; 2] = ["series.name.of.a.sample.query", "other-name-0"];

/// The query with these matchers, grouped by these labels. The name of the series is literal in a regular expression.
pub(super) fn render(
    query: &Template,
    series: &str,
    matchers: Matchers,
    group_by: Vec<String>,
) -> Result<String, QueryError> {
    let fields = QueryFields {
        series: series.to_owned(),
        label_matchers: matchers.text,
        label_values_by_name: matchers.values,
        group_by: group_by.join(","),
        group_by_slice: group_by,
    };
    let with_stand_in = strings::means_more_in_a_regex(series)
        .then(|| Fields::Query(QueryFields { series: STAND_IN.to_owned(), ..fields.clone() }));
    let mut promql = query.render(&Fields::Query(fields))?;
    if let Some(fields) = with_stand_in {
        let with_stand_in = query.render(&fields)?;
        // Not where a function makes another text of the name.
        if with_stand_in.replace(STAND_IN, series) == promql {
            promql = strings::with_series(&with_stand_in, STAND_IN, series);
        }
    }
    if promql.is_empty() {
        return Err(QueryError::Empty);
    }
    if promql.len() > MAX_PROMQL {
        return Err(QueryError::TooLong { limit: MAX_PROMQL });
    }
    Ok(promql)
}

#[cfg(test)]
mod tests;
