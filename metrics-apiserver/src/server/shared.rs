//! What all requests share.

use std::sync::Arc;

use prometheus_client::registry::Registry;

use super::documents::CurrentDocuments;
use super::large::LargeAnswers;
use super::limits::Limits;
use super::metrics::Metrics;
use crate::answer::Answers;
use crate::authn::Authenticator;
use crate::authz::Authorizer;
use crate::limit::LogLimiter;
use crate::readiness::Readiness;

/// What the server is made of.
pub struct Parts {
    /// Answers reads of metrics.
    pub answers: Arc<Answers>,
    /// Authenticates requests.
    pub authenticator: Arc<Authenticator>,
    /// Authorizes requests.
    pub authorizer: Arc<Authorizer>,
    /// The health endpoints' checks.
    pub readiness: Readiness,
    /// The metrics served at `/metrics`; the server adds its own.
    pub registry: Registry,
}

/// The parts, and what the server adds to them.
pub(super) struct Shared {
    pub(super) parts: Parts,
    pub(super) documents: CurrentDocuments,
    pub(super) limits: Limits,
    pub(super) large: LargeAnswers,
    pub(super) metrics: Metrics,
    /// The log of failed requests.
    pub(super) failures: LogLimiter,
}
