//! Why a request fails, whatever the cause.

use super::request::RequestError;
use crate::answer::AnswerError;
use crate::authn::AuthnError;
use crate::authz::{Attributes, AuthzError};
use crate::cache::ReadError;

/// Why a request gets no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request itself is at fault.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A limit of the server was reached.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The user is not authenticated.
    #[error(transparent)]
    Authn(#[from] AuthnError),
    /// The user is not authorized.
    #[error("user {user:?} is not authorized")]
    Authz {
        /// What the authorizer said.
        source: AuthzError,
        /// The user's name.
        user: String,
        /// The right that is missing.
        wanted: Box<Attributes>,
    },
    /// The read has no values.
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

impl Error {
    /// Whether the log has it already: the query that failed is logged, and so is a circuit breaker that opens.
    pub fn is_reported(&self) -> bool {
        let Self::Answer(answer) = self else { return false };
        let error = if let AnswerError::Custom { error } = answer { error } else { answer };
        matches!(error, AnswerError::Read { source: ReadError::Query(_), .. })
    }
}

/// A limit of the server that a request ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// `--max-requests-inflight` requests are being answered.
    #[error("too many requests, please try again later.")]
    TooManyInFlight,
    /// The memory for large responses is taken, and the queue for it is full or the deadline passed.
    #[error("too many large responses are in progress; aggregate in the query to make this one small")]
    TooLarge,
    /// The client's own timeout or `--request-timeout` passed.
    #[error("request did not complete within the allotted timeout")]
    Deadline,
    /// The request's headers are too large or too many.
    #[error("the request headers are too large")]
    HeadersTooLarge,
    /// The request's headers did not arrive in time.
    #[error("the request headers were not received in time")]
    HeadersTimeout,
    /// The handler panicked.
    #[error("internal error, see the server log")]
    Panicked,
}
