//! From rules and the series that were found to the metrics that are served. Pure.

use std::collections::btree_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::rules::Rules;
use crate::backend::SeriesSummary;
use crate::catalog::{Catalog, Discovered};
use crate::metric::{MetricId, MetricName, ResourceInfo, Resources};
use crate::rules::Rule;
use crate::rules::adapter::AdapterRule;

/// Metrics of series in the catalog. With the names and rules that they share, 20 MB.
pub(super) const METRICS_MAX: usize = 100_000;

/// Warnings in one go; more would only hide the first.
const WARNINGS_MAX: usize = 100;

/// What the rules serve.
#[derive(Debug, Default)]
pub(super) struct Linked {
    pub(super) metrics: Discovered,
    /// Whether a rule names a resource that the cluster does not have, or not yet.
    pub(super) lacks_resources: bool,
    /// For the log, in plain words.
    pub(super) warnings: BTreeSet<String>,
}

/// Finds the metrics of each rule in the series that it asks for, as prometheus-adapter does: of two rules for one
/// metric the later one wins, and of two series of one rule the later one by name.
///
/// Unlike prometheus-adapter, the cluster says whether objects live in namespaces, and names that Kubernetes or PromQL
/// cannot write are left out. Rules of `before` are kept.
pub(super) fn link<'f>(
    rules: &Rules,
    found: impl Fn(&AdapterRule) -> Option<&'f Arc<SeriesSummary>>,
    resources: &Resources,
    before: &Catalog,
) -> Linked {
    let mut linking = Linking { resources, before, linked: Linked::default(), is_full: false };
    for (section, kind, rules) in
        [("rules", Kind::Custom, &rules.custom), ("externalRules", Kind::External, &rules.external)]
    {
        for (number, rule) in rules.iter().enumerate() {
            let place = format!("{section}[{number}]");
            match (kind, found(rule)) {
                (Kind::Custom, Some(found)) => linking.add_custom(&place, rule, found),
                (Kind::Custom, None) => {}
                (Kind::External, found) => linking.add_external(&place, rule, found),
            }
        }
    }
    linking.linked
}

#[derive(Clone, Copy)]
enum Kind {
    Custom,
    External,
}

struct Linking<'a> {
    resources: &'a Resources,
    before: &'a Catalog,
    linked: Linked,
    is_full: bool,
}

