//! Which label of a series names which resource.

use std::sync::Arc;

use super::error::{AdapterError, QueryError};
use super::regex::GoRegex;
use super::template::{Fields, LabelFields, Template};
use crate::metric::{ResourceInfo, Resources};

/// A label that means one resource, whatever the template says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Override {
    /// The label.
    pub label: Arc<str>,
    /// The resource, as it was written: singular or plural.
    pub resource: Arc<str>,
    /// The group, or the beginning of one; empty for any.
    pub group: Arc<str>,
}

impl Override {
    fn resolve<'r>(&self, resources: &'r Resources) -> Option<&'r Arc<ResourceInfo>> {
        resources.resolve(&self.resource, Some(&self.group))
    }

    /// Whether it means this resource. Where the cluster's resources are not known, the names decide: the namespace's
    /// label of an external metric does not wait for them.
    fn means(&self, info: &ResourceInfo, resources: &Resources) -> bool {
        if let Some(found) = self.resolve(resources) {
            return found.resource == info.resource;
        }
        let resource = self.resource.to_lowercase();
        (*resource == *info.resource.resource || *resource == *info.singular)
            && self.group == info.resource.group
    }
}

/// A template for labels, and the expression that it makes to read them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LabelTemplate {
    template: Template,
    regex: GoRegex,
    resource: usize,
    group: Option<usize>,
}

impl LabelTemplate {
    fn parse(text: &str) -> Result<Self, AdapterError> {
        let template = Template::parse(text).map_err(AdapterError::LabelTemplate)?;
        let groups =
            LabelFields { group: "(?P<group>.+?)".to_owned(), resource: "(?P<resource>.+?)".to_owned() };
        let regex = template.render(&Fields::Label(groups)).map_err(AdapterError::LabelTemplate)?;
        let regex = GoRegex::parse(&format!("^{regex}$")).map_err(AdapterError::LabelRegex)?;
        // The last group of a name counts.
        let number =
            |name: &str| regex.names().filter(|(known, _)| *known == name).map(|(_, number)| number).last();
        let resource = number("resource").ok_or(AdapterError::NoResource)?;
        let group = number("group");
        Ok(Self { template, regex, resource, group })
    }

    /// The label of a resource.
    fn label(&self, info: &ResourceInfo) -> Result<Arc<str>, QueryError> {
        let group = info.resource.group.replace(['.', '-'], "_");
        let fields = LabelFields { group, resource: info.singular.to_string() };
        let label = self.template.render(&Fields::Label(fields))?;
        if label.is_empty() {
            return Err(QueryError::NoLabel { resource: info.resource.to_string() });
        }
        Ok(label.into())
    }

    /// The names of the resource and group that a label has the form of.
    fn names<'l>(&self, label: &'l str) -> Option<(&'l str, &'l str)> {
        let resource = self.regex.group(label, self.resource)?;
        let group = self.group.and_then(|group| self.regex.group(label, group));
        Some((resource, group.unwrap_or_default()))
    }
}

/// What a label means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// The names of objects of this resource.
    Resource(Arc<ResourceInfo>),
    /// It has the form of a resource's label, but the cluster has no such resource.
    Unknown,
    /// Nothing.
    Nothing,
}

/// Which label names which resource: overrides, and a template for all other resources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceLabels {
    overrides: Vec<Override>,
    template: Option<LabelTemplate>,
}

impl ResourceLabels {
    /// The overrides in the order in which they are written; an empty template is none.
    pub fn parse(overrides: Vec<Override>, template: &str) -> Result<Self, AdapterError> {
        let template = (!template.is_empty()).then(|| LabelTemplate::parse(template)).transpose()?;
        Ok(Self { overrides, template })
    }

    /// Whether no label can name a resource.
    pub fn is_empty(&self) -> bool {
        self.overrides.is_empty() && self.template.is_none()
    }

    /// The overrides, in the order in which they are written.
    pub fn overrides(&self) -> &[Override] {
        &self.overrides
    }

    /// The overrides for resources that the cluster does not have, or not yet.
    pub fn unresolved(&self, resources: &Resources) -> impl Iterator<Item = &Override> {
        self.overrides.iter().filter(|known| known.resolve(resources).is_none())
    }

    /// What a label means. An override counts more than the template.
    pub fn meaning(&self, label: &str, resources: &Resources) -> Meaning {
        let found = if let Some(known) = self.overrides.iter().find(|known| *known.label == *label) {
            known.resolve(resources)
        } else {
            let template = self.template.as_ref();
            let Some((resource, group)) = template.and_then(|template| template.names(label)) else {
                return Meaning::Nothing;
            };
            resources.resolve(resource, Some(group))
        };
        found.map_or(Meaning::Unknown, |info| Meaning::Resource(Arc::clone(info)))
    }

    /// The resource that a label names.
    pub fn resource_of(&self, label: &str, resources: &Resources) -> Option<Arc<ResourceInfo>> {
        match self.meaning(label, resources) {
            Meaning::Resource(info) => Some(info),
            Meaning::Unknown | Meaning::Nothing => None,
        }
    }

    /// The label that names a resource; none if there is none. Of several overrides the first that is written counts:
    /// prometheus-adapter takes a random one.
    pub fn label_of(
        &self,
        info: &ResourceInfo,
        resources: &Resources,
    ) -> Result<Option<Arc<str>>, QueryError> {
        if let Some(known) = self.overrides.iter().find(|known| known.means(info, resources)) {
            return Ok(Some(Arc::clone(&known.label)));
        }
        self.template.as_ref().map(|template| template.label(info)).transpose()
    }

    /// As [`Self::label_of`], where there must be one.
    pub(super) fn need_label(
        &self,
        info: &ResourceInfo,
        resources: &Resources,
    ) -> Result<Arc<str>, QueryError> {
        let missing = || QueryError::NoLabel { resource: info.resource.to_string() };
        self.label_of(info, resources)?.ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests;
