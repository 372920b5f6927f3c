//! The description of an API group. Discovery, OpenAPI, the list of paths and the routing of reads are all made from
//! it.

use super::parameters::Parameters;
use super::request::{Request, RequestError};
use crate::catalog::Catalog;

/// One API group.
#[derive(Debug)]
pub struct Group {
    /// The group's name, such as `external.metrics.k8s.io`.
    pub name: &'static str,
    /// What metrics, logs and traces call a read of this group.
    pub label: &'static str,
    /// The versions served, the preferred one first.
    pub versions: &'static [Version],
    /// The metrics that a catalog has for this group, sorted; none if it does not serve the group.
    pub metrics: fn(&Catalog) -> Option<Metrics<'_>>,
}

/// Metrics as the legacy discovery document lists them.
pub type Metrics<'a> = Box<dyn Iterator<Item = ListedMetric> + 'a>;

/// A metric as the legacy discovery document lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedMetric {
    /// Its name, or `RESOURCE/METRIC` if it describes objects.
    pub name: String,
    /// Whether it is read in a namespace.
    pub is_namespaced: bool,
}

/// One version of a group. It has a parser of its own because the version decides how the answer is written.
#[derive(Debug)]
pub struct Version {
    /// The version's name, such as `v1beta1`.
    pub name: &'static str,
    /// The OpenAPI v3 document of the group and version.
    pub openapi: &'static str,
    /// What discovery lists, unless it lists the metrics. Never empty: client-go takes an empty list for an error.
    pub resources: &'static [Resource],
    /// Parses the segments behind `/apis/GROUP/VERSION/`, percent-decoded, together with the query parameters. `None`
    /// if nothing is served there.
    pub parse: fn(&[&str], &Parameters<'_>) -> Result<Option<Request>, RequestError>,
}

/// A resource as the legacy discovery document lists it.
///
/// The verbs only gate other controllers: with `list`, `watch`, `delete` or `deletecollection` the garbage collector,
/// the quota and the namespace controllers start to send requests.
#[derive(Debug, Clone, Copy)]
pub struct Resource {
    /// The plural name used in paths.
    pub name: &'static str,
    /// The singular name; may be empty.
    pub singular_name: &'static str,
    /// Whether its objects live in a namespace.
    pub is_namespaced: bool,
    /// The kind that a read returns.
    pub kind: &'static str,
    /// The verbs that discovery advertises.
    pub verbs: &'static [&'static str],
}

impl Group {
    /// The group and version of these names.
    pub fn find(
        groups: &'static [&'static Self],
        group: &str,
        version: &str,
    ) -> Option<(&'static Self, &'static Version)> {
        let group = groups.iter().find(|known| known.name == group)?;
        Some((group, group.versions.iter().find(|known| known.name == version)?))
    }

    /// Group and version as `apiVersion` writes them.
    pub fn api_version(&self, version: &Version) -> String {
        format!("{}/{}", self.name, version.name)
    }
}
