//! From what is written to a rule that can be served.

use std::sync::Arc;

use super::Check;
use super::written::{Api, FilterText, ResourcesText, RuleText, Text};
use crate::config::common::max_age;
use crate::config::locate::in_text;
use crate::config::policies::policies;
use crate::config::problem::Problem;
use crate::config::section::Field;
use crate::rules::adapter::{
    AdapterError, AdapterRule, Naming, Override, ResourceLabels, SeriesFilter, Template,
};
use crate::rules::{DEFAULT_MAX_AGE, Policies};

impl Check<'_, '_, '_> {
    pub(super) fn adapter_rule(&mut self, api: Api, written: &RuleText<'_>) -> Option<AdapterRule> {
        let naming = self.naming(written);
        let resources = self.resource_labels(&written.resources);
        let query = self.template(&written.metrics_query);
        let (section, problems) = (&written.section, &mut *self.reader.problems);
        let backend = self.backends.of_all_namespaces(section, "series are discovered in all", problems);
        let defaults = match api {
            Api::Custom => Policies::adapter(),
            Api::External => Policies::adapter_external(),
        };
        let policies = policies(section, defaults, problems);
        let max_age = max_age(section, problems).unwrap_or(DEFAULT_MAX_AGE);
        let is_namespaced = written.resources.namespaced.as_ref().is_none_or(|(_, namespaced)| *namespaced);
        Some(AdapterRule {
            series_query: written.series_query.text.as_ref().into(),
            naming: naming?,
            resources: resources?,
            namespaced: api == Api::Custom || is_namespaced,
            query: query?,
            backend,
            policies,
            max_age,
            owner: Arc::default(),
        })
    }

    fn naming(&mut self, written: &RuleText<'_>) -> Option<Naming> {
        let mut filters = Vec::with_capacity(written.filters.len());
        for filter in &written.filters {
            filters.extend(self.filter(filter));
        }
        let is_complete = filters.len() == written.filters.len();
        match Naming::parse(filters, &written.matches.text, &written.name.text) {
            Ok(naming) => is_complete.then_some(naming),
            Err(error) => {
                let field = written.matches.field.as_ref();
                let problem = field.map(|field| self.problem_in(field, &error));
                self.reader
                    .problems
                    .push(problem.unwrap_or_else(|| written.section.problem(error.to_string())));
                None
            }
        }
    }

    fn filter(&mut self, written: &FilterText<'_>) -> Option<SeriesFilter> {
        let error = match SeriesFilter::parse(&written.is.text, &written.is_not.text) {
            Ok(filter) => return Some(filter),
            Err(error) => error,
        };
        let field = match &error {
            AdapterError::Regex { key: "is", .. } => written.is.field.as_ref(),
            AdapterError::Regex { .. } => written.is_not.field.as_ref(),
            _ => None,
        };
        let problem = field.map(|field| self.problem_in(field, &error));
        self.reader.problems.push(problem.unwrap_or_else(|| written.section.problem(error.to_string())));
        None
    }

    /// The labels of resources that a rule, or a part of the resource rules, names.
    pub(super) fn resource_labels(&mut self, written: &ResourcesText<'_>) -> Option<ResourceLabels> {
        let overrides = written.overrides.iter().map(|label| Override {
            label: label.label.into(),
            resource: label.resource.text.as_ref().into(),
            group: label.group.text.as_ref().into(),
        });
        match ResourceLabels::parse(overrides.collect(), &written.template.text) {
            Ok(labels) => Some(labels),
            Err(error) => {
                if let Some(field) = &written.template.field {
                    let problem = self.problem_in(field, &error);
                    self.reader.problems.push(problem);
                }
                None
            }
        }
    }

    /// The template of a query.
    pub(super) fn template(&mut self, written: &Text<'_>) -> Option<Template> {
        match Template::parse(&written.text) {
            Ok(template) => Some(template),
            Err(error) => {
                if let Some(field) = &written.field {
                    let position = Some(error.position);
                    self.reader.problems.push(in_text(
                        field,
                        self.reader.source,
                        error.to_string(),
                        position,
                    ));
                }
                None
            }
        }
    }

    fn problem_in(&self, field: &Field<'_>, error: &AdapterError) -> Problem {
        in_text(field, self.reader.source, error.to_string(), error.position())
    }
}
