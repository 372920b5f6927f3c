//! What goes over the wire, without HTTP: value lists, Table, discovery, OpenAPI, `Status`, content negotiation.
//!
//! The shapes are Kubernetes' own (contract §3 and §4); they are written here, not taken from a client library, because
//! the field order and the explicit nulls are part of what consumers see.

mod discovery;
mod document;
mod external;
mod media;
mod openapi;
mod parameters;
mod pretty;
mod status;
mod table;

pub use document::{Document, Documents};
pub use external::{value_list, value_list_bytes};
pub use media::{Media, Offer, negotiate};
pub use parameters::Parameters;
pub use pretty::pretty;
pub use status::{Error, LimitError, RequestError, Status};
pub use table::{TableVersion, table};

/// The API group served.
pub const GROUP: &str = "external.metrics.k8s.io";
/// Its one version.
pub const VERSION: &str = "v1beta1";
/// Group and version as `apiVersion` writes them.
pub const GROUP_VERSION: &str = "external.metrics.k8s.io/v1beta1";
/// The one resource that discovery lists; every metric name is accepted in its place (contract §3.2).
pub const PSEUDO_RESOURCE: &str = "externalmetrics";
/// The kind of what a read answers.
pub const LIST_KIND: &str = "ExternalMetricValueList";

#[cfg(test)]
mod tests;
