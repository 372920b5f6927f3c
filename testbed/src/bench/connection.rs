//! One connection as kube-apiserver keeps them: TLS with the front proxy's certificate, and reads one after another.
//!
//! Blocking and by hand: the load shares two cores with what it measures, so that each microsecond of a client library
//! would be one less for the server.

use crate::pki::IdentityFiles;
use anyhow::Result;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    ops::Range,
    sync::Arc,
    time::Duration,
};

/// How long a client waits unless told otherwise; the server's own limit is a second.
const TIMEOUT: Duration = Duration::from_secs(5);
/// An answer has some 500 bytes.
const CHUNK: usize = 8 * 1024;

/// Whom to read from, and as whom.
#[derive(Debug, Clone)]
pub(super) struct Target {
    address: SocketAddr,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    timeout: Duration,
}

impl Target {
    /// The server on `port` of this machine, vouched for by `ca` (PEM).
    pub(super) fn new(identity: &IdentityFiles, ca: &str, port: u16) -> Result<Self> {
        crate::install_crypto();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes())?)?;
        let chain = CertificateDer::pem_file_iter(&identity.certificate)?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&identity.key)?;
        let tls = ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(chain, key)?;
        Ok(Self {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            name: ServerName::try_from("localhost")?,
            tls: Arc::new(tls),
            timeout: TIMEOUT,
        })
    }

    /// The same with another timeout.
    pub(super) fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    fn connect(&self) -> io::Result<Stream> {
        let tcp = TcpStream::connect_timeout(&self.address, self.timeout)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(self.timeout))?;
        tcp.set_write_timeout(Some(self.timeout))?;
        let tls =
            ClientConnection::new(Arc::clone(&self.tls), self.name.clone()).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(tls, tcp);
        // The handshake now, not with the first read.
        stream.conn.complete_io(&mut stream.sock)?;
        Ok(stream)
    }
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A connection that is opened when it is needed, and anew when the server has closed it.
#[derive(Debug)]
pub(super) struct Connection {
    target: Arc<Target>,
    stream: Option<Stream>,
    received: Vec<u8>,
}

impl Connection {
    pub(super) fn new(target: &Arc<Target>) -> Self {
        Self { target: Arc::clone(target), stream: None, received: Vec::new() }
    }

    /// Sends a whole request; gives the answer's code and body.
    pub(super) fn send(&mut self, request: &[u8]) -> io::Result<(u16, &[u8])> {
        let was_open = self.stream.is_some();
        let mut answer = self.exchange(request);
        if let Err(error) = &answer
            && was_open
            && self.received.is_empty()
            && !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
        {
            // Closed while idle. Every client repeats a GET then, kube-apiserver's too.
            answer = self.exchange(request);
        }
        let (code, body) = answer?;
        Ok((code, self.received.get(body).unwrap_or_default()))
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<(u16, Range<usize>)> {
        self.received.clear();
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.target.connect()?,
        };
        stream.write_all(request)?;
        stream.flush()?;
        let mut chunk = [0; CHUNK];
        loop {
            let length = stream.read(&mut chunk)?;
            if length == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.received.extend_from_slice(chunk.get(..length).unwrap_or_default());
            let Some(head) = Head::of(&self.received)? else { continue };
            if self.received.len() >= head.body.end {
                // Only now: after any failure the stream is gone.
                self.stream = (!head.closes).then_some(stream);
                return Ok((head.code, head.body));
            }
        }
    }
}

/// What the head of an answer says.
struct Head {
    code: u16,
    body: Range<usize>,
    closes: bool,
}

impl Head {
    /// `None` while it is not whole.
    fn of(received: &[u8]) -> io::Result<Option<Self>> {
        let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
        let odd = || io::Error::other("the answer has no HTTP/1.1 head with a length");
        let head = std::str::from_utf8(received.get(..end).unwrap_or_default()).map_err(|_| odd())?;
        let code = head.get(9..12).and_then(|code| code.parse().ok()).ok_or_else(odd)?;
        let field = |name: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(':'));
            fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
        };
        let length: usize = field("content-length").and_then(|text| text.parse().ok()).ok_or_else(odd)?;
        let closes = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        Ok(Some(Self { code, body: end + 4..end + 4 + length, closes }))
    }
}
