//! Connections: accepting them, the TLS handshake, requests one after the other by hyper, and the close.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connections::{Connections, Peer, Place};
use super::listen::canonical;
use super::observe;
use super::reply::{self, Response};
use super::shared::Shared;
use super::stream::{TimedOut, TimedStream};
use crate::api::{Error, LimitError, RequestError, Status};
use crate::authn::Chain;
use crate::limit::{ConcurrencyLimiter, TokenBucket};
use crate::tls::HandshakeFailures;

/// The request line and the headers: enough for 250 groups with names of 170 characters, one header line each. hyper's
/// buffer grows from 8 over 24 to 48 KiB, so it takes no more than this.
pub(super) const HEAD_BYTES_MAX: usize = 48 << 10;
/// Header lines: enough for a user of 500 groups. hyper allocates 64 bytes for each that is allowed, at every request.
pub(super) const HEADERS_MAX: usize = 512;
/// Heads above [`LARGE_HEAD_BYTES`](super::stream::LARGE_HEAD_BYTES) at once, but for the front proxy's: each takes up
/// to 72 KiB while hyper's buffer grows.
const LARGE_HEADS_MAX: usize = 64;
/// kube-apiserver gives a handshake 10 s; ours takes milliseconds.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// For the close: the last bytes, and the client's own close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// After `accept` failed for a reason other than the connection: no file descriptors or memory are left. Another
/// connection is closed for the new one, if one can be.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// One log line about that in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// What all connections are served with.
pub(super) struct Acceptor {
    tls: TlsAcceptor,
    handshake_failures: HandshakeFailures,
    shared: Shared,
    /// Heads that have more than a few kilobytes, of connections that are not of the front proxy.
    large_heads: Arc<ConcurrencyLimiter>,
    http: http1::Builder,
}

impl Acceptor {
    pub(super) fn new(tls: ServerConfig, handshake_failures: HandshakeFailures, shared: Shared) -> Self {
        let large_heads = ConcurrencyLimiter::new(LARGE_HEADS_MAX);
        Self { tls: Arc::new(tls).into(), handshake_failures, shared, large_heads, http: http() }
    }

    /// Serves until `shutdown` resolves, then closes the listener and gives requests in flight `drain` to end. Reviews
    /// end with them.
    pub(super) async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
        drain: Duration,
    ) {
        let acceptor = Arc::new(self);
        let (table, log) = (Connections::new(), TokenBucket::new(LOG_INTERVAL, 1));
        let (stop, stopping) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(ended) = connections.join_next() => report(ended),
                (stream, peer) = accept(&listener, &table, &log) => {
                    // Without a place every other connection is busy, and this one is closed.
                    if let Some(place) = table.admit(peer.ip()) {
                        connections.spawn(Arc::clone(&acceptor).connection(stream, peer, stopping.clone(), place));
                    }
                }
            }
        }
        drop(listener);
        stop.send_replace(true);
        let drained = timeout(drain, async {
            while let Some(ended) = connections.join_next().await {
                report(ended);
            }
        });
        if drained.await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "closing connections that are still open after the drain timeout"
            );
            connections.shutdown().await;
        }
        acceptor.shared.parts.authenticator.shutdown().await;
        acceptor.shared.parts.authorizer.shutdown().await;
    }

    /// A connection from its handshake to its end, or until another takes its place.
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        mut stopping: watch::Receiver<bool>,
        place: Place,
    ) {
        // An answer of several writes must not wait for acknowledgements. If this fails, the connection is only slower.
        let _ = stream.set_nodelay(true);
        let mut peer = Peer { chain: None, address: canonical(address), place };
        let stream = tokio::select! {
            () = stopped(&mut stopping) => return,
            () = peer.place.closed() => return,
            stream = timeout(HANDSHAKE_TIMEOUT, self.handshake(stream, &peer.place)) => stream,
        };
        let stream = match stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => stream,
            Err(error) => return self.handshake_failures.record(peer.address, &error),
        };
        let (_, session) = stream.get_ref();
        // The handshake proves only that the client holds the key. Each request has the certificates verified, since
        // the CA bundles may change.
        peer.chain = session.peer_certificates().and_then(Chain::new);
        if let Some(chain) = &peer.chain
            && self.shared.parts.authenticator.is_front_proxy(chain).await
        {
            peer.place.is_of_front_proxy();
        }
        tokio::select! {
            () = peer.place.closed() => {}
            () = self.requests(stream, &peer, stopping) => {}
        }
    }

    /// The handshake. Nothing is allocated for it before the client has sent something.
    async fn handshake(&self, stream: TcpStream, place: &Place) -> io::Result<TlsStream<TcpStream>> {
        stream.readable().await?;
        place.has_spoken();
        self.tls.accept(stream).await
    }

    /// The requests of a connection, and its close.
    async fn requests(&self, stream: TlsStream<TcpStream>, peer: &Peer, mut stopping: watch::Receiver<bool>) {
        let answer = |request| observe::serve(&self.shared, peer, request);
        let large_heads = (!peer.place.has_front_proxy()).then(|| Arc::clone(&self.large_heads));
        let (stream, refusal) = serve_requests(&self.http, stream, large_heads, answer, &mut stopping).await;
        if let Some(status) = &refusal {
            self.shared.metrics.refused(status.code());
        }
        if stream.timed_out() != Some(TimedOut::Write) {
            // Shutdown does not wait for the clients of idle connections.
            let lingers = !(stream.is_idle() && *stopping.borrow());
            // After the timeout the client has the answer or does not want it.
            let _ = timeout(CLOSE_TIMEOUT, close(stream.into_inner(), refusal.as_ref(), lingers)).await;
        }
    }
}

