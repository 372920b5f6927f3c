//! HTTP: the only room that names hyper.
//!
//! A connection is accepted (`connection`), completes its TLS handshake (`handshake`) and is read by hyper under time
//! limits (`stream`). A request passes `observe` (id, span, log line, metrics), the deadline, authentication, the
//! limit on requests in flight and authorization (`guard`), and then a handler. `routes` parses the raw path and
//! decodes it once: two readings of one path are how a check is bypassed.
//!
//! HTTP/1.1 only, so that connections spread over the replicas. Always TLS.

mod body;
mod connection;
mod documents;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod guard;
mod handle;
mod handshake;
mod health;
mod large;
mod limits;
mod listen;
mod observe;
mod options;
mod peer;
mod read;
mod reply;
mod request;
mod routes;
mod scrape;
mod stream;
mod trace;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

pub use options::Options;

use connection::Acceptor;
use handshake::Handshakes;
use large::LargeAnswers;
use limits::Limits;

use crate::answer::Answers;
use crate::api::{Documents, GROUPS};
use crate::authn::Authenticator;
use crate::authz::Authorizer;
use crate::readiness::Readiness;

/// For requests in flight at shutdown. Each has a deadline of its own besides.
const DRAIN_MAX: Duration = Duration::from_secs(60);

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

/// A server that listens but does not serve yet.
#[must_use]
pub struct Bound {
    address: SocketAddr,
    listener: TcpListener,
    acceptor: Acceptor,
    drain: Duration,
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bound").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What all requests share.
struct Shared {
    answers: Arc<Answers>,
    authenticator: Arc<Authenticator>,
    authorizer: Arc<Authorizer>,
    readiness: Readiness,
    registry: Registry,
    documents: Documents,
    limits: Limits,
    large: LargeAnswers,
    metrics: observe::Metrics,
}

/// Listens. Must be called within the runtime.
pub fn bind(parts: Parts, tls: rustls::ServerConfig, options: &Options) -> io::Result<Bound> {
    let Options { request_timeout, read_deadline, max_in_flight, .. } = *options;
    let listener = listen::listen(options.address())?;
    let address = listener.local_addr()?;
    let Parts { answers, authenticator, authorizer, readiness, mut registry } = parts;
    let metrics = observe::Metrics::register(&mut registry);
    let handshakes = Handshakes::new(tls, &mut registry);
    let shared = Shared {
        answers,
        authenticator,
        authorizer,
        readiness,
        registry,
        documents: Documents::new(GROUPS),
        limits: Limits::new(request_timeout, read_deadline, max_in_flight),
        large: LargeAnswers::default(),
        metrics,
    };
    let acceptor = Acceptor::new(handshakes, shared);
    Ok(Bound { address, listener, acceptor, drain: request_timeout.min(DRAIN_MAX) })
}

impl Bound {
    /// The address it listens on, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` resolves, then closes the listener, waits for requests in flight and returns.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        self.acceptor.serve(self.listener, shutdown, self.drain).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
