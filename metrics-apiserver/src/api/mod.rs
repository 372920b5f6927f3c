//! The APIs on the wire, without HTTP: groups, requests, value lists, Tables, discovery, OpenAPI, `Status`,
//! negotiation.
//!
//! An API is a folder in this room, a file in `answer`, and a line in [`GROUPS`]. The shapes are Kubernetes' own; they
//! are written here and not taken from a client library, because clients see the order of the fields and the explicit
//! nulls.

mod custom;
mod discovery;
mod documents;
mod error;
mod external;
mod group;
mod json;
mod negotiate;
mod openapi;
mod parameters;
mod pretty;
mod request;
mod resource;
mod response;
mod status;
mod table;
mod version;

pub use documents::{Document, DocumentKind, Documents};
pub use error::{Error, LimitError};
pub use group::{Group, ListedMetric, Metrics, Resource, Version};
pub use negotiate::{Media, Offer, negotiate};
pub use parameters::Parameters;
pub use pretty::pretty;
pub use request::{Request, RequestError};
pub use response::Response;
pub use status::{Reason, Status};
pub use table::TableVersion;
pub use version::{CustomVersion, UsageVersion};

/// The API groups served, in the order in which discovery lists them.
pub static GROUPS: &[&Group] = &[&external::GROUP, &custom::GROUP, &resource::GROUP];

#[cfg(test)]
mod tests;
