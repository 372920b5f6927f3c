//! A server on loopback that answers by a function and records what it was asked; a thread for each connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) line: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What a request gets.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A status and a JSON body.
    Json(u16, String),
    /// Nothing until the client goes away.
    Hang,
}

/// The server; it ends with the test.
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    ended: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, ended) = (Arc::<Mutex<Vec<Request>>>::default(), Arc::<AtomicBool>::default());
        let (seen, stop, answer) = (Arc::clone(&requests), Arc::clone(&ended), Arc::new(answer));
        let acceptor = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream.unwrap(), &seen, &*answer));
            }
        });
        Self { address, requests, ended, acceptor: Some(acceptor) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the acceptor; connections end when their clients do.
        let _ = TcpStream::connect(self.address);
        drop(self.acceptor.take().map(JoinHandle::join));
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Request>>, answer: &dyn Fn(&Request) -> Answer) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = receive(&mut stream) {
        seen.lock().unwrap().push(request.clone());
        let Answer::Json(status, body) = answer(&request) else {
            // Ends with an error or the end of the stream when the client goes away.
            let _ = stream.read(&mut [0]);
            return;
        };
        let head = format!("HTTP/1.1 {status} Answer\r\nContent-Type: application/json\r\n");
        let sent = write!(stream.get_mut(), "{head}Content-Length: {}\r\n\r\n{body}", body.len());
        if sent.is_err() {
            return;
        }
    }
}

fn receive(stream: &mut impl BufRead) -> Option<Request> {
    let line = receive_line(stream)?;
    let mut headers = Vec::new();
    while let Some((name, value)) = receive_line(stream)?.split_once(':') {
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request { line, headers, body: Vec::new() };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    request.body.resize(length, 0);
    stream.read_exact(&mut request.body).ok()?;
    Some(request)
}

fn receive_line(stream: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    (stream.read_line(&mut line).ok()? > 0).then(|| line.trim_end().to_owned())
}
