//! Why the objects of a resource are not known.

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
