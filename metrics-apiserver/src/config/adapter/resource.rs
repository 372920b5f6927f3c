//! The check of `resourceRules`.

use std::sync::Arc;
use std::time::Duration;

use super::window::parse_window;
use super::{Check, lint};
use crate::config::common::max_age;
use crate::config::keys::RESOURCE_RULES_KEYS;
use crate::config::section::{Field, Section};
use crate::rules::DEFAULT_MAX_AGE;
use crate::rules::adapter::{ResourceRule, ResourceRules};

impl<'a> Check<'a, '_, '_> {
    pub(super) fn resource_rules(&mut self, field: &Field<'a>) -> Option<ResourceRules> {
        let section = Section::open(field, RESOURCE_RULES_KEYS, self.reader.problems)?;
        let before = self.reader.problems.len();
        let [cpu, memory] = ["cpu", "memory"].map(|key| self.usage(&section, key));
        let window = self.window(&section);
        let problems = &mut *self.reader.problems;
        let backend = self.backends.of_all_namespaces(&section, "nodes are in none", problems);
        let max_age = max_age(&section, problems).unwrap_or(DEFAULT_MAX_AGE);
        let rules = ResourceRules { cpu, memory, window, backend, max_age, owner: Arc::default() };
        (self.reader.problems.len() == before).then_some(rules)
    }

    /// `cpu` or `memory`; none if it is omitted, or if anything is wrong with it.
    fn usage(&mut self, section: &Section<'a>, key: &str) -> Option<ResourceRule> {
        let Some(field) = section.get(key) else {
            let message = format!("`{key}` is missing: no usage of any pod or node is known");
            self.warnings.of(section, "are incomplete", &message);
            return None;
        };
        let written = self.reader.usage(&field)?;
        lint::usage(&field, &written, &mut self.warnings);
        let queries = [&written.container_query, &written.node_query].map(|query| self.template(query));
        let resources = self.resource_labels(&written.resources);
        let [container_query, node_query] = queries;
        Some(ResourceRule {
            container_query: container_query?,
            node_query: node_query?,
            resources: resources?,
            container_label: written.container_label.text.as_ref().into(),
        })
    }

    fn window(&mut self, section: &Section<'a>) -> Duration {
        let text = self.reader.text(section, "window");
        let Some(field) = &text.field else { return Duration::ZERO };
        parse_window(&text.text).unwrap_or_else(|message| {
            self.reader.problems.push(field.problem(message).help("a plain number needs a unit, as in `5m`"));
            Duration::ZERO
        })
    }
}
