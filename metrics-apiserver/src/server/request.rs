//! A request as the handlers see it.

use hyper::header::{self, HeaderName};
use hyper::http::request::Parts;

use crate::api::{Media, Offer, Parameters, RequestError, negotiate};

/// A request's head with its query parameters read.
pub(super) struct Request<'a> {
    pub(super) raw: &'a Parts,
    pub(super) parameters: Parameters<'a>,
}

impl<'a> Request<'a> {
    /// Reads what every endpoint reads.
    pub(super) fn new(raw: &'a Parts) -> Result<Self, RequestError> {
        Ok(Self { raw, parameters: Parameters::parse(raw.uri.query().unwrap_or_default())? })
    }

    /// The form the client wants, of those that `offer` names.
    pub(super) fn media(&self, offer: Offer) -> Result<Media, RequestError> {
        negotiate(self.header(header::ACCEPT), offer)
    }

    /// Whether a person reads the answer.
    pub(super) fn is_pretty(&self) -> bool {
        self.parameters.pretty.unwrap_or_else(|| {
            let agent = self.header(header::USER_AGENT).unwrap_or_default();
            ["curl", "Wget", "Mozilla/5.0"].iter().any(|person| agent.starts_with(person))
        })
    }

    /// A header's first value, if it is text.
    pub(super) fn header(&self, name: HeaderName) -> Option<&str> {
        self.raw.headers.get(name)?.to_str().ok()
    }
}
