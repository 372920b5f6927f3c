//! One connection as kube-apiserver keeps them: TLS with the front proxy's certificate, and reads one after another.
//!
//! Blocking and by hand: the load shares two cores with what it measures, so that each microsecond of a client library
//! would be one less for the server.

use crate::pki::IdentityFiles;
use anyhow::Result;
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, RootCertStore, StreamOwned,
    client::WantsClientCert,
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
        let chain = CertificateDer::pem_file_iter(&identity.certificate)?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&identity.key)?;
        Self::with(ca, port, |tls| tls.with_client_auth_cert(chain, key))
    }

    /// The same for a client without a certificate.
    pub(super) fn without_certificate(ca: &str, port: u16) -> Result<Self> {
        Self::with(ca, port, |tls| Ok(tls.with_no_client_auth()))
    }

    fn with(
        ca: &str,
        port: u16,
        client: impl FnOnce(ConfigBuilder<ClientConfig, WantsClientCert>) -> Result<ClientConfig, rustls::Error>,
    ) -> Result<Self> {
        crate::install_crypto();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes())?)?;
        let tls = client(ClientConfig::builder().with_root_certificates(roots))?;
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

    /// Where the server listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn connect(&self) -> io::Result<Stream> {
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

/// A connection after its handshake.
pub(super) type Stream = StreamOwned<ClientConnection, TcpStream>;

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
            let body = match head.length {
                Length::Bytes(length) => head.end..head.end + length,
                Length::Chunks => {
                    let chunks = self.received.get(head.end..).unwrap_or_default();
                    let Some(body) = whole(chunks)? else { continue };
                    self.received.splice(head.end.., body);
                    head.end..self.received.len()
                }
            };
            if self.received.len() >= body.end {
                // Only now: after any failure the stream is gone.
                self.stream = (!head.closes).then_some(stream);
                return Ok((head.code, body));
            }
        }
    }
}

/// What the head of an answer says.
struct Head {
    code: u16,
    /// Where the body begins.
    end: usize,
    length: Length,
    closes: bool,
}

/// How long the body is.
enum Length {
    Bytes(usize),
    /// As Go's HTTP server sends longer answers.
    Chunks,
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
        let length = match field("content-length") {
            Some(length) => Length::Bytes(length.parse().map_err(|_| odd())?),
            None if field("transfer-encoding").is_some_and(|it| it.eq_ignore_ascii_case("chunked")) => {
                Length::Chunks
            }
            None => return Err(odd()),
        };
        let closes = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        Ok(Some(Self { code, end: end + 4, length, closes }))
    }
}

/// The body without the sizes of its chunks (RFC 9112, section 7.1); `None` while it is not whole. Trailers are not
/// asked for, so there are none.
fn whole(mut chunks: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let Some(line) = chunks.windows(2).position(|bytes| bytes == b"\r\n") else { return Ok(None) };
        let (size, rest) = chunks.split_at(line);
        let size = str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.ok_or_else(|| io::Error::other("the answer has a chunk without a size"))?;
        // Its size and the chunk itself each end with a line break.
        let Some(chunk) = rest.get(2..2 + size).filter(|_| rest.len() >= size + 4) else { return Ok(None) };
        if size == 0 {
            return Ok(Some(body));
        }
        body.extend_from_slice(chunk);
        chunks = rest.get(size + 4..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_chunks_is_taken_once_it_is_whole() {
        let sent = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
        assert_eq!(whole(sent).unwrap().unwrap(), b"hello world");
        for length in 0..sent.len() {
            assert!(whole(&sent[..length]).unwrap().is_none(), "after {length} bytes");
        }
        assert!(whole(b"x\r\n\r\n").is_err());
    }
}
