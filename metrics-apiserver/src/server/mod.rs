//! HTTP: the only room that names hyper.
//!
//! A connection is accepted and secured (`connection`), has a place in the table of connections (`connections`), and
//! is read by hyper under time limits (`stream`). A request passes `observe` (id, span, log line, metrics) and `handle`
//! (deadline, authentication, authorization, the limit on requests in flight), and then a handler. `routes` parses the
//! raw path and decodes it once: two readings of one path would let a request bypass a check.
//!
//! HTTP/1.1 only, so that connections spread over the replicas. Always TLS.

mod body;
mod connection;
mod connections;
mod documents;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod handle;
mod health;
mod large;
mod limits;
mod listen;
mod metrics;
mod observe;
mod options;
mod reply;
mod routes;
mod shared;
mod stream;
mod trace;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;

pub use options::Options;
pub use shared::Parts;

use connection::Acceptor;
use documents::CurrentDocuments;
use large::LargeAnswers;
use limits::Limits;
use metrics::Metrics;
use shared::Shared;

use crate::limit::LogLimiter;
use crate::tls::HandshakeFailures;

/// Log lines about failed requests: so many at once, then one in this time. One client can cause hundreds a second.
const FAILURES_AT_ONCE: u32 = 10;
const FAILURE_INTERVAL: Duration = Duration::from_secs(10);
/// For requests in flight at shutdown. Each has a deadline of its own besides.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// A server that listens but does not serve yet.
#[must_use]
pub struct Bound {
    address: SocketAddr,
    listener: TcpListener,
    acceptor: Acceptor,
    drain: Duration,
}

/// Listens. Must be called within the runtime.
pub fn bind(mut parts: Parts, tls: rustls::ServerConfig, options: &Options) -> io::Result<Bound> {
    let Options { request_timeout, read_deadline, max_in_flight, discovery_metrics_max, .. } = *options;
    let listener = listen::listen(options.address())?;
    let address = listener.local_addr()?;
    let metrics = Metrics::register(&mut parts.registry);
    let handshake_failures = HandshakeFailures::register(&mut parts.registry);
    let shared = Shared {
        documents: CurrentDocuments::new(&parts.answers.catalog().current(), discovery_metrics_max),
        parts,
        limits: Limits::new(request_timeout, read_deadline, max_in_flight),
        large: LargeAnswers::default(),
        metrics,
        failures: LogLimiter::new(FAILURE_INTERVAL, FAILURES_AT_ONCE),
    };
    let acceptor = Acceptor::new(tls, handshake_failures, shared);
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
