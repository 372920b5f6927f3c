//! A running inference-svc and a client for one connection. Shared with the benchmark.

#![allow(dead_code, reason = "each test binary and the benchmark use a part of it")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Far more than anything here takes, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The executable in its own process; killed on drop.
pub(crate) struct InferenceSvc {
    child: Child,
    log: Option<JoinHandle<()>>,
    pub(crate) service: SocketAddr,
    pub(crate) metrics: SocketAddr,
}

impl InferenceSvc {
    /// Starts it and waits until it names its addresses.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_inference-svc"))
            .args(["--bind-address=127.0.0.1", "--port=0", "--metrics-port=0", "--jitter=0"])
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .expect("inference-svc starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut address = |listener: &str| loop {
            let line = lines.next().expect("it must name its addresses").expect("a line");
            if line.contains(&format!("listener=\"{listener}\"")) {
                let (_, address) = line.rsplit_once("address=").expect("an address");
                return address.trim().parse().expect("an address");
            }
        };
        let (service, metrics) = (address("http"), address("metrics"));
        // Drain the pipe, or the process would block on it.
        let log = std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| println!("{line}")));
        Self { child, log: Some(log), service, metrics }
    }

    /// The value of one series on the metrics port.
    pub(crate) fn sample(&self, series: &str) -> f64 {
        let text = get(self.metrics, "/metrics").body;
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().expect("a number")
    }

    /// Waits until a series has that value.
    pub(crate) fn wait_for(&self, series: &str, value: f64) {
        eventually(&format!("{series} = {value}"), || (self.sample(series) - value).abs() < 1e-9);
    }

    pub(crate) fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("SIGTERM");
    }

    /// Waits until the process exits.
    pub(crate) fn exit(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the process exits", || {
            status = self.child.try_wait().expect("a status");
            status.is_some()
        });
        status.expect("a status")
    }
}

impl Drop for InferenceSvc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.log.take().map(JoinHandle::join);
    }
}

/// Waits for a condition.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One HTTP/1.1 connection.
pub(crate) struct Connection(BufReader<TcpStream>);

/// A response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// With lower-case names.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self(BufReader::new(stream))
    }

    pub(crate) fn send(&mut self, method: &str, path: &str) {
        let request = format!("{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).expect("the request is sent");
    }

    /// Sends several requests without waiting for answers.
    pub(crate) fn send_all(&mut self, requests: &[(&str, &str)]) {
        let head = |(method, path): &(&str, &str)| {
            format!("{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n")
        };
        let requests: String = requests.iter().map(head).collect();
        self.0.get_mut().write_all(requests.as_bytes()).expect("the requests are sent");
    }

    /// Reads until the server closes the connection.
    pub(crate) fn drain(&mut self) {
        let _ = self.0.read_to_end(&mut Vec::new());
    }

    pub(crate) fn receive(&mut self) -> Response {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).expect("a line") > 0, "closed before the answer");
            if line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_owned());
        }
        let status = head[0].split(' ').nth(1).expect("a status").parse().expect("a status");
        let split = |line: &String| {
            let (name, value) = line.split_once(": ").expect("a header");
            (name.to_lowercase(), value.to_owned())
        };
        let headers: Vec<_> = head[1..].iter().map(split).collect();
        let mut response = Response { status, headers, body: String::new() };
        let length = response.header("content-length").map_or(0, |it| it.parse().expect("a length"));
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("the body");
        response.body = String::from_utf8(body).expect("text");
        response
    }

    /// Waits for the server to close the connection.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0))
    }
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Response {
    request(address, "GET", path)
}

pub(crate) fn request(address: SocketAddr, method: &str, path: &str) -> Response {
    let mut connection = Connection::open(address);
    connection.send(method, path);
    connection.receive()
}
