//! What a read asks for, parsed once from path and query, and what can be wrong with a request.

use super::version::{CustomVersion, UsageVersion};
use crate::answer::{CustomRequest, UsageRequest};
use crate::metric::{
    MetricName, Namespace, ParseFieldSelectorError, ParseNameError, ParseSelectorError, Selector,
};

/// A read of one of the APIs; its names and selectors are valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The values of an external metric in a namespace.
    External {
        /// The namespace that the query is bound to.
        namespace: Namespace,
        /// The metric.
        metric: MetricName,
        /// Which of the metric's series.
        selector: Selector,
    },
    /// The values of a custom metric of objects.
    Custom {
        /// The version that the client reads.
        version: CustomVersion,
        /// What is read.
        request: CustomRequest,
    },
    /// The CPU and memory usage of pods or nodes.
    Usage {
        /// The version that the client reads.
        version: UsageVersion,
        /// Whose usage.
        request: UsageRequest,
    },
}

/// What can be wrong with a request before anything is looked up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A path segment is not percent-encoded UTF-8.
    #[error("the path is not percent-encoded UTF-8")]
    Path,
    /// The path's namespace is not a valid namespace name.
    #[error(transparent)]
    Namespace(ParseNameError),
    /// The path's metric is not a valid metric name.
    #[error(transparent)]
    Metric(ParseNameError),
    /// `labelSelector` is not a valid label selector.
    #[error("unable to parse labelSelector: {0}")]
    Selector(ParseSelectorError),
    /// `metricLabelSelector` is not a valid label selector.
    #[error("unable to parse metricLabelSelector: {0}")]
    MetricSelector(ParseSelectorError),
    /// A path that ends behind a namespace and one name.
    #[error("invalid request path")]
    ShortPath,
    /// `fieldSelector` is not a field selector that is supported.
    #[error("{0}")]
    FieldSelector(ParseFieldSelectorError),
    /// `fieldSelector` selects by something else than the name in the path. The sentence is apiserver's.
    #[error("fieldSelector metadata.name doesn't match requested name")]
    FieldName,
    /// `timeout` is not a valid duration.
    #[error("invalid timeout specified in the request URL")]
    Timeout,
    /// The request line or a header is not HTTP/1.1.
    #[error("the request line or a header is malformed")]
    Malformed,
    /// The request asks for another protocol.
    #[error("protocol upgrades are not supported")]
    Upgrade,
    /// Nothing is served at that path.
    #[error("the server could not find the requested resource")]
    UnknownPath,
    /// `watch=true`.
    #[error("watch is not supported on resources of kind \"{resource}.{group}\"")]
    Watch {
        /// The resource as discovery names it.
        resource: &'static str,
        /// Its API group.
        group: &'static str,
    },
    /// Neither GET nor HEAD.
    #[error("the server does not allow this method on the requested resource")]
    Method,
    /// None of the served media types is acceptable to the client.
    #[error("only the following media types are accepted: application/json")]
    NotAcceptable,
}
