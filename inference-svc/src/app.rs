//! The composition root: two listeners, each with its own threads, which are built, bound and run.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App as Routes, HttpServer};

use crate::config::Config;
use crate::http::{ConnectionUse, Limits, Service, bound_connection, operator_routes, service_routes};
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::shutdown::{Drained, drain};
use crate::work::Work;

/// Handlers only wait for timers, so two threads are enough: one may be slow for a moment.
const SERVICE_WORKERS: usize = 2;

/// Concurrent connections: enough for a full queue of the default size and the clients that are turned away.
const SERVICE_CONNECTIONS_MAX: usize = 8192;

/// Prometheus, the kubelet and a few people.
const OPERATOR_CONNECTIONS_MAX: usize = 128;

/// The service, listening but not yet answering.
#[expect(missing_debug_implementations, reason = "actix' server has none")]
pub struct App {
    service: Listening,
    operator: Listening,
    readiness: Readiness,
    metrics: Metrics,
    drain_timeout: Duration,
}

struct Listening {
    address: SocketAddr,
    server: Server,
}

/// The server cannot listen on a port.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}; check --bind-address and whether the port is in use")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// Why it failed.
    #[source]
    pub source: io::Error,
}

impl App {
    /// Binds both ports and starts the startup delay. Must be called inside an actix or tokio runtime.
    ///
    /// # Errors
    /// If a port cannot be bound.
    pub fn bind(config: &Config) -> Result<Self, BindError> {
        let metrics = Metrics::new(config.slots.get());
        let readiness = Readiness::new(config.startup_delay);
        Ok(Self {
            service: bind_service(config, &metrics, &readiness)?,
            operator: bind_operator(config, &metrics, &readiness)?,
            readiness,
            metrics,
            drain_timeout: config.drain_timeout,
        })
    }

    /// The address for inferences.
    pub fn service_address(&self) -> SocketAddr {
        self.service.address
    }

    /// The address for /metrics and the probes, which have their own threads.
    pub fn metrics_address(&self) -> SocketAddr {
        self.operator.address
    }

    /// Logs both addresses in a form that programs can parse: with port 0 the log is the only place to find them.
    pub fn announce(&self) {
        tracing::info!(listener = "http", address = %self.service.address, "listening");
        tracing::info!(listener = "metrics", address = %self.operator.address, "listening");
    }

    /// Serves until `stop` resolves, then finishes the requests in flight within the drain timeout.
    ///
    /// # Errors
    /// If a listener fails.
    pub async fn run(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let handle = self.service.server.handle();
        let stopped = async {
            stop.await;
            drain(handle, self.readiness, self.drain_timeout).await
        };
        // Metrics are served to the end, so that the last answers are scraped too.
        tokio::select! {
            drained = serve_until(self.service.server, stopped) => match drained? {
                Drained::Finished => tracing::info!("all requests answered"),
                Drained::TimedOut => tracing::warn!(
                    requests.cut = self.metrics.in_flight(),
                    "drain timeout exceeded, requests are cancelled",
                ),
            },
            ended = self.operator.server => ended?,
        }
        Ok(())
    }
}

/// Polls the server together with its drain, because the server itself does the draining.
async fn serve_until(server: Server, stopped: impl Future<Output = Drained>) -> io::Result<Drained> {
    tokio::select! {
        biased;
        drained = stopped => Ok(drained),
        ended = server => ended.map(|()| Drained::Finished),
    }
}

fn bind_service(config: &Config, metrics: &Metrics, readiness: &Readiness) -> Result<Listening, BindError> {
    let service = Service {
        work: Work::new(config, metrics.clone()),
        metrics: metrics.clone(),
        readiness: readiness.clone(),
        retry_after: config.inference_time / u32::from(config.slots.get()),
    };
    let limits = Limits {
        max_requests_per_connection: config.max_requests_per_connection,
        readiness: readiness.clone(),
    };
    let (routes, limits) = (service_routes(&service), Data::new(limits));
    let server = HttpServer::new(move || {
        Routes::new().app_data(limits.clone()).wrap(from_fn(bound_connection)).configure(routes.clone())
    })
    .workers(SERVICE_WORKERS)
    .max_connections(SERVICE_CONNECTIONS_MAX / SERVICE_WORKERS)
    .on_connect(ConnectionUse::begin)
    // A client that disconnects ends its request and frees its place in the queue.
    .h1_allow_half_closed(false)
    .disable_signals()
    // Only a backstop in whole seconds; `drain` enforces the exact limit.
    .shutdown_timeout(config.drain_timeout.as_secs() + 1);
    let asked = SocketAddr::new(config.bind_address, config.port);
    let server = server.bind(asked).map_err(|source| BindError { address: asked, source })?;
    Ok(Listening { address: bound_address(&server.addrs(), asked), server: server.run() })
}

fn bind_operator(config: &Config, metrics: &Metrics, readiness: &Readiness) -> Result<Listening, BindError> {
    let routes = operator_routes(metrics, readiness);
    let server = HttpServer::new(move || Routes::new().configure(routes.clone()))
        .workers(1)
        .max_connections(OPERATOR_CONNECTIONS_MAX)
        .disable_signals();
    let asked = SocketAddr::new(config.bind_address, config.metrics_port);
    let server = server.bind(asked).map_err(|source| BindError { address: asked, source })?;
    Ok(Listening { address: bound_address(&server.addrs(), asked), server: server.run() })
}

/// With port 0 the system has chosen the port.
fn bound_address(bound: &[SocketAddr], asked: SocketAddr) -> SocketAddr {
    bound.first().copied().unwrap_or(asked)
}
