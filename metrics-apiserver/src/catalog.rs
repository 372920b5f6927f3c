//! The rules that are served, merged from their sources and swapped as a whole.
//!
//! A request takes the current catalog once and answers from it, so it never sees half of a new configuration. There
//! are two sources: what the configuration file says itself, and the metrics of the series that its adapter rules
//! found. Each is replaced by itself, and both at once when the file changes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::metric::{GroupResource, MetricId, MetricName, Scope};
use crate::rules::{ResourceRules, Rule};

/// A metric, and the rule that serves it.
pub type Entry = (MetricId, Arc<Rule>);

/// The metrics of discovered series.
pub type Discovered = BTreeMap<MetricId, Arc<Rule>>;

/// What a configuration file says itself: its native rules, and which APIs are served.
#[derive(Debug, Clone, Default)]
pub struct FilePart {
    /// The metrics of native rules. If two rules serve one metric, the earlier one wins; the configuration check
    /// refuses such rules.
    pub native: Vec<Entry>,
    /// Whether `custom.metrics.k8s.io` is served.
    pub custom: bool,
    /// Whether `external.metrics.k8s.io` is served.
    pub external: bool,
    /// The rules of `metrics.k8s.io`, if it is served.
    pub resource: Option<Arc<ResourceRules>>,
}

impl FilePart {
    /// The part of a file that has native rules only.
    pub fn native(rules: Vec<Rule>) -> Self {
        let native = rules.into_iter().map(|rule| (MetricId::external(&rule.name), Arc::new(rule))).collect();
        Self { native, external: true, ..Self::default() }
    }
}

/// All rules that are served at one time, by the metrics they serve.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    file: Arc<FilePart>,
    rules: BTreeMap<MetricId, Arc<Rule>>,
    generation: u64,
}

impl Catalog {
    /// The catalog of a configuration file's native rules.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self::merge(Arc::new(FilePart::native(rules)), Discovered::new())
    }

    /// Merges both sources. A native rule wins over the metrics of series.
    pub fn merge(file: Arc<FilePart>, discovered: Discovered) -> Self {
        let mut rules = discovered;
        for (metric, rule) in file.native.iter().rev() {
            rules.insert(metric.clone(), Arc::clone(rule));
        }
        Self { file, rules, generation: 0 }
    }

    /// The rule that serves `metric`.
    pub fn rule(&self, metric: &MetricId) -> Option<&Arc<Rule>> {
        self.rules.get(metric)
    }

    /// The metrics with their rules, sorted.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&MetricId, &Arc<Rule>)> {
        self.rules.iter()
    }

    /// Whether `custom.metrics.k8s.io` is served, with or without known metrics.
    pub fn serves_custom(&self) -> bool {
        self.file.custom
    }

    /// Whether `external.metrics.k8s.io` is served, with or without known metrics.
    pub fn serves_external(&self) -> bool {
        self.file.external
    }

    /// The rules of `metrics.k8s.io`, if it is served.
    pub fn resource(&self) -> Option<&Arc<ResourceRules>> {
        self.file.resource.as_ref()
    }

    /// The names of the external metrics as they were written, sorted without regard to case.
    pub fn external_metrics(&self) -> impl Iterator<Item = &MetricName> {
        self.rules.iter().filter_map(|(metric, rule)| match metric {
            MetricId::External(_) => Some(&rule.name),
            MetricId::Custom { .. } => None,
        })
    }

    /// The custom metrics: the resource of their objects, whether these live in namespaces, and the name; sorted.
    pub fn custom_metrics(&self) -> impl Iterator<Item = (&GroupResource, Scope, &MetricName)> {
        self.rules.keys().filter_map(|metric| match metric {
            MetricId::External(_) => None,
            MetricId::Custom { resource, scope, name } => Some((resource, *scope, name)),
        })
    }

    /// The number of the catalog among those served since the start, from 1; 0 if it was never served.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether both serve the same metrics by the very same rules.
    fn serves_the_same(&self, other: &Self) -> bool {
        let pairs = || self.rules.iter().zip(&other.rules);
        self.rules.len() == other.rules.len()
            && pairs().all(|((metric, rule), (known, before))| Arc::ptr_eq(rule, before) && metric == known)
    }
}

/// Why metrics of one of the APIs may exist that are not known yet. Fit for clients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pending {
    /// Of custom metrics.
    pub custom: Option<Arc<str>>,
    /// Of external metrics.
    pub external: Option<Arc<str>>,
}

/// The current catalog.
#[derive(Debug)]
pub struct ServedCatalog {
    current: ArcSwap<Catalog>,
    pending: ArcSwapOption<Pending>,
    generations: AtomicU64,
    /// Held while the next catalog is made from the current one.
    replacing: Mutex<()>,
}

impl ServedCatalog {
    /// Serves `catalog` as generation 1.
    pub fn new(catalog: Catalog) -> Self {
        let first = Catalog { generation: 1, ..catalog };
        Self {
            current: ArcSwap::from_pointee(first),
            pending: ArcSwapOption::empty(),
            generations: AtomicU64::new(1),
            replacing: Mutex::default(),
        }
    }

