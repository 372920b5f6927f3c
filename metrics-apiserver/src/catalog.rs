//! The rules that are served, merged from their sources and swapped as a whole.
//!
//! A request takes the current catalog once and answers from it, so it never sees half of a new configuration.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::metric::MetricId;
use crate::rules::Rule;
use crate::rules::adapter::ResourceRules;

/// A metric, and the rule that serves it.
pub type Entry = (MetricId, Arc<Rule>);

/// All rules that are served at one time, by the metrics they serve.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    rules: BTreeMap<MetricId, Arc<Rule>>,
    resource: Option<Arc<ResourceRules>>,
    generation: u64,
}

impl Catalog {
    /// Merges the rules of several sources. If two rules serve one metric, the earlier source wins, and within a source
    /// the earlier rule; the configuration check refuses such rules in one file.
    pub fn merge(sources: impl IntoIterator<Item = Vec<Entry>>) -> Self {
        let mut rules = BTreeMap::new();
        for (metric, rule) in sources.into_iter().flatten() {
            rules.entry(metric).or_insert(rule);
        }
        Self { rules, resource: None, generation: 0 }
    }

    /// The catalog of a configuration file's native rules.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self::merge([Self::external(rules)])
    }

    /// Native rules as a source: each serves the external metric of its name.
    pub fn external(rules: Vec<Rule>) -> Vec<Entry> {
        rules.into_iter().map(|rule| (MetricId::external(&rule.name), Arc::new(rule))).collect()
    }

    /// The rules of `metrics.k8s.io`, if it is served.
    pub fn resource(&self) -> Option<&Arc<ResourceRules>> {
        self.resource.as_ref()
    }

    /// The same, with these rules for `metrics.k8s.io`.
    #[must_use]
    pub fn with_resource(self, resource: Option<Arc<ResourceRules>>) -> Self {
        Self { resource, ..self }
    }

    /// The rule that serves `metric`.
    pub fn rule(&self, metric: &MetricId) -> Option<&Arc<Rule>> {
        self.rules.get(metric)
    }

    /// The metrics with their rules, sorted.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&MetricId, &Arc<Rule>)> {
        self.rules.iter()
    }

    /// The number of the catalog among those served since the start, from 1; 0 if it was never served.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// The current catalog.
#[derive(Debug)]
pub struct ServedCatalog {
    current: ArcSwap<Catalog>,
    generations: AtomicU64,
}

impl ServedCatalog {
    /// Serves `catalog` as generation 1.
    pub fn new(catalog: Catalog) -> Self {
        let first = Catalog { generation: 1, ..catalog };
        Self { current: ArcSwap::from_pointee(first), generations: AtomicU64::new(1) }
    }

    /// The catalog to answer from now.
    pub fn current(&self) -> Arc<Catalog> {
        self.current.load_full()
    }

    /// Serves `catalog` from the next request on.
    pub fn replace(&self, mut catalog: Catalog) {
        let before = self.current();
        for (metric, rule) in &mut catalog.rules {
            if let Some((rule, before)) = Arc::get_mut(rule).zip(before.rules.get(metric)) {
                rule.replace(before);
            }
        }
        let generation = self.generations.fetch_add(1, Ordering::Relaxed) + 1;
        self.current.store(Arc::new(Catalog { generation, ..catalog }));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metric::MetricName;
    use crate::testkit::rule;

    fn id(name: &str) -> MetricId {
        MetricId::external(&MetricName::parse(name).unwrap())
    }

    #[test]
    fn a_rule_is_found_without_regard_to_case() {
        let catalog = Catalog::new(vec![rule("Queue_Length", "queue"), rule("up", "up")]);
        let found = catalog.rule(&id("queue_length")).unwrap();
        assert_eq!(found.name.as_str(), "Queue_Length");
        assert!(catalog.rule(&id("queue")).is_none());
    }

    #[test]
    fn the_earlier_source_wins_and_within_a_source_the_earlier_rule() {
        let first = vec![rule("Queue", "first"), rule("queue", "again")];
        let second = vec![rule("QUEUE", "second"), rule("other", "second")];
        let catalog = Catalog::merge([first, second].map(Catalog::external));
        let names: Vec<&str> = catalog.entries().map(|(_, rule)| rule.name.as_str()).collect();
        assert_eq!(names, ["other", "Queue"]);
        assert_eq!(Catalog::merge([]).entries().len(), 0);
    }

    #[test]
    fn rules_come_sorted_by_name() {
        let catalog = Catalog::new(vec![rule("b", "up"), rule("C", "up"), rule("a", "up")]);
        let names: Vec<&str> = catalog.entries().map(|(_, rule)| rule.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "C"]);
    }

    #[test]
    fn a_rule_with_the_same_query_as_before_keeps_its_owner() {
        let served = ServedCatalog::new(Catalog::new(vec![rule("same", "up"), rule("other", "up")]));
        let owner = |name| Arc::downgrade(&served.current().rule(&id(name)).unwrap().owner);
        let (same, other) = (owner("same"), owner("other"));
        let mut patient = rule("same", "up");
        patient.max_age = Duration::from_secs(60);
        served.replace(Catalog::new(vec![patient, rule("other", "down")]));
        assert!(same.ptr_eq(&owner("same")));
        assert!(other.upgrade().is_none(), "no rule of this name has the query `up` any more");
        served.replace(Catalog::default());
        assert!(same.upgrade().is_none());
    }

    #[test]
    fn a_replaced_catalog_is_served_from_the_next_request_on() {
        let served = ServedCatalog::new(Catalog::new(vec![rule("a", "up")]));
        let (before, metric) = (served.current(), id("a"));
        served.replace(Catalog::default());
        assert!(before.rule(&metric).is_some(), "a request keeps the catalog it started with");
        assert!(served.current().rule(&metric).is_none());
        assert_eq!((before.generation(), served.current().generation()), (1, 2));
    }
}
