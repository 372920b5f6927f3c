//! An HTTP/1.1 server on loopback, plain or TLS, that answers by script and records its requests; a thread for each
//! connection. It imports nothing of this crate: the tests in `tests/it` include it by its path.

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Play {
    /// These bytes; the connection stays.
    Raw(Vec<u8>),
    /// These bytes, then the end of the connection.
    Cut(Vec<u8>),
    /// Another play, after a delay.
    Later(Duration, Box<Self>),
    /// 200 and one line for each event, as of a watch, until the sender of the events is dropped.
    Events(Arc<Mutex<mpsc::Receiver<Value>>>),
    /// No response until the client closes the connection.
    Hang,
}

impl Play {
    /// A response with a JSON body.
    pub(crate) fn json(code: u16, body: impl Display) -> Self {
        let body = body.to_string();
        Self::Raw(reply(&format!("{code} Answer"), body.as_bytes(), "Content-Type: application/json\r\n"))
    }

    pub(crate) fn after(self, pause: Duration) -> Self {
        Self::Later(pause, Box::new(self))
    }

    pub(crate) fn events(events: mpsc::Receiver<Value>) -> Self {
        Self::Events(Arc::new(Mutex::new(events)))
    }

    /// Whether the connection stays open afterwards.
    fn perform(&self, stream: &mut BufReader<impl Read + Write>) -> io::Result<bool> {
        match self {
            Self::Raw(bytes) | Self::Cut(bytes) => {
                stream.get_mut().write_all(bytes)?;
                stream.get_mut().flush()?;
                Ok(matches!(self, Self::Raw(_)))
            }
            Self::Later(pause, then) => {
                thread::sleep(*pause);
                then.perform(stream)
            }
            Self::Events(events) => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
                stream.get_mut().write_all(head.as_bytes())?;
                stream.get_mut().flush()?;
                for event in events.lock().unwrap().iter() {
                    writeln!(stream.get_mut(), "{event}")?;
                    stream.get_mut().flush()?;
                }
                Ok(false)
            }
            // Returns an error or the end of the stream when the client closes the connection.
            Self::Hang => stream.read(&mut [0]).map(|_| false),
        }
    }
}

/// A 200 with this body and these further header lines.
pub(crate) fn ok(body: &[u8], headers: &str) -> Vec<u8> {
    reply("200 OK", body, headers)
}

/// A response with this status, body and further header lines.
pub(crate) fn reply(status: &str, body: &[u8], headers: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) line: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Number of the connection, from 0.
    pub(crate) connection: usize,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null if it is not JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

type Script = dyn Fn(&Request) -> Play + Send + Sync;

struct State {
    script: Mutex<Arc<Script>>,
    requests: Mutex<Vec<Request>>,
    stopped: AtomicBool,
    tls: Mutex<Option<Arc<ServerConfig>>>,
}

/// The server; it ends with the test.
pub(crate) struct Server {
    pub(crate) url: String,
    address: SocketAddr,
    state: Arc<State>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(script: impl Fn(&Request) -> Play + Send + Sync + 'static) -> Self {
        Self::with("127.0.0.1:0", Arc::new(script), None)
    }

    /// A server that does the same with each request.
    pub(crate) fn plain(play: Play) -> Self {
        Self::start(move |_| play.clone())
    }

    /// The same over TLS.
    pub(crate) fn tls(play: Play, config: Arc<ServerConfig>) -> Self {
        Self::with("127.0.0.1:0", Arc::new(move |_: &Request| play.clone()), Some(config))
    }

    /// A server that does the same with each request, on IPv6 only; none on a machine without IPv6.
    pub(crate) fn ipv6(play: Play, tls: Option<Arc<ServerConfig>>) -> Option<Self> {
        TcpListener::bind("[::1]:0").ok()?;
        Some(Self::with("[::1]:0", Arc::new(move |_: &Request| play.clone()), tls))
    }

    fn with(address: &str, script: Arc<Script>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        // Certificates name localhost and ::1.
        let url = match tls {
            Some(_) if address.is_ipv4() => format!("https://localhost:{}", address.port()),
            Some(_) => format!("https://{address}"),
            None => format!("http://{address}"),
        };
        let state = Arc::new(State {
            script: Mutex::new(script),
            requests: Mutex::default(),
            stopped: AtomicBool::new(false),
            tls: Mutex::new(tls),
        });
        let shared = Arc::clone(&state);
        let acceptor = Some(thread::spawn(move || accept(&listener, &shared)));
        Self { url, address, state, acceptor }
    }

    /// Does this with each request from now on.
    pub(crate) fn play(&self, play: Play) {
        self.script(move |_| play.clone());
    }

    /// Answers by this script from now on.
    pub(crate) fn script(&self, script: impl Fn(&Request) -> Play + Send + Sync + 'static) {
        *self.state.script.lock().unwrap() = Arc::new(script);
    }

    /// Uses this certificate for new connections.
    pub(crate) fn present(&self, config: Arc<ServerConfig>) {
        *self.state.tls.lock().unwrap() = Some(config);
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    pub(crate) fn last(&self) -> Request {
        self.requests().pop().expect("no request arrived")
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
        let tls = state.tls.lock().unwrap().clone();
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
        state.requests.lock().unwrap().push(request.clone());
        let script = Arc::clone(&state.script.lock().unwrap());
        // An error means that the client is gone.
        if !matches!(script(&request).perform(&mut stream), Ok(true)) {
            return;
        }
    }
}

fn receive(stream: &mut impl BufRead, connection: usize) -> Option<Request> {
    let line = receive_line(stream)?;
    let mut headers = Vec::new();
    while let Some((name, value)) = receive_line(stream)?.split_once(':') {
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request { line, headers, body: Vec::new(), connection };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    request.body.resize(length, 0);
    stream.read_exact(&mut request.body).ok()?;
    Some(request)
}

fn receive_line(stream: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    (stream.read_line(&mut line).ok()? > 0).then(|| line.trim_end().to_owned())
}
