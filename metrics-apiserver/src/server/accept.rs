//! From a TCP connection to a request: TLS, then one head at a time, then actix' HTTP/1.1.
//!
//! It is what actix' `HttpServer` does, with [`Heads`] between TLS and HTTP.

use std::fmt::Debug;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_http::HttpService;
use actix_service::{IntoServiceFactory as _, ServiceFactory, ServiceFactoryExt as _, map_config};
use actix_tls::accept::TlsError;
use actix_tls::accept::rustls_0_23::{Acceptor, TlsStream};
use actix_web::dev::AppConfig;
use actix_web::rt::net::TcpStream;
use actix_web::{App, web};
use rustls::ServerConfig;
use tokio::net::TcpSocket;

use super::connection::remember_peer;
use super::heads::Heads;
use super::{DISCONNECT_TIMEOUT, HANDSHAKE_TIMEOUT, KEEP_ALIVE, Shared, observe};

/// Connections that wait to be accepted. Linux gives no more than `net.core.somaxconn`, 4096 by default.
const BACKLOG: u32 = 2048;

/// Takes the port. To be called within the runtime.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Else a server that is restarted waits for the connections of the one before to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// What each worker serves a connection with. `stopping` resolves when connections are to end with the answer under way.
pub(super) fn service<Stopping: Future<Output = ()> + 'static>(
    shared: web::Data<Shared>,
    tls: ServerConfig,
    stopping: impl Fn() -> Stopping + 'static,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = impl Debug, InitError = ()> {
    let app = App::new().app_data(shared).default_service(web::to(observe::serve));
    let http = HttpService::build()
        .graceful_shutdown_signal(stopping)
        .keep_alive(KEEP_ALIVE)
        // `Heads` has a timer for every head, not for the first alone.
        .client_request_timeout(Duration::ZERO)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
        // A client that goes away ends the work for it.
        .h1_allow_half_closed(false)
        .on_connect_ext(remember_peer)
        .h1(map_config(app.into_factory().map_err(|error| error.error_response()), |()| {
            AppConfig::default()
        }));
    let mut acceptor = Acceptor::new(tls);
    acceptor.set_handshake_timeout(HANDSHAKE_TIMEOUT);
    acceptor
        .map_err(TlsError::into_service_error)
        .map(|stream: TlsStream<TcpStream>| {
            let (tcp, _) = stream.get_ref();
            // An answer of several writes must not wait for the client's acknowledgements. Without it, it only is slower.
            let _ = tcp.set_nodelay(true);
            let peer = tcp.peer_addr().ok();
            (Heads::new(stream), peer)
        })
        .and_then(http.map_err(TlsError::Service))
}
