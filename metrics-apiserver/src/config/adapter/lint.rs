//! What an adapter rule says that has no effect, or another one than meant.

use std::collections::HashMap;

use super::warnings::Warnings;
use super::written::{Api, OverrideText, ResourcesText, RuleText, UsageText};
use crate::config::section::Field;
use crate::rules::adapter::AdapterRule;

/// Warns about one rule.
pub(super) fn lint(api: Api, written: &RuleText<'_>, rule: &AdapterRule, warnings: &mut Warnings) {
    if written.series_query.text.is_empty() {
        let message = "the rule has no `seriesQuery`: no series are found, and its metrics are never served";
        warnings.of(&written.section, "have no `seriesQuery`", message);
    }
    query(written, rule, warnings);
    resources(api, written, warnings);
    name(written, rule, warnings);
}

fn query(written: &RuleText<'_>, rule: &AdapterRule, warnings: &mut Warnings) {
    let Some(field) = &written.metrics_query.field else {
        let message = "the rule has no `metricsQuery`: every read of its metrics fails";
        return warnings.of(&written.section, "have no `metricsQuery`", message);
    };
    let restricts = ["LabelMatchers", "LabelValuesByName"].iter().any(|name| rule.query.uses(name));
    if !restricts {
        let message = "the query has no `<<.LabelMatchers>>`: it returns the same for every namespace and every \
                       selector of a request";
        warnings.at(field, "have a query without `<<.LabelMatchers>>`", message);
    }
}

fn resources(api: Api, written: &RuleText<'_>, warnings: &mut Warnings) {
    let resources = &written.resources;
    let has_none = resources.template.text.is_empty() && resources.overrides.is_empty();
    let is_namespaced = resources.namespaced.as_ref().is_none_or(|(_, namespaced)| *namespaced);
    match api {
        Api::Custom => {
            if has_none {
                let message = "the rule has neither `overrides` nor a `template` in `resources`: its metrics describe \
                               no resource and are never served";
                warnings.of(&written.section, "have no resources", message);
            }
            if let Some((field, _)) = &resources.namespaced {
                let message = "`namespaced` has an effect in `externalRules` only";
                warnings.at(field, "have `namespaced` without effect", message);
            }
        }
        Api::External if is_namespaced && !has_label(resources, "namespace") => {
            let message = "the rule has no label for namespaces: every read of its metrics fails; add \
                           `overrides: {namespace: {resource: namespace}}`, or `namespaced: false`";
            warnings.of(&written.section, "have no label for namespaces", message);
        }
        Api::External => {}
    }
}

/// Whether a label names this resource of the core group, given in the singular.
fn has_label(resources: &ResourcesText<'_>, singular: &str) -> bool {
    let names = |resource: &str| {
        let resource = resource.to_lowercase();
        resource.strip_suffix('s').unwrap_or(&resource) == singular
    };
    !resources.template.text.is_empty()
        || resources.overrides.iter().any(|label| label.group.text.is_empty() && names(&label.resource.text))
}

/// Warns about `cpu` or `memory` without a label for namespaces, pods or nodes.
pub(super) fn usage(field: &Field<'_>, written: &UsageText<'_>, warnings: &mut Warnings) {
    let missing = |names: &[&'static str]| -> Vec<&'static str> {
        names.iter().filter(|name| !has_label(&written.resources, name)).copied().collect()
    };
    for (missing, what) in [(missing(&["namespace", "pod"]), "pods"), (missing(&["node"]), "nodes")] {
        if missing.is_empty() {
            continue;
        }
        let labels = missing.iter().map(|name| format!("{name}: {{resource: {name}}}"));
        let message = format!(
            "no label for {}: the usage of {what} is never known; add `overrides: {{{}}}` with the labels of the \
             series",
            missing.iter().map(|name| format!("{name}s")).collect::<Vec<_>>().join(" and "),
            labels.collect::<Vec<_>>().join(", ")
        );
        warnings.at(field, "have no label for namespaces, pods or nodes", &message);
    }
}

fn name(written: &RuleText<'_>, rule: &AdapterRule, warnings: &mut Warnings) {
    let Some(field) = &written.name.field else { return };
    if written.name.text.contains("<<") {
        let message = "`as` is no template: `<<` becomes part of the metric's name";
        return warnings.at(field, "have template text in `as`", message);
    }
    if let Some(missing) = rule.naming.missing_groups().first() {
        let hint = hint(missing).map_or_else(String::new, |hint| format!("; write `{hint}`"));
        let message = format!("`${missing}` is no group of `matches`, and nothing is inserted for it{hint}");
        warnings.at(field, "name groups that `matches` lacks", &message);
    }
}

/// What was probably meant by `$1_total`.
fn hint(missing: &str) -> Option<String> {
    let rest = missing.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = missing.strip_suffix(rest).filter(|number| !number.is_empty() && !rest.is_empty())?;
    Some(format!("${{{number}}}{rest}"))
}

/// Warns about rules that serve the same constant name for the same resource: the last one wins.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The name and a label that it is served for, with the rule.
    seen: HashMap<(String, String), String>,
}

impl Names {
    pub(super) fn add(&mut self, api: Api, written: &RuleText<'_>, warnings: &mut Warnings) {
        let Some(field) = &written.name.field else { return };
        if written.name.text.is_empty() || written.name.text.contains('$') {
            return;
        }
        let resources: Vec<String> = match api {
            Api::External => vec![String::new()],
            Api::Custom => {
                let of = |label: &OverrideText<'_>| {
                    let resource = label.resource.text.to_lowercase();
                    format!("{}.{}", resource.trim_end_matches('s'), label.group.text)
                };
                written.resources.overrides.iter().map(of).collect()
            }
        };
        let (path, _) = written.section.position();
        let mut other = None;
        for resource in resources {
            let before = self.seen.insert((written.name.text.to_string(), resource), path.to_owned());
            other = other.or_else(|| before.filter(|before| before != path));
        }
        if let Some(other) = other {
            let message =
                format!("{other} serves a metric of the same name: this rule wins where both find series");
            warnings.at(field, "serve a metric of the same name as a rule before", &message);
        }
    }
}
