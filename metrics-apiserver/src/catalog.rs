//! The rules served now, swapped whole.
//!
//! A request takes the catalog of the moment once and answers from it, so it never sees half of a new configuration.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::metric::MetricName;
use crate::rules::Rule;

/// The rules of one configuration, by the names they serve.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    rules: BTreeMap<MetricName, Arc<Rule>>,
    generation: u64,
}

impl Catalog {
    /// The catalog of these rules. Of two that serve one name the later wins; the configuration check refuses such.
    pub fn new(rules: Vec<Rule>) -> Self {
        let rules = rules.into_iter().map(|rule| (rule.name.clone(), Arc::new(rule))).collect();
        Self { rules, generation: 0 }
    }

    /// The rule that serves `metric`, however its name is cased.
    pub fn rule(&self, metric: &MetricName) -> Option<&Arc<Rule>> {
        self.rules.get(metric)
    }

    /// The rules, sorted by the names they serve.
    pub fn rules(&self) -> impl ExactSizeIterator<Item = &Arc<Rule>> {
        self.rules.values()
    }

    /// Which of the catalogs served since the start this is, from 1; 0 if it never was.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// The catalog of the moment, shared by all who answer.
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
        for (name, rule) in &mut catalog.rules {
            if let Some((rule, before)) = Arc::get_mut(rule).zip(before.rules.get(name)) {
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
    use crate::rules::{BackendName, NamespaceMode, QueryTemplate, SelectorMode};

    fn rule(name: &str, query: &str) -> Rule {
        Rule::new(
            MetricName::parse(name).unwrap(),
            BackendName("default".into()),
            QueryTemplate::parse(query).unwrap(),
            NamespaceMode::default(),
            SelectorMode::default(),
        )
        .unwrap()
    }

    #[test]
    fn a_rule_is_found_without_regard_to_case() {
        let catalog = Catalog::new(vec![rule("Queue_Length", "queue"), rule("up", "up")]);
        let found = catalog.rule(&MetricName::parse("queue_length").unwrap()).unwrap();
        assert_eq!(found.name.as_str(), "Queue_Length");
        assert!(catalog.rule(&MetricName::parse("queue").unwrap()).is_none());
    }

    #[test]
    fn rules_come_sorted_by_name() {
        let catalog = Catalog::new(vec![rule("b", "up"), rule("C", "up"), rule("a", "up")]);
        let names: Vec<&str> = catalog.rules().map(|rule| rule.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "C"]);
    }

    #[test]
    fn a_rule_that_asks_as_before_goes_on_as_the_same_owner() {
        let served = ServedCatalog::new(Catalog::new(vec![rule("same", "up"), rule("other", "up")]));
        let owner = |name| {
            let metric = MetricName::parse(name).unwrap();
            Arc::downgrade(&served.current().rule(&metric).unwrap().owner)
        };
        let (same, other) = (owner("same"), owner("other"));
        let mut patient = rule("same", "up");
        patient.max_age = Duration::from_secs(60);
        served.replace(Catalog::new(vec![patient, rule("other", "down")]));
        assert!(same.ptr_eq(&owner("same")));
        assert!(other.upgrade().is_none(), "nobody asks for `up` by this name any more");
        served.replace(Catalog::default());
        assert!(same.upgrade().is_none());
    }

    #[test]
    fn a_replaced_catalog_is_served_from_the_next_request_on() {
        let served = ServedCatalog::new(Catalog::new(vec![rule("a", "up")]));
        let (before, metric) = (served.current(), MetricName::parse("a").unwrap());
        served.replace(Catalog::default());
        assert!(before.rule(&metric).is_some(), "a request under way keeps what it began with");
        assert!(served.current().rule(&metric).is_none());
        assert_eq!((before.generation(), served.current().generation()), (1, 2));
    }
}
