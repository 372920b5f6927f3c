//! A server that answers by script and records what it was asked; a thread for each connection, plain or TLS.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(super) enum Play {
    /// 200 with this JSON.
    Json(String),
    /// 200 with this JSON for this bearer token, 401 for any other.
    Token(&'static str, &'static str),
    /// These bytes; the connection stays.
    Raw(Vec<u8>),
    /// These bytes, then the end of the connection.
    Cut(Vec<u8>),
    /// The end of the connection; the next request gets something else.
    CutOnce(Box<Self>),
    /// Nothing until the client goes away.
    Hang,
    /// The same on connections before this one, this JSON on others.
    HangBefore(usize, String),
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) line: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
    /// Number of the connection, from 0.
    pub(super) connection: usize,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

struct State {
    play: Mutex<Play>,
    requests: Mutex<Vec<Request>>,
    stopped: AtomicBool,
    tls: Mutex<Option<Arc<ServerConfig>>>,
}

pub(super) struct Server {
    pub(super) url: String,
    address: SocketAddr,
    state: Arc<State>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn plain(play: Play) -> Self {
        Self::start(play, None)
    }

    pub(super) fn tls(play: Play, config: Arc<ServerConfig>) -> Self {
        Self::start(play, Some(config))
    }

    fn start(play: Play, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let state = Arc::new(State {
            play: Mutex::new(play),
            requests: Mutex::default(),
            stopped: AtomicBool::new(false),
            tls: Mutex::new(tls),
        });
        let shared = Arc::clone(&state);
        let acceptor = Some(thread::spawn(move || accept(&listener, &shared)));
        Self { url: format!("{scheme}://localhost:{}", address.port()), address, state, acceptor }
    }

    pub(super) fn play(&self, play: Play) {
        *self.state.play.lock().unwrap() = play;
    }

    /// New connections get this certificate.
    pub(super) fn present(&self, config: Arc<ServerConfig>) {
        *self.state.tls.lock().unwrap() = Some(config);
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    pub(super) fn last(&self) -> Request {
        self.requests().last().cloned().expect("no request arrived")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        // Wakes the acceptor; connections end when their clients do.
        let _ = TcpStream::connect(self.address);
        self.acceptor.take().map(JoinHandle::join);
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    for (connection, stream) in listener.incoming().enumerate() {
        if state.stopped.load(Ordering::SeqCst) {
            return;
        }
        let (stream, state) = (stream.unwrap(), Arc::clone(state));
        let tls = state.tls.lock().unwrap_or_else(PoisonError::into_inner).clone();
        thread::spawn(move || match tls {
            None => serve(stream, connection, &state),
            Some(config) => {
                let session = ServerConnection::new(config).unwrap();
                serve(StreamOwned::new(session, stream), connection, &state);
            }
        });
    }
}

fn serve(stream: impl Read + Write, connection: usize, state: &State) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = receive(&mut stream, connection) {
        let authorization = request.header("authorization").unwrap_or_default().to_owned();
        state.requests.lock().unwrap().push(request);
        let play = state.play.lock().unwrap().clone();
        let sent = match &play {
            Play::Json(body) => stream.get_mut().write_all(&ok(body.as_bytes(), "")),
            Play::Token(token, body) if authorization == format!("Bearer {token}") => {
                stream.get_mut().write_all(&ok(body.as_bytes(), ""))
            }
            Play::Token(..) => stream.get_mut().write_all(&reply("401 Unauthorized", b"", "")),
            Play::Raw(bytes) | Play::Cut(bytes) => stream.get_mut().write_all(bytes),
            Play::CutOnce(next) => {
                *state.play.lock().unwrap() = (**next).clone();
                return;
            }
            // Ends with an error or the end of the stream when the client goes away.
            Play::HangBefore(first, body) if connection >= *first => {
                stream.get_mut().write_all(&ok(body.as_bytes(), ""))
            }
            Play::Hang | Play::HangBefore(..) => stream.read(&mut [0]).map(drop),
        };
        if sent.and_then(|()| stream.get_mut().flush()).is_err() || matches!(play, Play::Cut(_) | Play::Hang)
        {
            return;
        }
    }
}

fn receive(stream: &mut impl BufRead, connection: usize) -> Option<Request> {
    let mut line = String::new();
    if stream.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request { line: line.trim_end().to_owned(), headers, body: String::new(), connection };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    request.body = String::from_utf8(body).unwrap();
    Some(request)
}

/// A 200 with this body and these further header lines.
pub(super) fn ok(body: &[u8], headers: &str) -> Vec<u8> {
    reply("200 OK", body, headers)
}

/// An answer with this status, body and further header lines.
pub(super) fn reply(status: &str, body: &[u8], headers: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}
