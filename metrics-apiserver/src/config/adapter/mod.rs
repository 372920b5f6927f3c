//! The check of prometheus-adapter's sections: `rules`, `externalRules` and `resourceRules`.
//!
//! What prometheus-adapter refuses at its start is refused here, all problems at once. What it accepts is accepted,
//! with a warning if it is probably a mistake.

mod lint;
mod resource;
mod rule;
mod warnings;
mod window;
mod written;

use std::sync::Arc;

use super::common::BackendNames;
use super::problem::{ENOUGH, Problem};
use super::section::{Field, Section};
use crate::rules::BackendName;
use crate::rules::adapter::{AdapterRule, ResourceRules};
use lint::Names;
use warnings::Warnings;
use written::{Api, Reader};

/// The sections of prometheus-adapter.
pub(super) const ADAPTER_SECTIONS: [&str; 3] = ["rules", "externalRules", "resourceRules"];

/// As for `metrics`.
const MAX_RULES: usize = 10_000;

/// The rules of prometheus-adapter's sections.
#[derive(Debug, Clone, Default)]
pub struct AdapterRules {
    /// `rules`, for custom.metrics.k8s.io, in the order of the file.
    pub custom: Vec<Arc<AdapterRule>>,
    /// `externalRules`, for external.metrics.k8s.io, in the order of the file.
    pub external: Vec<Arc<AdapterRule>>,
    /// `resourceRules`, for metrics.k8s.io.
    pub resource: Option<Arc<ResourceRules>>,
}

impl AdapterRules {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.custom.is_empty() && self.external.is_empty() && self.resource.is_none()
    }

    /// Takes the place of `before`: rules that are equal to one of before are that one.
    pub fn replace(&mut self, before: &Self) {
        keep_equal(&mut self.custom, &before.custom);
        keep_equal(&mut self.external, &before.external);
        if self.resource == before.resource {
            self.resource.clone_from(&before.resource);
        }
    }

    /// The backends of all rules.
    pub(super) fn backends(&self) -> impl Iterator<Item = &BackendName> {
        let rules = self.custom.iter().chain(&self.external).map(|rule| &rule.backend);
        rules.chain(self.resource.iter().map(|rules| &rules.backend))
    }
}

/// Equal rules are usually at the same index.
fn keep_equal(rules: &mut [Arc<AdapterRule>], before: &[Arc<AdapterRule>]) {
    for (index, rule) in rules.iter_mut().enumerate() {
        let same = before.get(index).filter(|before| *before == rule);
        if let Some(same) = same.or_else(|| before.iter().find(|before| *before == rule)) {
            *rule = Arc::clone(same);
        }
    }
}

/// Checks the sections; `source` is the text of the file.
pub(super) fn check_adapter(
    root: &Section<'_>,
    backends: &mut BackendNames<'_>,
    source: &str,
    warnings: &mut Vec<String>,
    problems: &mut Vec<Problem>,
) -> AdapterRules {
    let mut check = Check { backends, warnings: Warnings::default(), reader: Reader { source, problems } };
    let custom = check.rules(root, "rules", Api::Custom);
    let external = check.rules(root, "externalRules", Api::External);
    let resource = root.get("resourceRules").and_then(|field| check.resource_rules(&field)).map(Arc::new);
    warnings.extend(check.warnings.lines());
    AdapterRules { custom, external, resource }
}

/// The context of a rule.
struct Check<'a, 'p, 'b> {
    backends: &'p mut BackendNames<'b>,
    warnings: Warnings,
    reader: Reader<'a, 'p>,
}

impl<'a> Check<'a, '_, '_> {
    fn rules(&mut self, root: &Section<'a>, key: &str, api: Api) -> Vec<Arc<AdapterRule>> {
        let Some(section) = root.get(key) else { return Vec::new() };
        let items = section.items(self.reader.problems).unwrap_or_default();
        if let Some(one_too_many) = items.get(MAX_RULES) {
            self.reader.problems.push(one_too_many.problem(format!("more than {MAX_RULES} rules")));
            return Vec::new();
        }
        let (mut rules, mut names) = (Vec::with_capacity(items.len()), Names::default());
        for item in &items {
            if self.reader.problems.len() >= ENOUGH {
                break;
            }
            rules.extend(self.rule(item, api, &mut names).map(Arc::new));
        }
        rules
    }

    fn rule(&mut self, item: &Field<'a>, api: Api, names: &mut Names) -> Option<AdapterRule> {
        let written = self.reader.rule(item)?;
        let rule = self.adapter_rule(api, &written)?;
        lint::lint(api, &written, &rule, &mut self.warnings);
        names.add(api, &written, &mut self.warnings);
        Some(rule)
    }
}

#[cfg(test)]
mod tests;
