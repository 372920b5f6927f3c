//! HTTP: the only room that names hyper.
//!
//! A connection is accepted (`connection`), makes its TLS handshake (`handshake`) and is read by hyper under time limits
//! (`stream`). A request goes through `observe` (id, span, log line, metrics), the deadline, `guard` (who, may they), the
//! in-flight limit, and then one of the handlers. Paths are matched by `routes` on the raw path, which is decoded once: two
//! readings of one path are how a check is bypassed.
//!
//! HTTP/1.1 only, so that connections spread over the replicas; TLS always.

mod body;
mod connection;
mod documents;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod guard;
mod handshake;
mod health;
mod large;
mod limits;
mod listen;
mod observe;
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

use connection::Acceptor;
use handshake::Handshakes;
use large::LargeAnswers;
use limits::Limits;

use crate::answer::Answers;
use crate::api::{Documents, GROUPS};
use crate::authn::Authenticator;
use crate::authz::Authorizer;
use crate::readiness::Readiness;

/// How long requests in flight may take to end at shutdown; none may run longer than its own deadline anyway.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// What the server answers from.
pub struct Parts {
    /// Reads of metrics.
    pub answers: Arc<Answers>,
    /// Who asks.
    pub authenticator: Arc<Authenticator>,
    /// May they.
    pub authorizer: Arc<Authorizer>,
    /// The health endpoints' checks.
    pub readiness: Readiness,
    /// What `/metrics` shows; the server adds its own.
    pub registry: Registry,
}

/// How it listens.
#[derive(Debug)]
pub struct Options {
    /// Where; port 0 takes a free one.
    pub address: SocketAddr,
    /// The certificate, and that client certificates are asked for.
    pub tls: rustls::ServerConfig,
    /// The longest a request may take (`--request-timeout`).
    pub request_timeout: Duration,
    /// The longest a read waits for Prometheus.
    pub read_deadline: Duration,
    /// The most requests answered at one time (`--max-requests-inflight`); 0 is no limit.
    pub max_in_flight: usize,
}

/// A server that owns its port but serves nobody yet.
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

/// What every request's handling shares.
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

/// Takes the port. To be called within the runtime.
pub fn bind(parts: Parts, options: Options) -> io::Result<Bound> {
    let Options { address, tls, request_timeout, read_deadline, max_in_flight } = options;
    let listener = listen::listen(address)?;
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
    let acceptor = Acceptor::new(handshakes, Arc::new(shared));
    Ok(Bound { address, listener, acceptor, drain: request_timeout.min(DRAIN_MAX) })
}

impl Bound {
    /// The address taken, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` resolves; then closes the listener, lets requests in flight end, and returns.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        self.acceptor.serve(self.listener, shutdown, self.drain).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
