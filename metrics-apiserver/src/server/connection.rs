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
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;

use super::handshake::Handshakes;
use super::peer::Peer;
use super::reply::Response;
use super::stream::{TimedOut, TimedStream};
use super::{Shared, observe, reply};
use crate::api::{Error, LimitError, RequestError, Status};

/// Each kube-apiserver keeps a few; the rest is for probes, scrapers and bursts. Each costs some 25 KB, and
/// [`HEAD_BYTES_MAX`] more while a head comes in: all of them must fit into the manifests' memory limit.
const CONNECTIONS_MAX: usize = 1024;
/// The request line and the headers: enough for 250 groups with names of 170 characters, one header line each. hyper's
/// buffer grows from 8 over 24 to 48 KiB, so it takes no more than this.
pub(super) const HEAD_BYTES_MAX: usize = 48 << 10;
/// Header lines: enough for a user of 500 groups. hyper allocates 64 bytes for each that is allowed, at every request.
pub(super) const HEADERS_MAX: usize = 512;
/// For the close: the last bytes, and the client's own close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// After `accept` failed for a reason other than the connection: no file descriptors or memory are left.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What all connections are served with.
pub(super) struct Acceptor {
    handshakes: Handshakes,
    shared: Shared,
    http: http1::Builder,
}

impl Acceptor {
    pub(super) fn new(handshakes: Handshakes, shared: Shared) -> Self {
        Self { handshakes, shared, http: http() }
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
            tracing::warn!(connections = connections.len(), "closing connections that did not end in time");
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
        // An answer of several writes must not wait for acknowledgements. Without it the connection only is slower.
        let _ = stream.set_nodelay(true);
        let stream = tokio::select! {
            () = stopped(&mut stopping) => return,
            stream = self.handshakes.accept(stream, peer) => stream,
        };
        let Some(stream) = stream else { return };
        let (_, session) = stream.get_ref();
        let peer = Peer::of(session);
        let answer = |request| observe::serve(&self.shared, &peer, request);
        let ended = serve_requests(&self.http, stream, answer, &mut stopping).await;
        let refusal = ended.refusal.map(|status| {
            self.shared.metrics.count_refusal(status.code());
            reply::refusal(&status)
        });
        // At shutdown there is no waiting for the clients of idle connections.
        let lingers = !(ended.is_idle && *stopping.borrow());
        if !ended.is_stalled {
            // On a timeout the client has the answer or does not want it.
            let _ = timeout(CLOSE_TIMEOUT, close(ended.stream, refusal, lingers)).await;
        }
    }
}

/// How a connection ended.
struct Ended<S> {
    stream: S,
    /// The answer to a last head that hyper could not read.
    refusal: Option<Status>,
    /// Whether nothing has come since the last answer.
    is_idle: bool,
    /// Whether the client stopped reading.
    is_stalled: bool,
}

/// Answers the requests of a connection, one after the other, until either side closes it or the server stops.
async fn serve_requests<S, F>(
    http: &http1::Builder,
    stream: S,
    answer: impl Fn(Request<Incoming>) -> F,
    stopping: &mut watch::Receiver<bool>,
) -> Ended<S>
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
    let ended = tokio::select! {
        ended = &mut http => Some(ended),
        () = stopped(stopping) => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        Pin::new(&mut http).graceful_shutdown();
        (&mut http).await
    };
    let http1::Parts { io, read_buf, .. } = http.into_parts();
    let stream = io.into_inner();
    let timed_out = stream.timed_out();
    Ended {
        refusal: refusal(ended, timed_out, !read_buf.is_empty()),
        is_idle: stream.is_idle(),
        is_stalled: timed_out == Some(TimedOut::Write),
        stream: stream.into_inner(),
    }
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

/// Whether the connection failed, not the listener: its client has gone away.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// A panic of a handler ends in `observe`: this one is a bug in the server or in hyper.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection failed");
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone: the server has ended.
    let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
}

/// The answer to a head of which at least a part has come but that hyper could not read. An idle connection is closed
/// without a 408: that could cross a request on its way, and Go's transport would take it for the answer instead of
/// sending the request again.
fn refusal(ended: hyper::Result<()>, timed_out: Option<TimedOut>, has_begun: bool) -> Option<Status> {
    let error: Error = match ended {
        Err(error) if error.is_parse_too_large() => LimitError::HeadersTooLarge.into(),
        Err(error) if error.is_parse() => RequestError::Malformed.into(),
        _ if timed_out == Some(TimedOut::Read) && has_begun => LimitError::HeadersTimeout.into(),
        _ => return None,
    };
    Some(Status::from(&error))
}

/// Sends a last answer and the TLS close notification, then waits for the client to close too. If the server closed while
/// bytes of the client are unread, the kernel would reset the connection, and the answer could be lost.
async fn close(mut stream: TlsStream<TcpStream>, last: Option<Vec<u8>>, lingers: bool) -> io::Result<()> {
    if let Some(answer) = last {
        stream.write_all(&answer).await?;
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
