//! HTTP: the only room that names actix-web.
//!
//! A request goes through `observe` (id, span, log line, metrics), the deadline, `guard` (who, may they), the
//! in-flight limit, and then one of the handlers. Paths are matched by `routes` on the raw path: actix' own router
//! decodes half of the percent signs before it matches, and two readings of one path are how a check is bypassed.
//!
//! HTTP/1.1 only (actix' HTTP/2 is a dead branch); TLS always.

mod accept;
mod body;
mod connection;
mod documents;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod guard;
mod heads;
mod health;
mod large;
mod limits;
mod observe;
mod options;
mod read;
mod reply;
mod request;
mod routes;
mod scrape;
mod trace;

use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use actix_tls::accept::max_concurrent_tls_connect;
use actix_web::dev::Server;
use actix_web::web;
use prometheus_client::registry::Registry;
use tokio::sync::oneshot;

pub use options::Options;

use large::Room;
use limits::Limits;

use crate::answer::Answers;
use crate::api::Documents;
use crate::authn::Authenticator;
use crate::authz::Authorizer;
use crate::readiness::Readiness;

/// At least two, so that one slow TLS handshake's arithmetic does not stop the probes.
const WORKERS_MIN: usize = 2;
/// More than the largest cluster's HPAs keep busy, and each has memory of its own: a container without a limit of
/// processors sees all of its node's.
const WORKERS_MAX: usize = 4;
/// Of all workers together. Each kube-apiserver keeps a few; the rest is room for probes, scrapers and a burst. Each costs
/// some 25 KB, and up to twice a head's length while one comes in: that must fit into the manifests' memory.
const CONNECTIONS_MAX: usize = 1024;
/// kube-apiserver gives a handshake 10 s; ours takes milliseconds.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// As Go's servers have it; longer than the 30 s between the aggregator's probes, so they find the connection open.
const KEEP_ALIVE: Duration = Duration::from_secs(90);
/// How long a closing connection may take to say goodbye, and a body that nobody reads to end.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);
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

/// A server that owns its port but serves nobody yet.
#[must_use]
pub struct Bound {
    address: SocketAddr,
    server: Server,
    stop: oneshot::Sender<()>,
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
    room: Room,
    metrics: observe::Metrics,
}

/// Takes the port. To be called within the runtime.
pub fn bind(parts: Parts, tls: rustls::ServerConfig, options: &Options) -> io::Result<Bound> {
    let Options { request_timeout, read_deadline, max_in_flight, .. } = *options;
    let limits = Limits::new(request_timeout, read_deadline, max_in_flight);
    let shared = web::Data::new(Shared::new(parts, limits));
    let (stop, stopped) = oneshot::channel::<()>();
    let workers = available_parallelism().map_or(WORKERS_MIN, NonZero::get).clamp(WORKERS_MIN, WORKERS_MAX);
    let connections = CONNECTIONS_MAX / workers;
    // A worker that has so many unfinished handshakes accepts nobody; actix' own number is lower, and easily reached by
    // clients that say nothing.
    max_concurrent_tls_connect(connections);
    let listener = accept::listen(options.address())?;
    let address = listener.local_addr()?;
    let server = Server::build()
        .workers(workers)
        .max_concurrent_connections(connections)
        .shutdown_timeout(request_timeout.min(DRAIN_MAX).as_secs().max(1))
        .shutdown_signal(async {
            // Either asked to stop, or the one who would ask is gone.
            let _ = stopped.await;
        });
    let stopping = server.graceful_shutdown_signal();
    let service = move || {
        let stopping = stopping.clone();
        accept::service(shared.clone(), tls.clone(), move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
    };
    Ok(Bound { address, server: server.listen("https", listener, service)?.run(), stop })
}

impl Bound {
    /// The address taken, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` resolves; then closes the listener, lets requests in flight end, and returns.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let Self { server, stop, .. } = self;
        let mut server = std::pin::pin!(server);
        tokio::select! {
            ended = &mut server => return ended,
            () = shutdown => {}
        }
        // The receiver lives in the server.
        let _ = stop.send(());
        server.await
    }
}

impl Shared {
    fn new(parts: Parts, limits: Limits) -> Self {
        let Parts { answers, authenticator, authorizer, readiness, mut registry } = parts;
        let metrics = observe::Metrics::register(&mut registry);
        Self {
            answers,
            authenticator,
            authorizer,
            readiness,
            registry,
            documents: Documents::new(),
            limits,
            room: Room::default(),
            metrics,
        }
    }
}

#[cfg(test)]
mod tests;
