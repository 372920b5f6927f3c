//! The answer to a read, in the form the client wants.

use jiff::Timestamp;
use tokio::time::Instant;

use super::negotiate::Media;
use super::request::Request;
use super::version::{CustomVersion, UsageVersion};
use super::{custom, external, resource};
use crate::answer::{Answer, AnswerError, Answers, CustomAnswer, CustomRequest, UsageAnswer};
use crate::metric::Namespace;

/// What a read found.
#[derive(Debug)]
pub enum Response<'a> {
    /// The values of an external metric.
    External {
        /// The namespace of the request.
        namespace: &'a Namespace,
        /// The values.
        answer: Answer,
    },
    /// The values of a custom metric.
    Custom {
        /// The version that the client reads.
        version: CustomVersion,
        /// The request.
        request: &'a CustomRequest,
        /// The values.
        answer: CustomAnswer,
    },
    /// The usage of pods or nodes.
    Usage {
        /// The version that the client reads.
        version: UsageVersion,
        /// The usage.
        answer: UsageAnswer,
    },
}

impl Request {
    /// Answers the request by `deadline`.
    pub async fn answer(&self, answers: &Answers, deadline: Instant) -> Result<Response<'_>, AnswerError> {
        match self {
            Self::External { namespace, metric, selector } => {
                let answer = answers.external(namespace, metric, selector, deadline).await.into_answer()?;
                Ok(Response::External { namespace, answer })
            }
            Self::Custom { version, request } => {
                let answer = answers.custom(request, deadline).await?;
                Ok(Response::Custom { version: *version, request, answer })
            }
            Self::Usage { version, request } => {
                let answer = answers.usage(request, deadline).await?;
                Ok(Response::Usage { version: *version, answer })
            }
        }
    }
}

impl Response<'_> {
    /// About how much memory [`Self::encode`] takes.
    pub fn bytes(&self, media: Media) -> usize {
        let json = match self {
            Self::External { answer, .. } => {
                external::value_list_bytes(answer.metric.as_str(), &answer.values)
            }
            Self::Custom { request, answer, .. } => custom::value_list_bytes(request, answer),
            Self::Usage { answer, .. } => resource::usage_bytes(answer),
        };
        // The cells of a table are strings before they are JSON.
        if matches!(media, Media::Table(_)) { 2 * json } else { json }
    }

    /// The body, served at `now`.
    pub fn encode(&self, media: Media, now: Timestamp) -> Vec<u8> {
        match self {
            Self::External { namespace, answer } => {
                let (metric, values) = (answer.metric.as_str(), answer.values.as_slice());
                match media {
                    Media::Table(version) => external::table(version, metric, namespace, values, now),
                    Media::Json | Media::Aggregated => external::value_list(metric, values),
                }
            }
            Self::Custom { version, request, answer } => match media {
                Media::Table(table) => custom::table(table, request, answer),
                Media::Json | Media::Aggregated => custom::value_list(*version, request, answer, now),
            },
            Self::Usage { version, answer } => match media {
                Media::Table(table) => resource::table(table, answer, now),
                Media::Json | Media::Aggregated => resource::usage(*version, answer, now),
            },
        }
    }
}
