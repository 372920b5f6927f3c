//! A server with everything real but Kubernetes (allows everything to all but bob) and Prometheus (acts by a query's
//! name).

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use prometheus_client::registry::Registry;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::answer::Answers;
use crate::authn::{self, Authenticator, FrontProxyOptions, Refusals, Reviews, TokenReviewer, TrustStore};
use crate::authz::{self, Authorizer};
use crate::cache::{Cache, Limits, Query, QueryError, Reading};
use crate::catalog::{Catalog, ServedCatalog};
use crate::metric::Labels;
use crate::readiness::Readiness;
use crate::server::{Options, Parts, bind};
use crate::testkit::series::cluster;
use crate::testkit::{Ca, FakeSource, Issued, Play, Request, Server, Wanted, reading, rule};
use crate::tls::{self, Certificates, server_config};

pub(super) const BASE: &str = "/apis/external.metrics.k8s.io/v1beta1";
/// How long a test waits for anything before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Of the answer to `large`. Two of these have no room, and a connection's buffers none for one.
pub(super) const LARGE_BYTES: usize = 14 << 20;

/// How the server is set up.
pub(super) struct Setup {
    pub(super) max_in_flight: usize,
    pub(super) request_timeout: Duration,
    pub(super) read_deadline: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            max_in_flight: 400,
            request_timeout: Duration::from_secs(60),
            read_deadline: Duration::from_secs(5),
        }
    }
}

/// A running server; it ends with the test.
pub(super) struct App {
    pub(super) address: SocketAddr,
    pub(super) readiness: Readiness,
    pub(super) kubernetes: Arc<Server>,
    /// What is served; a test may replace it.
    pub(super) catalog: Arc<ServedCatalog>,
    ca: Ca,
    front_proxy: Issued,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
    _directory: TempDir,
}

/// A response, taken apart.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) code: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Response {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let line = self
            .head
            .lines()
            .find(|line| line.split(':').next().is_some_and(|found| found.eq_ignore_ascii_case(name)))?;
        Some(line.split_once(':')?.1.trim())
    }

    /// The code, and what a failure's Status says.
    #[track_caller]
    pub(super) fn failure(&self) -> (u16, String, String) {
        let status = self.json();
        assert_eq!((&status["kind"], &status["status"]), (&json!("Status"), &json!("Failure")), "{self:?}");
        assert_eq!(status["code"], self.code, "{self:?}");
        let text = |key: &str| status[key].as_str().unwrap().to_owned();
        (self.code, text("reason"), text("message"))
    }
}

impl App {
    pub(super) fn start() -> Self {
        Self::with(&Setup::default())
    }

