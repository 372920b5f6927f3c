//! A TCP balancer that stands for kube-proxy and the endpoints behind a Service.
//!
//! As there: each new connection goes to the next ready endpoint; readiness is asked of `/readyz`, over TLS without a
//! look at the certificate, as kubelet does it; a connection that is up stays where it is, whatever happens to
//! readiness.

use anyhow::{Context, Result};
use futures_util::future::join_all;
use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Between two looks at `/readyz`. Kubernetes takes seconds until all know of a change; nobody here waits that long.
const PERIOD: Duration = Duration::from_millis(100);
/// As the probes of `manifests/`, and less: on loopback an answer takes a millisecond.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// The balancer. It ends with this value.
#[derive(Debug)]
pub struct Balancer {
    port: u16,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    endpoints: Mutex<Vec<Endpoint>>,
    next: AtomicUsize,
}

/// A server on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
struct Endpoint {
    port: u16,
    ready: bool,
}

impl Balancer {
    /// Starts a balancer without endpoints on a free port of 127.0.0.1.
    pub async fn start() -> Result<Self> {
        crate::install_crypto();
        let probe = reqwest::Client::builder().no_proxy().timeout(PROBE_TIMEOUT);
        let probe =
            probe.tls_danger_accept_invalid_certs(true).build().context("making the probe's client")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("binding the balancer")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        tasks.spawn(watch(Arc::clone(&shared), probe));
        Ok(Self { port, shared, _tasks: tasks })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A server that gets connections while it is ready.
    pub fn add(&self, port: u16) {
        self.shared.endpoints().push(Endpoint { port, ready: false });
    }

    /// A server that is no more.
    pub fn remove(&self, port: u16) {
        self.shared.endpoints().retain(|it| it.port != port);
    }

    /// The servers that get connections now.
    pub fn ready(&self) -> Vec<u16> {
        self.shared.endpoints().iter().filter(|it| it.ready).map(|it| it.port).collect()
    }
}

impl Shared {
    fn endpoints(&self) -> MutexGuard<'_, Vec<Endpoint>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<u16> {
        let endpoints = self.endpoints();
        let ready: Vec<_> = endpoints.iter().filter(|it| it.ready).collect();
        let index = self.next.fetch_add(1, Ordering::Relaxed).checked_rem(ready.len())?;
        ready.get(index).map(|it| it.port)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Ends with this task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match (accepted, shared.next()) {
                (Ok((client, _)), Some(port)) => drop(connections.spawn(join(client, port))),
                // Nobody is ready: the connection is refused.
                (Ok(_), None) => {}
                (Err(_), _) => tokio::time::sleep(PERIOD).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// An endpoint that does not answer is no reason to try another: kube-proxy would not notice.
async fn join(mut client: TcpStream, port: u16) {
    if let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
        // Small messages back and forth must not wait for each other.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}

async fn watch(shared: Arc<Shared>, probe: reqwest::Client) {
    loop {
        let ports: Vec<u16> = shared.endpoints().iter().map(|it| it.port).collect();
        let probe = &probe;
        let looks = ports.into_iter().map(|port| async move {
            let url = format!("https://127.0.0.1:{port}/readyz");
            (port, crate::http::answers(probe, &url).await.is_ok())
        });
        for (port, ready) in join_all(looks).await {
            if let Some(endpoint) = shared.endpoints().iter_mut().find(|it| it.port == port) {
                endpoint.ready = ready;
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Tells everybody its own port, then echoes.
    async fn server() -> (u16, JoinSet<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    stream.write_u16(port).await.unwrap();
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        (port, tasks)
    }

    /// Without probes: they have their part in the end-to-end tests, with real servers.
    async fn balancer(ports: &[u16]) -> Balancer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        shared.endpoints().extend(ports.iter().map(|&port| Endpoint { port, ready: true }));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Balancer { port, shared, _tasks: tasks }
    }

    fn set(balancer: &Balancer, port: u16, ready: bool) {
        balancer.shared.endpoints().iter_mut().find(|it| it.port == port).unwrap().ready = ready;
    }

    async fn connect(balancer: &Balancer) -> std::io::Result<(TcpStream, u16)> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, balancer.port())).await?;
        let server = stream.read_u16().await?;
        Ok((stream, server))
    }

    #[tokio::test]
    async fn connections_go_to_the_ready_endpoints_round_robin() {
        let ((a, _a), (b, _b)) = (server().await, server().await);
        let balancer = balancer(&[a, b]).await;
        let mut chosen = Vec::new();
        for _ in 0..4 {
            chosen.push(connect(&balancer).await.unwrap().1);
        }
        assert_eq!(chosen, [a, b, a, b]);
        set(&balancer, a, false);
        assert_eq!(balancer.ready(), [b]);
        assert_eq!(connect(&balancer).await.unwrap().1, b);
        balancer.remove(b);
        assert!(connect(&balancer).await.is_err());
    }

    #[tokio::test]
    async fn a_connection_that_is_up_stays_when_its_endpoint_is_no_longer_ready() {
        let (a, _a) = server().await;
        let balancer = balancer(&[a]).await;
        let (mut stream, _) = connect(&balancer).await.unwrap();
        set(&balancer, a, false);
        stream.write_all(b"still here").await.unwrap();
        let mut echo = [0; 10];
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"still here");
    }

    #[tokio::test]
    async fn an_endpoint_that_refuses_is_not_tried_elsewhere() {
        let (a, _a) = server().await;
        let gone = crate::ports::free().unwrap();
        let balancer = balancer(&[gone, a]).await;
        assert!(connect(&balancer).await.is_err());
        assert_eq!(connect(&balancer).await.unwrap().1, a);
    }

    #[tokio::test]
    async fn an_endpoint_without_an_answer_to_readyz_gets_nothing() {
        let (a, _a) = server().await;
        let balancer = Balancer::start().await.unwrap();
        balancer.add(a);
        assert!(balancer.ready().is_empty());
        assert!(connect(&balancer).await.is_err());
    }
}
