//! Why the objects of a resource are not known, and why requests for them fail.

use crate::metric::GroupResource;

/// Why the objects of a resource are not known.
///
/// The messages reach clients: they name nothing that a client may not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectsError {
    /// The server's ServiceAccount lacks a right.
    #[error(
        "the metrics server is not allowed to {verb} {resource}; grant it get, list and watch on {resource}"
    )]
    Forbidden {
        /// The verb that was refused.
        verb: &'static str,
        /// The resource.
        resource: GroupResource,
    },
    /// kube-apiserver cannot be reached, or fails.
    #[error("cannot list {resource}: kube-apiserver is unavailable; see the server log")]
    Unavailable {
        /// The resource.
        resource: GroupResource,
    },
    /// kube-apiserver did not answer in time.
    #[error("cannot list {resource}: kube-apiserver did not answer in time")]
    Deadline {
        /// The resource.
        resource: GroupResource,
    },
    /// More objects than a read may name.
    #[error("more than {limit} {resource} are selected; use a narrower selector")]
    TooMany {
        /// The resource.
        resource: GroupResource,
        /// The limit.
        limit: usize,
    },
}

/// Why kube-apiserver gave no usable response. For the log; clients get an `ObjectsError`.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error("kube-apiserver answered with status {0}")]
    Status(u16),
    #[error("kube-apiserver did not answer in time")]
    Timeout,
    #[error("cannot reach kube-apiserver")]
    Transport(#[source] Box<kube::Error>),
    #[error("cannot make a request for this resource")]
    Request(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("kube-apiserver sent invalid JSON")]
    Json(#[from] serde_json::Error),
    #[error("kube-apiserver sent an incomplete response")]
    Incomplete,
    #[error("kube-apiserver sent more than {0} bytes")]
    TooLarge(usize),
    #[error("more than {0} items, which is the limit")]
    TooMany(usize),
    #[error("the watched objects would take too much memory")]
    OutOfBudget,
}

impl RequestError {
    pub(super) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Status(403))
    }

    /// Whether the resource version is too old to go on from.
    pub(super) fn is_expired(&self) -> bool {
        matches!(self, Self::Status(410))
    }
}