/// Answers the requests of a connection, one after the other, until either side closes it or the server stops. Returns
/// the stream, and the answer to a last head that hyper could not read.
async fn serve_requests<S, F>(
    http: &http1::Builder,
    stream: S,
    large_heads: Option<Arc<ConcurrencyLimiter>>,
    answer: impl Fn(Request<Incoming>) -> F,
    stopping: &mut watch::Receiver<bool>,
) -> (TimedStream<S>, Option<Status>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Result<Response, Infallible>>,
{
    let requested = Arc::<AtomicBool>::default();
    let stream = TokioIo::new(TimedStream::new(stream, Arc::clone(&requested), large_heads));
    let service = service_fn(|request| {
        requested.store(true, Ordering::Relaxed);
        answer(request)
    });
    let mut http = http.serve_connection(stream, service);
    let mut serving = Pin::new(&mut http);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stopped(stopping) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    let http1::Parts { io, read_buf, .. } = http.into_parts();
    let stream = io.into_inner();
    let refusal = if stream.is_refused() {
        Some(Status::from(&Error::from(LimitError::TooManyInFlight)))
    } else {
        refusal(ended, stream.timed_out(), !read_buf.is_empty())
    };
    (stream, refusal)
}

/// hyper with our limits; the timers are [`TimedStream`]'s.
fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.max_headers(HEADERS_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .header_read_timeout(None);
    http
}

/// The next connection.
async fn accept(listener: &TcpListener, table: &Connections, log: &TokenBucket) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                let has_closed_another = table.make_room();
                if log.try_take() {
                    tracing::warn!(%error, has_closed_another, "cannot accept connections");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether the connection failed, not the listener: its client is gone.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// A panic of a handler is caught in `observe`; any other is a bug in the server or in hyper.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection failed");
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone: the server has ended.
    let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
}

/// The answer to a head that was received at least in part but that hyper could not read. An idle connection is closed
/// without a 408: if that crossed a request, Go's transport would take it for the answer instead of retrying.
fn refusal(ended: hyper::Result<()>, timed_out: Option<TimedOut>, has_begun: bool) -> Option<Status> {
    let error: Error = match ended {
        Err(error) if error.is_parse_too_large() => LimitError::HeadersTooLarge.into(),
        Err(error) if error.is_parse() => RequestError::Malformed.into(),
        _ if timed_out == Some(TimedOut::Read) && has_begun => LimitError::HeadersTimeout.into(),
        _ => return None,
    };
    Some(Status::from(&error))
}

/// Sends a last answer and the TLS close notification, then waits for the client to close too. If the server closed
/// while bytes of the client are unread, the kernel would reset the connection, and the answer could be lost.
async fn close(mut stream: TlsStream<TcpStream>, refusal: Option<&Status>, lingers: bool) -> io::Result<()> {
    if let Some(status) = refusal {
        stream.write_all(&reply::refusal(status)).await?;
    }
    stream.shutdown().await?;
    if lingers {
        let (tcp, _) = stream.get_mut();
        copy(tcp, &mut sink()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
