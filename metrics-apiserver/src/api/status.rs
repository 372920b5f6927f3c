//! Errors on the wire: the one table from every error to a `Status` (contract §4.8).
//!
//! The client reads what it can act on; the log gets the whole chain of causes. Backend URLs, query text and tokens are in
//! neither of the messages made here.

use serde::Serialize;

use super::external::Empty;
use super::{GROUP, PSEUDO_RESOURCE};
use crate::answer::AnswerError;
use crate::authn::AuthnError;
use crate::authz::{Attributes, AuthzError};
use crate::cache::{QueryError, ReadError};
use crate::metric::{ParseNameError, ParseSelectorError};
use crate::rules::ValueError;

/// Why a request gets no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request itself is at fault.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A bound of the server was met.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// Who asks is not known.
    #[error(transparent)]
    Authn(#[from] AuthnError),
    /// Who asks may not.
    #[error("user {user:?} is not let through")]
    Authz {
        /// What the authorizer said.
        source: AuthzError,
        /// The user's name.
        user: String,
        /// What was asked for.
        wanted: Box<Attributes>,
    },
    /// There is no number to answer with.
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

impl Error {
    /// Whether the log has it already: whoever finds out that a backend is down says so, once.
    pub fn is_told(&self) -> bool {
        matches!(
            self,
            Self::Answer(AnswerError::Read { source: ReadError::Query(QueryError::BreakerOpen { .. }), .. })
        )
    }
}

/// What can be wrong with a request before anything is looked up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A path segment is no percent-encoded UTF-8.
    #[error("the path is not percent-encoded utf-8")]
    Path,
    /// The namespace is no namespace's name.
    #[error(transparent)]
    Namespace(ParseNameError),
    /// The metric's name is none.
    #[error(transparent)]
    Metric(ParseNameError),
    /// `labelSelector` is no selector.
    #[error("unable to parse labelSelector: {0}")]
    Selector(ParseSelectorError),
    /// `timeout` is no duration.
    #[error("invalid timeout specified in the request URL")]
    Timeout,
    /// The request wants another protocol.
    #[error("protocol upgrades are not served")]
    Upgrade,
    /// There is nothing at that path.
    #[error("the server could not find the requested resource")]
    UnknownPath,
    /// `watch=true`.
    #[error("watch is not supported on resources of kind \"{PSEUDO_RESOURCE}.{GROUP}\"")]
    Watch,
    /// Not GET and not HEAD.
    #[error("the server does not allow this method on the requested resource")]
    Method,
    /// No form that is served is accepted.
    #[error("only the following media types are accepted: application/json")]
    NotAcceptable,
}

/// The server's bounds, and its surprises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// `--max-requests-inflight` requests are being answered.
    #[error("too many requests, please try again later.")]
    TooManyInFlight,
    /// Answers of megabytes are under way, and others wait already or the time is over.
    #[error("too many large answers are under way; a metric whose query aggregates has a small one")]
    TooLarge,
    /// The client's own timeout or `--request-timeout` passed.
    #[error("the request did not complete within its time")]
    Deadline,
    /// The handling panicked.
    #[error("an unexpected error, see the server's log")]
    Panicked,
}

/// `v1` Status of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The HTTP code.
    pub code: u16,
    /// Kubernetes' word for the kind of failure.
    pub reason: &'static str,
    /// What the client can act on.
    pub message: String,
    /// More for machines.
    details: Option<Details>,
}

impl Status {
    fn new(code: u16, reason: &'static str, message: String) -> Self {
        Self { code, reason, message, details: None }
    }

    /// What `Retry-After` says; only where trying again within a second makes sense, since client-go then does so ten
    /// times and keeps one of the HPA controller's workers busy meanwhile.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        self.details.as_ref()?.retry_after_seconds
    }

    /// The body.
    pub fn to_json(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(256);
        super::document::write_json(
            &mut body,
            &Wire {
                kind: "Status",
                api_version: "v1",
                metadata: Empty {},
                status: "Failure",
                message: &self.message,
                reason: self.reason,
                details: self.details.as_ref(),
                code: self.code,
            },
        );
        body
    }
}

impl From<&Error> for Status {
    fn from(error: &Error) -> Self {
        match error {
            Error::Request(error) => of_request(error),
            Error::Limit(error) => of_limit(*error),
            Error::Authn(error) => of_authn(error),
            Error::Authz { source, user, wanted } => of_authz(source, user, wanted),
            Error::Answer(error) => of_answer(error),
        }
    }
}