    /// The catalog to answer from now.
    pub fn current(&self) -> Arc<Catalog> {
        self.current.load_full()
    }

    /// Why a metric that the current catalog does not have may exist nevertheless: its series are not discovered yet.
    pub fn pending(&self, metric: &MetricId) -> Option<Arc<str>> {
        let pending = self.pending.load();
        let pending = pending.as_ref()?;
        match metric {
            MetricId::External(_) => pending.external.clone(),
            MetricId::Custom { .. } => pending.custom.clone(),
        }
    }

    /// Says from now on that these metrics are not known yet.
    pub fn set_pending(&self, pending: Pending) {
        self.pending.store((pending != Pending::default()).then(|| Arc::new(pending)));
    }

    /// Serves `catalog` from the next request on.
    pub fn replace(&self, catalog: Catalog) {
        let _one = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        self.serve(catalog);
    }

    /// Serves these metrics of series beside what the file says itself; whether this changes anything. If it does not,
    /// the generation stays.
    pub fn replace_discovered(&self, discovered: Discovered) -> bool {
        let _one = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.current();
        let catalog = Catalog::merge(Arc::clone(&before.file), discovered);
        let is_new = !catalog.serves_the_same(&before);
        if is_new {
            self.serve(catalog);
        }
        is_new
    }

    fn serve(&self, mut catalog: Catalog) {
        let before = self.current();
        // The file's part shares the rules, which must have no other owner to be changed.
        let mut file = std::mem::take(&mut catalog.file);
        if let Some(file) = Arc::get_mut(&mut file) {
            for (metric, rule) in &mut file.native {
                catalog.rules.remove(metric);
                if let Some((rule, before)) = Arc::get_mut(rule).zip(before.rules.get(metric)) {
                    rule.replace(before);
                }
            }
        }
        let catalog = Catalog::merge(file, catalog.rules);
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
    fn native_rules_win_over_series_and_the_earlier_rule_over_the_later() {
        let first = vec![rule("Queue", "first"), rule("queue", "again")];
        let second = vec![rule("QUEUE", "second"), rule("other", "second")];
        let file = Arc::new(FilePart::native(first));
        let catalog = Catalog::merge(file, FilePart::native(second).native.into_iter().collect());
        let names: Vec<&str> = catalog.entries().map(|(_, rule)| rule.name.as_str()).collect();
        assert_eq!(names, ["other", "Queue"]);
        assert_eq!(Catalog::default().entries().len(), 0);
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

    fn series() -> Entry {
        let rule = crate::testkit::adapter_rule("up");
        let name = MetricName::parse("found").unwrap();
        (MetricId::external(&name), Arc::new(Rule::series(&rule, name, "up".into())))
    }

    #[test]
    fn the_metrics_of_series_are_replaced_beside_the_file_s_and_only_a_change_is_a_new_generation() {
        let served = ServedCatalog::new(Catalog::new(vec![rule("a", "up")]));
        let (metric, rule) = series();
        let discovered = || Discovered::from([(metric.clone(), Arc::clone(&rule))]);
        assert!(served.replace_discovered(discovered()));
        assert!(!served.replace_discovered(discovered()));
        let catalog = served.current();
        assert_eq!((catalog.generation(), catalog.entries().len()), (2, 2));
        assert!(served.replace_discovered(Discovered::from([series()])), "another rule");
        assert!(served.replace_discovered(Discovered::new()));
        assert_eq!((served.current().generation(), served.current().entries().len()), (4, 1));
    }

    #[test]
    fn the_metrics_of_each_api_are_listed() {
        let (metric, rule) = series();
        let resource = GroupResource { resource: "pods".into(), group: "".into() };
        let custom = MetricId::Custom {
            resource,
            scope: Scope::Namespaced,
            name: MetricName::parse("Found").unwrap(),
        };
        let discovered = Discovered::from([(custom, Arc::clone(&rule)), (metric, rule)]);
        let file = FilePart { custom: true, ..FilePart::native(vec![crate::testkit::rule("Native", "up")]) };
        let catalog = Catalog::merge(Arc::new(file), discovered);
        let external: Vec<_> = catalog.external_metrics().map(MetricName::as_str).collect();
        assert_eq!(external, ["found", "Native"]);
        let custom = catalog.custom_metrics();
        let custom: Vec<_> =
            custom.map(|(resource, scope, name)| format!("{resource}/{name} {scope:?}")).collect();
        assert_eq!(custom, ["pods/Found Namespaced"]);
        assert!(catalog.serves_custom() && catalog.serves_external() && catalog.resource().is_none());
    }

    #[test]
    fn what_is_not_known_yet_is_said_for_each_api() {
        let served = ServedCatalog::new(Catalog::default());
        assert_eq!(served.pending(&id("a")), None);
        served.set_pending(Pending { custom: Some("custom".into()), external: None });
        assert_eq!(served.pending(&id("a")), None);
        served.set_pending(Pending { custom: None, external: Some("external".into()) });
        assert_eq!(served.pending(&id("a")).as_deref(), Some("external"));
    }
}
