//! The least that any server could need: the same load, sent to a server that does nothing but TLS.
//!
//! It shows what the machine itself costs: late wake-ups, cores that kube-apiserver and Prometheus keep busy, and both
//! ends of a TLS connection. The server blocks, one thread for each connection, which is the shortest path.

use super::{
    AT_ONCE, Settings,
    connection::Target,
    hpas::{Hpas, Layout, Schedule},
    latency::Latency,
    load::{OpenLoop, Request},
    say,
    stage::Stage,
    world,
};
use crate::{Server, pki::Identity};
use anyhow::{Result, ensure};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde::Serialize;
use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

/// As long as the answer to a read.
const BODY: usize = 400;

/// What reads cost without a server's work.
#[derive(Debug, Clone, Serialize)]
pub struct Echo {
    /// Reads a second.
    pub rate: usize,
    /// How long they took.
    pub latency: Latency,
}

/// One rate, for the intervals that count.
pub(super) async fn echo(stage: &Stage, rate: usize, settings: &Settings) -> Result<Echo> {
    say(&format!("{rate}/s to a bare TLS echo"));
    let listener = Listener::start(&Server::identity(&stage.cluster)?)?;
    let target = listener.target(stage)?;
    let hpas = Hpas::at_rate(rate, settings.interval, world::RULES, Layout::Together);
    // Until connections are open.
    let warm_up = settings.interval;
    let end = warm_up + hpas.mean() * settings.intervals;
    let load = OpenLoop::start(&target, &requests(), Schedule::new(hpas), end, AT_ONCE);
    let outcome = load.finish().await?;
    ensure!(outcome.failures.is_empty(), "the echo failed: {:?}", outcome.failures);
    let latency = Latency::of(outcome.reads.iter().filter(|read| read.planned >= warm_up));
    Ok(Echo { rate, latency })
}

/// The reads of all rules, and the echo's answer.
pub(super) fn requests() -> Arc<[Request]> {
    let expected = "0".repeat(BODY);
    let request = |query| Request {
        bytes: world::request(world::Source::Cache, query).bytes,
        expected: expected.clone(),
    };
    (0..world::RULES).map(request).collect()
}

/// Answers every request with the same bytes. It ends with this value, once its clients are gone.
pub(super) struct Listener {
    port: u16,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Listener {
    pub(super) fn start(identity: &Identity) -> Result<Self> {
        crate::install_crypto();
        let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
        let tls = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain.collect::<Result<_, _>>()?, key)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let stop = Arc::<AtomicBool>::default();
        let accepting = thread::spawn({
            let (stop, tls) = (Arc::clone(&stop), Arc::new(tls));
            move || accept(&listener, &tls, &stop)
        });
        Ok(Self { port, stop, accepting: Some(accepting) })
    }

    /// What a client needs to read here.
    pub(super) fn target(&self, stage: &Stage) -> Result<Arc<Target>> {
        let credentials = stage.cluster.credentials();
        let ca = credentials.serving_ca.pem();
        Ok(Arc::new(Target::new(&credentials.files().front_proxy, &ca, self.port)?))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn accept(listener: &TcpListener, tls: &Arc<ServerConfig>, stop: &AtomicBool) {
    thread::scope(|scope| {
        while let Ok((tcp, _)) = listener.accept() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            // Errors are not looked at: a client without an answer counts a failed read.
            scope.spawn(|| answer(tcp, Arc::clone(tls)));
        }
    });
}

fn answer(tcp: TcpStream, tls: Arc<ServerConfig>) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut stream = StreamOwned::new(ServerConnection::new(tls).map_err(io::Error::other)?, tcp);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n{}", "0".repeat(BODY));
    let (mut received, mut chunk) = (Vec::new(), [0; 2048]);
    loop {
        match stream.read(&mut chunk)? {
            0 => return Ok(()),
            length => received.extend_from_slice(chunk.get(..length).unwrap_or_default()),
        }
        if received.ends_with(b"\r\n\r\n") {
            received.clear();
            stream.write_all(answer.as_bytes())?;
            stream.flush()?;
        }
    }
}
