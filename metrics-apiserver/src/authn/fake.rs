//! For tests: certificates, and a Kubernetes API on loopback with scripted answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kube::{Client, Config};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

/// An authority that signs what a test wants.
pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

/// What a certificate of a test says.
pub(crate) struct Wanted {
    pub(crate) cn: &'static str,
    /// At most two, as rcgen keeps one attribute per type.
    pub(crate) organizations: &'static [&'static str],
    pub(crate) uid: Option<&'static str>,
    pub(crate) usage: ExtendedKeyUsagePurpose,
    /// Seconds from now until it expires.
    pub(crate) lifetime: i64,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            cn: "",
            organizations: &[],
            uid: None,
            usage: ExtendedKeyUsagePurpose::ClientAuth,
            lifetime: 3600,
        }
    }
}

/// A certificate with its key.
pub(crate) struct Issued {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) pem: String,
    pub(crate) key: KeyPair,
}

impl Issued {
    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        Self::with(name, |_| {})
    }

    /// An authority whose certificate says something else than is good for it.
    pub(crate) fn with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = ca_params(name);
        change(&mut params);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// An authority below this one.
    pub(crate) fn intermediate(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::signed_by(ca_params(name), key, &self.0).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(crate) fn issue(&self, wanted: &Wanted) -> Issued {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let mut name = rcgen::DistinguishedName::new();
        if !wanted.cn.is_empty() {
            name.push(DnType::CommonName, wanted.cn);
        }
        let organization = [DnType::OrganizationName, DnType::CustomDnType(vec![2, 5, 4, 10])];
        for (kind, organization) in organization.into_iter().zip(wanted.organizations) {
            name.push(kind, *organization);
        }
        if let Some(uid) = wanted.uid {
            name.push(DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 57683, 2]), uid);
        }
        params.distinguished_name = name;
        params.extended_key_usages = vec![wanted.usage.clone()];
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = date_time_ymd(1970, 1, 1) + now;
        params.not_before = now - Duration::from_secs(7200);
        params.not_after = if wanted.lifetime < 0 {
            now - Duration::from_secs(wanted.lifetime.unsigned_abs())
        } else {
            now + Duration::from_secs(wanted.lifetime.unsigned_abs())
        };
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued { chain: vec![certificate.der().clone()], pem: certificate.pem(), key }
    }

    /// A good client certificate.
    pub(crate) fn client(&self, cn: &'static str) -> Vec<CertificateDer<'static>> {
        self.issue(&Wanted { cn, ..Wanted::default() }).chain
    }
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A request as the fake API got it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With the query.
    pub(crate) target: String,
    pub(crate) body: Value,
}

/// What the fake API answers.
pub(crate) enum Answer {
    /// A status and a JSON body.
    Json(u16, Value),
    /// The same after a while.
    Later(Duration, u16, Value),
    /// Watch events, until their sender is dropped.
    Events(mpsc::Receiver<Value>),
}

type Script = dyn Fn(&Request) -> Answer + Send + Sync;

/// A Kubernetes API on loopback; it ends with the test.
pub(crate) struct FakeApi {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    ended: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl FakeApi {
    pub(crate) fn start(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let (seen, stop) = (Arc::clone(&requests), Arc::clone(&ended));
        let script: Arc<Script> = Arc::new(script);
        let acceptor = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
                std::thread::spawn(move || serve(stream.unwrap(), &seen, script.as_ref()));
            }
        });
        Self { address, requests, ended, acceptor: Some(acceptor) }
    }

    pub(crate) fn client(&self) -> Client {
        client(self.address)
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for FakeApi {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().unwrap();
        }
    }
}

/// A client of an address where nobody listens.
pub(crate) fn client_of_nobody() -> Client {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    client(listener.local_addr().unwrap())
}

fn client(address: SocketAddr) -> Client {
    let mut config = Config::new(format!("http://{address}").parse().unwrap());
    // Without any root the client would want the system's, which a bare machine does not have.
    config.root_cert = Some(vec![Ca::new("unused").der().to_vec()]);
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// One request, one answer, one connection.
fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Request>>, script: &Script) {
    let Some(request) = read(&stream) else {
        return;
    };
    seen.lock().unwrap().push(request.clone());
    match script(&request) {
        Answer::Json(status, body) => write(&mut stream, status, &body),
        Answer::Later(pause, status, body) => {
            std::thread::sleep(pause);
            write(&mut stream, status, &body);
        }
        Answer::Events(events) => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            for event in events {
                // A client that has gone needs no events.
                if writeln!(stream, "{event}").is_err() {
                    return;
                }
            }
        }
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, target, body: serde_json::from_slice(&body).unwrap_or_default() })
}

fn write(stream: &mut TcpStream, status: u16, body: &Value) {
    let body = body.to_string();
    // A client that has given up needs no answer.
    let _ = write!(
        stream,
        "HTTP/1.1 {status} Answer\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
}