    pub(super) fn with(setup: &Setup) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ca = Ca::new("serving");
        let proxy_ca = Ca::new("front proxy");
        let path = |name: &str| directory.path().join(name);
        ca.serving().write(&path("tls.crt"), &path("tls.key"));
        std::fs::write(path("proxy-ca.crt"), proxy_ca.pem()).unwrap();
        let (cert_file, key_file) = (Some(path("tls.crt")), Some(path("tls.key")));
        let tls = tls::Options { cert_file, key_file, ..tls::Options::default() };
        let tls = server_config(Arc::new(Certificates::load(&tls).unwrap()), &tls).unwrap();
        let options = Options {
            bind_address: [127, 0, 0, 1].into(),
            secure_port: 0,
            request_timeout: setup.request_timeout,
            read_deadline: setup.read_deadline,
            max_in_flight: setup.max_in_flight,
            discovery_metrics_max: 10_000,
        };
        let trust = authn::Options {
            front_proxy: FrontProxyOptions {
                client_ca_file: Some(path("proxy-ca.crt")),
                username_headers: vec!["X-Remote-User".to_owned()],
                group_headers: vec!["X-Remote-Group".to_owned()],
                ..FrontProxyOptions::default()
            },
            skip_lookup: true,
            ..authn::Options::default()
        };
        let readiness = Readiness::default();
        readiness.authentication_config_synced();
        readiness.configuration_loaded();
        let kubernetes = Arc::new(Server::start(review));
        let (told, address) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let names = ["Queue_Depth", "job:rate", "slow", "down", "empty", "large"];
        let catalog = Catalog::new(names.map(|name| rule(name, &name.replace(':', "_"))).into());
        let catalog = Arc::new(ServedCatalog::new(catalog));
        let (kubernetes_of_thread, readiness_of_thread) = (Arc::clone(&kubernetes), readiness.clone());
        let catalog_of_thread = Arc::clone(&catalog);
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async move {
                let parts = parts(&kubernetes_of_thread, trust, readiness_of_thread, catalog_of_thread);
                let bound = bind(parts, tls, &options).unwrap();
                told.send(bound.local_addr()).unwrap();
                bound.run(async { drop(stopped.await) }).await
            })
        });
        Self {
            address: address.recv_timeout(PATIENCE).unwrap(),
            readiness,
            kubernetes,
            catalog,
            ca,
            front_proxy: proxy_ca.issue(&Wanted { cn: "front-proxy", ..Wanted::default() }),
            stop: Some(stop),
            thread: Some(thread),
            _directory: directory,
        }
    }

    /// GET by alice through the front proxy.
    pub(super) fn get(&self, target: &str) -> Response {
        self.get_with(target, "")
    }

    /// The same with more header lines, each ended by `\r\n`.
    pub(super) fn get_with(&self, target: &str, headers: &str) -> Response {
        self.request("GET", target, &format!("X-Remote-User: alice\r\n{headers}"))
    }

    /// A request over a connection of the front proxy.
    pub(super) fn request(&self, method: &str, target: &str, headers: &str) -> Response {
        self.raw(&format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"))
    }

    /// Sends these bytes and reads until the server closes.
    pub(super) fn raw(&self, bytes: &str) -> Response {
        let mut stream = self.connect(true);
        stream.write_all(bytes.as_bytes()).unwrap();
        let mut connection = String::new();
        read_to_close(&mut stream, &mut connection);
        parse(&connection)
    }

    /// A connection; with the front proxy's certificate or without any.
    pub(super) fn connect(&self, as_front_proxy: bool) -> StreamOwned<ClientConnection, TcpStream> {
        self.connect_with(self.ca.roots(), as_front_proxy)
    }

    /// A connection of a client that does not trust the serving certificate.
    pub(super) fn connect_trusting_nobody(&self) -> StreamOwned<ClientConnection, TcpStream> {
        self.connect_with(RootCertStore::empty(), false)
    }

    fn connect_with(
        &self,
        roots: RootCertStore,
        as_front_proxy: bool,
    ) -> StreamOwned<ClientConnection, TcpStream> {
        self.connect_by(&self.client(roots, as_front_proxy))
    }

    /// What many connections without a certificate can share.
    pub(super) fn anonymous(&self) -> Arc<ClientConfig> {
        self.client(self.ca.roots(), false)
    }

    fn client(&self, roots: RootCertStore, as_front_proxy: bool) -> Arc<ClientConfig> {
        let builder =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots);
        Arc::new(if as_front_proxy {
            let key = self.front_proxy.private_key();
            builder.with_client_auth_cert(self.front_proxy.chain.clone(), key).unwrap()
        } else {
            builder.with_no_client_auth()
        })
    }

    /// A connection of such a client.
    pub(super) fn connect_by(&self, config: &Arc<ClientConfig>) -> StreamOwned<ClientConnection, TcpStream> {
        let name = ServerName::try_from("localhost").unwrap();
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), socket)
    }

    /// Asks the server to end, as the first signal's delay has passed.
    pub(super) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits for its end.
    pub(super) fn ended(&mut self) -> std::io::Result<()> {
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Reads until the other side closes, with or without TLS' goodbye.
pub(super) fn read_to_close(stream: &mut impl Read, text: &mut String) {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        // Of these the last comes to a client that has more to send than the server reads.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
            ) => {}
        Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&bytes)),
    }
    text.push_str(&String::from_utf8(bytes).unwrap());
}

pub(super) fn parse(text: &str) -> Response {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response: {text:?}"));
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    Response { code, head: head.to_owned(), body: body.to_owned() }
}

fn parts(
    kubernetes: &Server,
    trust: authn::Options,
    readiness: Readiness,
    catalog: Arc<ServedCatalog>,
) -> Parts {
    let client = kubernetes.client();
    let source = FakeSource::new(|_, query| prometheus(query));
    let cache = Cache::new(source, Limits::default(), tokio::runtime::Handle::current());
    let trust = Arc::new(TrustStore::new(trust).unwrap());
    let tokens = TokenReviewer::new(client.clone(), Duration::from_secs(10), &Reviews::default()).unwrap();
    let mut registry = Registry::default();
    Parts {
        answers: Arc::new(Answers::new(catalog, Arc::new(cache), Arc::new(cluster()), &mut registry)),
        authenticator: Arc::new(Authenticator::new(
            trust,
            tokens,
            Refusals::register(&mut Registry::default()),
        )),
        authorizer: Arc::new(
            Authorizer::new(client, &authz::Options::default(), &Reviews::default()).unwrap(),
        ),
        readiness,
        registry,
    }
}

/// Answers 2.5, unless the query's name says otherwise.
async fn prometheus(query: Query) -> Result<Reading, QueryError> {
    let mut answer = reading([2.5]);
    let is = |name: &str| query.promql.starts_with(name);
    if is("slow") {
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    if is("down") {
        return Err(QueryError::Unavailable { detail: "http://user:secret@prometheus".into() });
    }
    let text = is("large").then(|| ("text", "x".repeat(LARGE_BYTES)));
    let labels: Labels = text.into_iter().chain([("asked", query.promql.to_string())]).collect();
    answer.samples[0].labels = labels;
    if is("empty") {
        answer.samples.clear();
    }
    if is("requests") {
        let objects = [("namespace", "shop"), ("pod", "till-1"), ("deployment", "till"), ("node", "worker")];
        answer.samples[0].labels = objects.into_iter().collect();
    }
    Ok(answer)
}

/// Kubernetes: the token `good` is carol's; everybody may do everything but bob.
fn review(request: &Request) -> Play {
    let mut answer = request.json();
    let spec = &answer["spec"];
    let status = if request.line.contains("tokenreviews") {
        json!({"authenticated": spec["token"] == "good", "user": {"username": "carol"}})
    } else {
        json!({"allowed": spec["user"] != "bob", "reason": ""})
    };
    answer["status"] = status;
    Play::json(201, answer)
}
