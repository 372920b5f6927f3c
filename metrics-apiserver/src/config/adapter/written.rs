//! An adapter rule as written: strings and their fields, decoded as prometheus-adapter's YAML library does.

use std::borrow::Cow;

use crate::config::keys::{
    ADAPTER_RULE_KEYS, Key, NAME_KEYS, OVERRIDE_KEYS, RESOURCES_KEYS, SERIES_FILTER_KEYS, USAGE_KEYS,
};
use crate::config::problem::Problem;
use crate::config::section::{Field, Section};
use crate::config::yaml::Value;

/// The API that a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Api {
    /// custom.metrics.k8s.io.
    Custom,
    /// external.metrics.k8s.io.
    External,
}

/// A string; an omitted one is empty.
#[derive(Debug, Clone, Default)]
pub(super) struct Text<'a> {
    /// Its field; none if it is omitted.
    pub(super) field: Option<Field<'a>>,
    /// What it says.
    pub(super) text: Cow<'a, str>,
}

/// An item of `rules` or `externalRules`.
#[derive(Debug)]
pub(super) struct RuleText<'a> {
    pub(super) section: Section<'a>,
    pub(super) series_query: Text<'a>,
    pub(super) filters: Vec<FilterText<'a>>,
    pub(super) resources: ResourcesText<'a>,
    pub(super) matches: Text<'a>,
    /// The value of `as`.
    pub(super) name: Text<'a>,
    pub(super) metrics_query: Text<'a>,
}

/// An item of `seriesFilters`.
#[derive(Debug)]
pub(super) struct FilterText<'a> {
    pub(super) section: Section<'a>,
    pub(super) is: Text<'a>,
    pub(super) is_not: Text<'a>,
}

/// The mapping `resources`.
#[derive(Debug, Default)]
pub(super) struct ResourcesText<'a> {
    pub(super) template: Text<'a>,
    pub(super) overrides: Vec<OverrideText<'a>>,
    /// The value of `namespaced` and its field.
    pub(super) namespaced: Option<(Field<'a>, bool)>,
}

/// One label of `overrides`.
#[derive(Debug)]
pub(super) struct OverrideText<'a> {
    pub(super) label: &'a str,
    pub(super) group: Text<'a>,
    pub(super) resource: Text<'a>,
}

/// The mapping `cpu` or `memory`.
#[derive(Debug)]
pub(super) struct UsageText<'a> {
    pub(super) container_query: Text<'a>,
    pub(super) node_query: Text<'a>,
    pub(super) resources: ResourcesText<'a>,
    pub(super) container_label: Text<'a>,
}

/// Reads the adapter's sections of a file.
#[derive(Debug)]
pub(super) struct Reader<'a, 'p> {
    /// The text of the file.
    pub(super) source: &'a str,
    pub(super) problems: &'p mut Vec<Problem>,
}

impl<'a> Reader<'a, '_> {
    /// One rule; none if it is no mapping.
    pub(super) fn rule(&mut self, item: &Field<'a>) -> Option<RuleText<'a>> {
        let section = Section::open(item, ADAPTER_RULE_KEYS, self.problems)?;
        let series_query = self.text(&section, "seriesQuery");
        let filters = self.filters(&section);
        let resources = self.resources(&section);
        let names = self.open(&section, "name", NAME_KEYS, "use `name: {as: …}` for a constant name");
        let [matches, name] = ["matches", "as"]
            .map(|key| names.as_ref().map(|names| self.text(names, key)).unwrap_or_default());
        let metrics_query = self.text(&section, "metricsQuery");
        Some(RuleText { section, series_query, filters, resources, matches, name, metrics_query })
    }

    /// `cpu` or `memory`; none if it is no mapping.
    pub(super) fn usage(&mut self, field: &Field<'a>) -> Option<UsageText<'a>> {
        let section = Section::open(field, USAGE_KEYS, self.problems)?;
        Some(UsageText {
            container_query: self.text(&section, "containerQuery"),
            node_query: self.text(&section, "nodeQuery"),
            resources: self.resources(&section),
            container_label: self.text(&section, "containerLabel"),
        })
    }

    /// A string of a mapping.
    pub(super) fn text(&mut self, section: &Section<'a>, key: &str) -> Text<'a> {
        let Some(field) = section.get(key) else { return Text::default() };
        match field.scalar(self.source, self.problems) {
            Some(text) => Text { field: Some(field), text },
            None => Text::default(),
        }
    }

    fn open(&mut self, section: &Section<'a>, key: &str, known: &[Key], help: &str) -> Option<Section<'a>> {
        let before = self.problems.len();
        let opened = Section::open(&section.get(key)?, known, self.problems);
        if opened.is_none()
            && let Some(problem) = self.problems.get_mut(before)
        {
            problem.help = Some(help.to_owned());
        }
        opened
    }

    fn filters(&mut self, section: &Section<'a>) -> Vec<FilterText<'a>> {
        let items = section.get("seriesFilters").and_then(|field| field.items(self.problems));
        let filter = |item: Field<'a>| {
            let section = Section::open(&item, SERIES_FILTER_KEYS, self.problems)?;
            let [is, is_not] = ["is", "isNot"].map(|key| self.text(&section, key));
            Some(FilterText { section, is, is_not })
        };
        items.into_iter().flatten().filter_map(filter).collect()
    }

    fn resources(&mut self, section: &Section<'a>) -> ResourcesText<'a> {
        let help =
            "use `resources: {overrides: {pod: {resource: pod}}}` or `resources: {template: <<.Resource>>}`";
        let Some(section) = self.open(section, "resources", RESOURCES_KEYS, help) else {
            return ResourcesText::default();
        };
        let namespaced = section.get("namespaced").and_then(|field| {
            let value = field.yaml_1_1_boolean(self.source, self.problems)?;
            Some((field, value))
        });
        let overrides = section.get("overrides").and_then(|field| Section::open_free(&field, self.problems));
        let overrides = overrides.iter().flat_map(Section::fields);
        let overrides = overrides.filter_map(|(label, field)| self.resource_of(label, &field)).collect();
        ResourcesText { template: self.text(&section, "template"), overrides, namespaced }
    }

    fn resource_of(&mut self, label: &'a str, field: &Field<'a>) -> Option<OverrideText<'a>> {
        if matches!(field.node.value, Value::Bool(_) | Value::Text(_)) {
            let is_a_key = RESOURCES_KEYS.iter().any(|key| key.name == label);
            let (message, help) = if is_a_key {
                let message = format!("`{label}` is a key of `resources`, not a label");
                (message, "move it out of `overrides`, one level up".to_owned())
            } else {
                (
                    format!("expected a mapping for the label `{label}`"),
                    format!("use `{label}: {{resource: …}}`"),
                )
            };
            self.problems.push(field.key_problem(message).help(help));
            return None;
        }
        let before = self.problems.len();
        let section = Section::open(field, OVERRIDE_KEYS, self.problems)?;
        let [group, resource] = ["group", "resource"].map(|key| self.text(&section, key));
        if resource.text.is_empty() && self.problems.len() == before {
            let problem = field.key_problem(format!("the label `{label}` has no `resource`"));
            self.problems.push(problem.help("name the resource, as in `{resource: pod}`"));
            return None;
        }
        Some(OverrideText { label, group, resource })
    }
}
