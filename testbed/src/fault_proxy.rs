//! A proxy between our server and a real Prometheus, which does on demand what a real Prometheus does by accident only.
//!
//! What it is not told to spoil is the real answer, byte for byte, and it counts the queries. If asked, it records all
//! calls. A Prometheus that cannot be reached is passed on as a connection that ends without an answer.

mod call;
mod fault;
mod message;

pub use call::Call;
pub use fault::Fault;

use anyhow::{Context, Result};
use message::Request;
use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncWriteExt, BufStream, copy, sink},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// The path of the queries: they are counted and spoiled, the rest passes.
const QUERY: &str = "/api/v1/query";
/// After a connection could not be accepted, most often for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// The proxy. It ends with this value.
#[derive(Debug)]
pub struct FaultProxy {
    url: String,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    client: reqwest::Client,
    fault: watch::Sender<Fault>,
    queries: AtomicU64,
    /// The calls in the order in which they arrived, if they are recorded.
    calls: Option<Mutex<Vec<Call>>>,
}

impl FaultProxy {
    /// Starts a proxy on a free port of 127.0.0.1 before the Prometheus at the URL `upstream`; it begins without a
    /// fault.
    pub async fn start(upstream: &str) -> Result<Self> {
        Self::start_with(upstream, None).await
    }

    /// As [`Self::start`]; the proxy records all calls.
    pub async fn recording(upstream: &str) -> Result<Self> {
        Self::start_with(upstream, Some(Mutex::default())).await
    }

    async fn start_with(upstream: &str, calls: Option<Mutex<Vec<Call>>>) -> Result<Self> {
        crate::install_crypto();
        // No limit of its own, compressed answers stay so, and a restarted Prometheus finds no old connection.
        let client = reqwest::Client::builder().no_proxy().no_gzip().pool_max_idle_per_host(0);
        let client = client.tls_certs_only([]).build().context("making the proxy's client")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("binding the proxy")?;
        let url = format!("http://{}", listener.local_addr()?);
        let (fault, _) = watch::channel(Fault::None);
        let upstream = upstream.trim_end_matches('/').to_owned();
        let shared = Arc::new(Shared { upstream, client, fault, queries: AtomicU64::new(0), calls });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { url, shared, _tasks: tasks })
    }

    /// Where it answers, such as `http://127.0.0.1:40123`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What happens to every query that arrives from now on.
    pub fn set(&self, fault: Fault) {
        self.shared.fault.send_replace(fault);
    }

    /// How many queries have arrived, answered or not.
    pub fn queries(&self) -> u64 {
        self.shared.queries.load(Ordering::Relaxed)
    }

    /// The recorded calls since the `from`-th, in the order in which they arrived.
    pub fn calls(&self, from: usize) -> Vec<Call> {
        let calls =
            self.shared.calls.as_ref().map(|calls| calls.lock().unwrap_or_else(PoisonError::into_inner));
        calls.map(|calls| calls.get(from..).unwrap_or_default().to_vec()).unwrap_or_default()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Ends with this task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve(stream, Arc::clone(&shared)))),
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Answers one request after the other. An error is a caller who has gone, or an answer that is cut off on purpose.
async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let mut stream = BufStream::new(stream);
    while let Ok(Some(request)) = Request::read(&mut stream).await {
        if shared.answer(&mut stream, request).await.is_err() {
            return;
        }
    }
}

impl Shared {
    async fn answer(&self, stream: &mut BufStream<TcpStream>, request: Request) -> Result<()> {
        let is_query = request.path() == QUERY;
        if is_query {
            self.queries.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(calls) = &self.calls {
            calls.lock().unwrap_or_else(PoisonError::into_inner).push(request.call()?);
        }
        let fault = if is_query { *self.fault.borrow() } else { Fault::None };
        match fault {
            Fault::Silence => {
                // Until the caller gives up.
                copy(stream, &mut sink()).await?;
                anyhow::bail!("the caller has gone");
            }
            Fault::Slow(delay) => {
                let answer = request.forward(&self.client, &self.upstream, false).await?;
                tokio::time::sleep(delay).await;
                answer.write(stream).await
            }
            Fault::None => request.forward(&self.client, &self.upstream, false).await?.write(stream).await,
            Fault::BrokenOff => {
                let answer = request.forward(&self.client, &self.upstream, true).await?;
                let head_and_half = answer.bytes().len() - answer.body.len() / 2;
                stream.write_all(&answer.bytes()[..head_and_half]).await?;
                stream.flush().await?;
                anyhow::bail!("broken off on purpose");
            }
            _ => {
                let answer = request.forward(&self.client, &self.upstream, true).await?;
                fault.spoil(answer)?.write(stream).await
            }
        }
    }
}

#[cfg(test)]
mod tests;