impl Linking<'_> {
    fn add_external(&mut self, place: &str, rule: &Arc<AdapterRule>, found: Option<&Arc<SeriesSummary>>) {
        if let Some((series, name)) = known_without_series(rule) {
            let metric = MetricId::external(&name);
            self.insert(place, rule, &series, &name, vec![metric]);
        }
        let Some(found) = found else { return };
        for (series, name) in self.names(place, rule, found) {
            let metric = MetricId::external(&name);
            self.insert(place, rule, series, &name, vec![metric]);
        }
    }

    fn add_custom(&mut self, place: &str, rule: &Arc<AdapterRule>, found: &SeriesSummary) {
        if !self.resources.all().is_empty() {
            for unresolved in rule.resources.unresolved(self.resources) {
                let (label, resource, group) = (&unresolved.label, &unresolved.resource, &unresolved.group);
                self.linked.lacks_resources = true;
                self.warn(format!(
                    "{place}: the cluster has no resource {resource:?} of the group {group:?}, which \
                     resources.overrides names for the label {label:?}; metrics of such objects are served when it has"
                ));
            }
        }
        let cluster = self.resources;
        // Most series share their set of labels with others.
        let mut by_labels = HashMap::<usize, Vec<Arc<ResourceInfo>>>::new();
        for (series, name) in self.names(place, rule, found) {
            let mut described = BTreeSet::new();
            for labels in found.metrics.get(series).into_iter().flatten() {
                let resources = by_labels
                    .entry(labels.as_ptr().addr())
                    .or_insert_with(|| rule.associations(labels.iter().map(|label| &**label), cluster).0);
                described.extend(resources.iter().map(|info| (info.resource.clone(), info.scope)));
            }
            let metric = |(resource, scope)| MetricId::Custom { resource, scope, name: name.clone() };
            self.insert(place, rule, series, &name, described.into_iter().map(metric).collect());
        }
    }

    /// The series that the rule takes, in the order of their names, and the names of their metrics.
    fn names<'f>(
        &mut self,
        place: &str,
        rule: &AdapterRule,
        found: &'f SeriesSummary,
    ) -> Vec<(&'f Arc<str>, MetricName)> {
        let needs_series = rule.query.uses("Series");
        let is_unquoted = needs_series && !rule.quotes_series();
        let (mut names, mut left_out, mut unquotable, mut invalid) = (Vec::new(), false, false, None);
        for series in found.metrics.keys() {
            let Some(name) = rule.metric_name(series) else { continue };
            if is_unquoted && !is_promql_name(series) {
                left_out = true;
                continue;
            }
            if needs_series && !is_whole_in_quotes(series) {
                unquotable = true;
                continue;
            }
            match MetricName::parse(&name) {
                Ok(name) => names.push((series, name)),
                Err(error) => invalid = invalid.or(Some(error)),
            }
        }
        if left_out {
            self.warn(format!(
                "{place}: series whose names PromQL cannot write without quotes are not served, because metricsQuery \
                 names them without quotes; write {{\"<<.Series>>\",<<.LabelMatchers>>}}"
            ));
        }
        if unquotable {
            self.warn(format!(
                "{place}: series whose names have a quotation mark, a backslash or a control character are not \
                 served, because metricsQuery names them"
            ));
        }
        if let Some(error) = invalid {
            self.warn(format!(
                "{place}: metrics whose names Kubernetes cannot write are not served: {error}"
            ));
        }
        names
    }

    /// Serves these metrics of one series. All share one rule: that of before, if there was one.
    fn insert(
        &mut self,
        place: &str,
        rule: &Arc<AdapterRule>,
        series: &Arc<str>,
        name: &MetricName,
        metrics: Vec<MetricId>,
    ) {
        let is_same = |before: &&Arc<Rule>| {
            before.name == *name
                && before.series_of().is_some_and(|(of, known)| Arc::ptr_eq(of, rule) && known == series)
        };
        let before = metrics.iter().find_map(|metric| self.before.rule(metric).filter(is_same));
        let rule =
            before.map_or_else(|| Arc::new(Rule::series(rule, name.clone(), Arc::clone(series))), Arc::clone);
        for metric in metrics {
            let is_full = self.linked.metrics.len() >= METRICS_MAX;
            match self.linked.metrics.entry(metric) {
                Entry::Vacant(_) if is_full => self.note_full(place),
                Entry::Vacant(free) => {
                    free.insert(Arc::clone(&rule));
                }
                Entry::Occupied(mut taken) => {
                    taken.insert(Arc::clone(&rule));
                }
            }
        }
    }

    fn note_full(&mut self, place: &str) {
        if !std::mem::replace(&mut self.is_full, true) {
            self.warn(format!(
                "{place}: more than {METRICS_MAX} metrics of series; further ones are not served; make seriesQuery \
                 narrower, or add seriesFilters"
            ));
        }
    }

    fn warn(&mut self, warning: String) {
        if self.linked.warnings.len() < WARNINGS_MAX {
            self.linked.warnings.insert(warning);
        }
    }
}

/// The one metric of an external rule that does not depend on series: its name is constant, it belongs to no namespace,
/// and its query names no series or the only one that `seriesQuery` selects. It is served whether or not Prometheus has
/// such series now: what data is missing is for the query to say.
fn known_without_series(rule: &AdapterRule) -> Option<(Arc<str>, MetricName)> {
    let name = MetricName::parse(rule.naming.constant()?).ok()?;
    let series = only_series(&rule.series_query);
    let is_known = match series {
        Some(series) => rule.metric_name(series).is_some(),
        None => !rule.query.uses("Series"),
    };
    (is_known && !rule.namespaced).then(|| (series.unwrap_or_default().into(), name))
}

/// The name of the series that a selector such as `name{a="b"}` or `{__name__="name"}` selects, if it is one name.
fn only_series(selector: &str) -> Option<&str> {
    let selector = selector.trim();
    let (name, matchers) = selector.split_once('{').unwrap_or((selector, ""));
    if is_promql_name(name.trim_end()) {
        return Some(name.trim_end());
    }
    let equal = matchers.trim_start().strip_prefix("__name__")?.trim_start().strip_prefix('=')?;
    let (name, _) = equal.trim_start().strip_prefix('"')?.split_once('"')?;
    is_promql_name(name).then_some(name)
}

/// Whether PromQL can write the name of a series without quotes.
fn is_promql_name(name: &str) -> bool {
    let is_start = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | ':');
    name.starts_with(is_start) && name.chars().all(|c| is_start(c) || c.is_ascii_digit())
}

/// Whether the name of a series, written between quotes of any kind, is a string that ends where they do. Whoever
/// exposes metrics chooses their names; one that ends its string could go on with a selector of its own.
fn is_whole_in_quotes(name: &str) -> bool {
    !name.contains(|c: char| matches!(c, '"' | '\'' | '`' | '\\') || c.is_control())
}

#[cfg(test)]
mod tests;
