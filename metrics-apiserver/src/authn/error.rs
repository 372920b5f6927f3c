//! Why a request is not authenticated.

use std::sync::Arc;

use super::review::ReviewError;

/// Why a request is refused: 401, except for [`TooManyReviews`](Self::TooManyReviews),
/// [`ImpersonationRefused`](Self::ImpersonationRefused), and a review that did not end in time (504).
#[derive(Debug, thiserror::Error)]
pub enum AuthnError {
    /// The client certificate is not signed by a trusted CA, and there are no other valid credentials.
    #[error("the client certificate is not trusted: {reason}")]
    Untrusted {
        /// The result for each CA set. For the log.
        reason: String,
    },
    /// The Kubernetes API reports that the token is not valid.
    #[error("the bearer token is not valid")]
    InvalidToken,
    /// The token could not be checked, so the request is refused.
    #[error("the bearer token could not be reviewed")]
    ReviewFailed {
        /// The cause. For the log.
        #[source]
        source: Arc<ReviewError>,
    },
    /// The token is unknown, and unknown tokens cause too many reviews: 429. The token may be valid.
    #[error("too many unknown bearer tokens, please try again later")]
    TooManyReviews,
    /// The request asks for impersonation. Ignoring that would grant it more permissions than it asked for.
    #[error("impersonation is not supported; send the request through kube-apiserver")]
    ImpersonationRefused,
}
