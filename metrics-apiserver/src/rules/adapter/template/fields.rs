//! What a template can name.

use std::collections::BTreeMap;

/// The data that a template is rendered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fields {
    /// Of a query.
    Query(QueryFields),
    /// Of a label.
    Label(LabelFields),
}

/// The fields of a query's template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryFields {
    /// `.Series`: the name of the series.
    pub series: String,
    /// `.LabelMatchers`: matchers, joined by commas.
    pub label_matchers: String,
    /// `.LabelValuesByName`: for each label of a matcher its values, joined by `|`.
    pub label_values_by_name: BTreeMap<String, String>,
    /// `.GroupBy`: labels, joined by commas.
    pub group_by: String,
    /// `.GroupBySlice`: the same labels, one by one.
    pub group_by_slice: Vec<String>,
}

/// The fields of a label's template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelFields {
    /// `.Group`: the API group, with underscores for dots and dashes.
    pub group: String,
    /// `.Resource`: the singular name of the resource.
    pub resource: String,
}

impl LabelFields {
    /// How Go prints them: `resource.group`, or the resource alone.
    pub(super) fn printed(&self) -> String {
        let Self { group, resource } = self;
        if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") }
    }
}
