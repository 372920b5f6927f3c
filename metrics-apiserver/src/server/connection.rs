//! Connections: accepting them up to a limit, the TLS handshake, requests one after the other by hyper, and the close.

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
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::listen::canonical;
use super::observe;
use super::reply::{self, Response};
use super::shared::Shared;
use super::stream::{TimedOut, TimedStream};
use crate::api::{Error, LimitError, RequestError, Status};
use crate::tls::HandshakeFailures;

/// Each kube-apiserver keeps a few; the rest is for probes, scrapers and bursts. Each costs some 25 KB, and
/// [`HEAD_BYTES_MAX`] more while a head comes in: all of them must fit into the manifests' memory limit.
const CONNECTIONS_MAX: usize = 1024;
/// The request line and the headers: enough for 250 groups with names of 170 characters, one header line each. hyper's
/// buffer grows from 8 over 24 to 48 KiB, so it takes no more than this.
pub(super) const HEAD_BYTES_MAX: usize = 48 << 10;
/// Header lines: enough for a user of 500 groups. hyper allocates 64 bytes for each that is allowed, at every request.
pub(super) const HEADERS_MAX: usize = 512;
/// kube-apiserver gives a handshake 10 s; ours takes milliseconds.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// For the close: the last bytes, and the client's own close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// After `accept` failed for a reason other than the connection: no file descriptors or memory are left.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What all connections are served with.
pub(super) struct Acceptor {
    tls: TlsAcceptor,
    handshake_failures: HandshakeFailures,
    shared: Shared,
    http: http1::Builder,
}

impl Acceptor {
    pub(super) fn new(tls: ServerConfig, handshake_failures: HandshakeFailures, shared: Shared) -> Self {
        Self { tls: Arc::new(tls).into(), handshake_failures, shared, http: http() }
    }

    /// Serves until `shutdown` resolves, then closes the listener and gives requests in flight `drain` to end.
    pub(super) async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
        drain: Duration,
    ) {
        let acceptor = Arc::new(self);
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let (stop, stopping) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(ended) = connections.join_next() => report(ended),
                (stream, peer, permit) = accept(&listener, &permits) => {
                    connections.spawn(Arc::clone(&acceptor).connection(stream, peer, stopping.clone(), permit));
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
    }

    /// A connection from its handshake to its end.
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        mut stopping: watch::Receiver<bool>,
        _permit: OwnedSemaphorePermit,
    ) {
        // An answer of several writes must not wait for acknowledgements. If this fails, the connection is only slower.
        let _ = stream.set_nodelay(true);
        let stream = tokio::select! {
            () = stopped(&mut stopping) => return,
            stream = timeout(HANDSHAKE_TIMEOUT, self.tls.accept(stream)) => stream,
        };
        let stream = match stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => stream,
            Err(error) => return self.handshake_failures.record(canonical(peer), &error),
        };
        let (_, session) = stream.get_ref();
        // The handshake proves only that the client holds the key. Each request has the certificates verified, since
        // the CA bundles may change.
        let certificates = session.peer_certificates().unwrap_or_default().to_vec();
        let answer = |request| observe::serve(&self.shared, &certificates, request);
        let (stream, refusal) = serve_requests(&self.http, stream, answer, &mut stopping).await;
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
    answer: impl Fn(Request<Incoming>) -> F,
    stopping: &mut watch::Receiver<bool>,
) -> (TimedStream<S>, Option<Status>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Result<Response, Infallible>>,
{
    let requested = Arc::<AtomicBool>::default();
    let stream = TokioIo::new(TimedStream::new(stream, Arc::clone(&requested)));
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
    let refusal = refusal(ended, stream.timed_out(), !read_buf.is_empty());
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

/// The next connection, once the limit allows one more.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(permits).acquire_owned().await else { continue };
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, permit),
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
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
