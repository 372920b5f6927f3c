//! Errors on the wire: the one table from every error to a `Status`.
//!
//! The client reads what it can act on; the log gets the whole chain of causes. The messages made here contain no
//! backend URLs, query text or tokens.

use serde::Serialize;

use super::error::{Error, LimitError};
use super::json::{self, Empty};
use super::request::RequestError;
use crate::answer::AnswerError;
use crate::authn::AuthnError;
use crate::authz::{Attributes, AuthzError};
use crate::cache::{QueryError, ReadError};
use crate::objects::ObjectsError;
use crate::rules::{PlanError, ValueError, adapter};

/// The kind of a failure: its name is the reason that Kubernetes gives, its number the HTTP code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Reason {
    /// The request is malformed.
    BadRequest = 400,
    /// The user is not authenticated.
    Unauthorized = 401,
    /// The user is not authorized.
    Forbidden = 403,
    /// The path or the metric does not exist.
    NotFound = 404,
    /// Neither GET nor HEAD, or a watch.
    MethodNotAllowed = 405,
    /// None of the served media types is acceptable.
    NotAcceptable = 406,
    /// The client did not send its headers in time. apimachinery has no reason of its own for 408.
    #[serde(rename = "Timeout")]
    HeadersTimeout = 408,
    /// Trying again within a second makes sense.
    TooManyRequests = 429,
    /// The headers are too large. apimachinery has no reason of its own for 431.
    #[serde(rename = "RequestEntityTooLarge")]
    HeadersTooLarge = 431,
    /// The server or the query is at fault.
    InternalError = 500,
    /// The backend is at fault.
    ServiceUnavailable = 503,
    /// The deadline passed.
    Timeout = 504,
}

impl Reason {
    /// The HTTP code.
    pub const fn code(self) -> u16 {
        self as u16
    }
}

/// `v1` Status of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The kind of failure, which decides the HTTP code.
    pub reason: Reason,
    /// What the client can act on.
    pub message: String,
    /// More for machines.
    details: Option<Details>,
}

impl Status {
    fn new(reason: Reason, message: String) -> Self {
        let details = match reason {
            Reason::TooManyRequests => Some(Details { retry_after_seconds: Some(1), ..Details::default() }),
            _ => None,
        };
        Self { reason, message, details }
    }

    /// The HTTP code.
    pub const fn code(&self) -> u16 {
        self.reason.code()
    }

    /// What `Retry-After` says. Only a 429 has it: client-go then tries ten times and keeps one of the HPA controller's
    /// workers busy meanwhile.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        self.details.as_ref()?.retry_after_seconds
    }

    /// The body.
    pub fn to_json(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(256);
        let wire = Wire {
            kind: "Status",
            api_version: "v1",
            metadata: Empty {},
            status: "Failure",
            message: &self.message,
            reason: self.reason,
            details: self.details.as_ref(),
            code: self.code(),
        };
        json::write(&mut body, &wire);
        body
    }
}

impl From<&Error> for Status {
    fn from(error: &Error) -> Self {
        match error {
            Error::Request(error) => Self::new(reason_of_request(error), error.to_string()),
            Error::Limit(error) => Self::new(reason_of_limit(*error), error.to_string()),
            Error::Authn(error) => of_authn(error),
            Error::Authz { source, user, wanted } => of_authz(source, user, wanted),
            Error::Answer(error) => of_answer(error),
        }
    }
}

const fn reason_of_request(error: &RequestError) -> Reason {
    match error {
        RequestError::Path
        | RequestError::Namespace(_)
        | RequestError::Metric(_)
        | RequestError::Selector(_)
        | RequestError::MetricSelector(_)
        | RequestError::ShortPath
        | RequestError::FieldSelector(_)
        | RequestError::FieldName
        | RequestError::Timeout
        | RequestError::Malformed
        | RequestError::Upgrade => Reason::BadRequest,
        RequestError::UnknownPath => Reason::NotFound,
        RequestError::Watch { .. } | RequestError::Method => Reason::MethodNotAllowed,
        RequestError::NotAcceptable => Reason::NotAcceptable,
    }
}

const fn reason_of_limit(error: LimitError) -> Reason {
    match error {
        LimitError::TooManyInFlight | LimitError::TooLarge => Reason::TooManyRequests,
        LimitError::Deadline => Reason::Timeout,
        LimitError::HeadersTooLarge => Reason::HeadersTooLarge,
        LimitError::HeadersTimeout => Reason::HeadersTimeout,
        LimitError::Panicked => Reason::InternalError,
    }
}