fn of_request(error: &RequestError) -> Status {
    let (code, reason) = match error {
        RequestError::Path
        | RequestError::Namespace(_)
        | RequestError::Metric(_)
        | RequestError::Selector(_)
        | RequestError::Timeout
        | RequestError::Upgrade => (400, "BadRequest"),
        RequestError::UnknownPath => (404, "NotFound"),
        RequestError::Watch | RequestError::Method => (405, "MethodNotAllowed"),
        RequestError::NotAcceptable => (406, "NotAcceptable"),
    };
    Status::new(code, reason, error.to_string())
}

fn of_limit(error: LimitError) -> Status {
    match error {
        LimitError::TooManyInFlight | LimitError::TooLarge => too_many(error.to_string()),
        LimitError::Deadline => Status::new(504, "Timeout", error.to_string()),
        LimitError::Panicked => Status::new(500, "InternalError", error.to_string()),
    }
}

fn too_many(message: String) -> Status {
    Status {
        details: Some(Details { retry_after_seconds: Some(1), ..Details::default() }),
        ..Status::new(429, "TooManyRequests", message)
    }
}

/// A stranger learns that they are one, and why only if that is their own doing.
fn of_authn(error: &AuthnError) -> Status {
    match error {
        AuthnError::Untrusted { .. } | AuthnError::InvalidToken | AuthnError::ReviewFailed { .. } => {
            Status::new(401, "Unauthorized", "Unauthorized".to_owned())
        }
        AuthnError::TooManyReviews => too_many(error.to_string()),
        AuthnError::ImpersonationRefused => Status::new(403, "Forbidden", error.to_string()),
    }
}

fn of_authz(error: &AuthzError, user: &str, wanted: &Attributes) -> Status {
    match error {
        AuthzError::Denied { reason } => forbidden(reason, user, wanted),
        AuthzError::TooManyReviews => too_many(error.to_string()),
        AuthzError::ReviewFailed { .. } => Status::new(500, "InternalError", error.to_string()),
    }
}

fn of_answer(error: &AnswerError) -> Status {
    let (code, reason) = code_of(error);
    Status::new(code, reason, error.to_string())
}

fn code_of(error: &AnswerError) -> (u16, &'static str) {
    match error {
        AnswerError::HoldOver { error, .. } => code_of(error),
        AnswerError::Unknown { .. } => (404, "NotFound"),
        AnswerError::Plan { .. } => (400, "BadRequest"),
        AnswerError::Read { source, .. } => match source {
            ReadError::DeadlinePassed | ReadError::TooOld(_) | ReadError::Query(QueryError::TimedOut(_)) => {
                (504, "Timeout")
            }
            ReadError::Query(QueryError::Refused { .. } | QueryError::Unfit { .. }) => (500, "InternalError"),
            ReadError::Busy
            | ReadError::Query(
                QueryError::Unavailable { .. }
                | QueryError::Malformed { .. }
                | QueryError::TooMuch { .. }
                | QueryError::BreakerOpen { .. },
            ) => (503, "ServiceUnavailable"),
        },
        AnswerError::Value { source, .. } => match source {
            ValueError::NoData => (404, "NotFound"),
            ValueError::SeveralSeries { .. }
            | ValueError::NotANumber
            | ValueError::Infinite(_)
            | ValueError::TooLarge
            | ValueError::Negative(_) => (500, "InternalError"),
            ValueError::Partial { .. } => (503, "ServiceUnavailable"),
        },
    }
}

/// kube-apiserver's own sentence, so that people recognize it.
fn forbidden(reason: &str, user: &str, wanted: &Attributes) -> Status {
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let (sentence, details) = match wanted {
        Attributes::NonResource { verb, path } => {
            (format!("forbidden: User {user:?} cannot {verb} path {path:?}"), Details::default())
        }
        Attributes::Resource { verb, group, namespace, resource, subresource, name, .. } => {
            let object = name.as_ref().map_or_else(String::new, |name| format!(" {name:?}"));
            let full =
                subresource.as_ref().map_or_else(|| resource.clone(), |sub| format!("{resource}/{sub}"));
            let place = namespace.as_ref().map_or_else(
                || "at the cluster scope".to_owned(),
                |namespace| format!("in the namespace {namespace:?}"),
            );
            let sentence = format!(
                "{resource}.{group}{object} is forbidden: User {user:?} cannot {verb} resource {full:?} in API group {group:?} {place}"
            );
            let details = Details {
                name: name.clone(),
                group: Some(group.clone()),
                kind: Some(resource.clone()),
                retry_after_seconds: None,
            };
            (sentence, details)
        }
    };
    Status { details: Some(details), ..Status::new(403, "Forbidden", sentence + &reason) }
}

/// The fields in the order in which Go writes them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    status: &'static str,
    message: &'a str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Details>,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u32>,
}
