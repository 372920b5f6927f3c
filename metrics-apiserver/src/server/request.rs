//! A request as the handlers see it.

use hyper::header::{self, HeaderName};
use hyper::http::request::Parts;

use super::routes::Target;
use crate::api::{Documents, Media, Offer, RequestError, negotiate};

/// A request's head with its URL parsed.
pub(super) struct Request<'a> {
    pub(super) raw: &'a Parts,
    pub(super) target: Target<'a>,
}

impl<'a> Request<'a> {
    /// Parses the URL; what is wrong with it is told when the request is handled.
    pub(super) fn new(raw: &'a Parts, documents: &'a Documents) -> Self {
        let uri = &raw.uri;
        Self { raw, target: Target::parse(documents, uri.path(), uri.query().unwrap_or_default()) }
    }

    /// The media type the client wants, of those that `offer` names.
    pub(super) fn media(&self, offer: Offer) -> Result<Media, RequestError> {
        negotiate(self.header(header::ACCEPT), offer)
    }

    /// Whether the answer is for a person.
    pub(super) fn is_pretty(&self) -> bool {
        self.target.parameters.pretty.unwrap_or_else(|| {
            let agent = self.header(header::USER_AGENT).unwrap_or_default();
            ["curl", "Wget", "Mozilla/5.0"].iter().any(|person| agent.starts_with(person))
        })
    }

    /// A header's first value, if it is text.
    pub(super) fn header(&self, name: HeaderName) -> Option<&str> {
        self.raw.headers.get(name)?.to_str().ok()
    }
}