/// An unauthenticated client learns no more than that it is one.
fn of_authn(error: &AuthnError) -> Status {
    match error {
        AuthnError::ReviewFailed { source } if source.is_timeout() => {
            Status::new(Reason::Timeout, error.to_string())
        }
        AuthnError::Untrusted { .. } | AuthnError::InvalidToken | AuthnError::ReviewFailed { .. } => {
            Status::new(Reason::Unauthorized, "Unauthorized".to_owned())
        }
        AuthnError::TooManyReviews => Status::new(Reason::TooManyRequests, error.to_string()),
        AuthnError::ImpersonationRefused => Status::new(Reason::Forbidden, error.to_string()),
    }
}

fn of_authz(error: &AuthzError, user: &str, wanted: &Attributes) -> Status {
    match error {
        AuthzError::Denied { reason } => forbidden(reason, user, wanted),
        AuthzError::TooManyReviews => Status::new(Reason::TooManyRequests, error.to_string()),
        AuthzError::Throttled { .. } => Status::new(Reason::ServiceUnavailable, error.to_string()),
        AuthzError::ReviewFailed { source } if source.is_timeout() => {
            Status::new(Reason::Timeout, error.to_string())
        }
        AuthzError::ReviewFailed { .. } => Status::new(Reason::InternalError, error.to_string()),
    }
}

/// A custom metric's internal error begins as in prometheus-adapter, where people look it up.
fn of_answer(error: &AnswerError) -> Status {
    match (reason_of_answer(error), error) {
        (Reason::InternalError, AnswerError::Custom { .. }) => {
            Status::new(Reason::InternalError, format!("Internal error occurred: {error}"))
        }
        (reason, error) => Status::new(reason, error.to_string()),
    }
}

fn reason_of_answer(error: &AnswerError) -> Reason {
    match error {
        AnswerError::Custom { error } | AnswerError::HoldOver { error, .. } => reason_of_answer(error),
        AnswerError::Unknown { .. }
        | AnswerError::Pending { .. }
        | AnswerError::NotFound { .. }
        | AnswerError::NoResourceRules
        | AnswerError::NoObject { .. } => Reason::NotFound,
        AnswerError::Objects(error) => reason_of_objects(error),
        AnswerError::UnknownResource { .. } => Reason::InternalError,
        AnswerError::Plan { source, .. } => reason_of_plan(source),
        AnswerError::Read { source, .. } => reason_of_read(source),
        AnswerError::Value { source, .. } => reason_of_value(source),
    }
}

const fn reason_of_objects(error: &ObjectsError) -> Reason {
    match error {
        ObjectsError::Forbidden { .. } | ObjectsError::TooMany { .. } => Reason::InternalError,
        ObjectsError::Unavailable { .. } => Reason::ServiceUnavailable,
        ObjectsError::Deadline { .. } => Reason::Timeout,
    }
}

const fn reason_of_plan(error: &PlanError) -> Reason {
    match error {
        PlanError::AllNamespaces
        | PlanError::Comparison { .. }
        | PlanError::NotAllowed { .. }
        | PlanError::Parameter { .. }
        | PlanError::TooLong { .. }
        | PlanError::Adapter(adapter::QueryError::Comparison { .. }) => Reason::BadRequest,
        PlanError::NotCustom => Reason::NotFound,
        PlanError::Adapter(
            adapter::QueryError::NoLabel { .. }
            | adapter::QueryError::Template(_)
            | adapter::QueryError::Empty
            | adapter::QueryError::TooLong { .. },
        ) => Reason::InternalError,
    }
}

const fn reason_of_read(error: &ReadError) -> Reason {
    match error {
        ReadError::DeadlinePassed | ReadError::TooOld(_) | ReadError::Query(QueryError::TimedOut(_)) => {
            Reason::Timeout
        }
        ReadError::Query(QueryError::Refused { .. } | QueryError::Unfit { .. }) => Reason::InternalError,
        ReadError::Busy
        | ReadError::Query(
            QueryError::Unavailable { .. }
            | QueryError::Malformed { .. }
            | QueryError::TooMuch { .. }
            | QueryError::BreakerOpen { .. },
        ) => Reason::ServiceUnavailable,
    }
}

const fn reason_of_value(error: &ValueError) -> Reason {
    match error {
        ValueError::NoData => Reason::NotFound,
        ValueError::SeveralSeries { .. }
        | ValueError::NotANumber
        | ValueError::Infinite(_)
        | ValueError::TooLarge
        | ValueError::Negative(_) => Reason::InternalError,
        ValueError::Partial { .. } => Reason::ServiceUnavailable,
    }
}

/// kube-apiserver's own sentence, which people recognize.
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
                "{resource}.{group}{object} is forbidden: User {user:?} cannot {verb} resource {full:?} \
                 in API group {group:?} {place}"
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
    Status { details: Some(details), ..Status::new(Reason::Forbidden, sentence + &reason) }
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
    reason: Reason,
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
