use super::*;
use crate::{
    bench::{hpas::Hpas, latency::Latency},
    pki::Authority,
};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

const STALL: Duration = Duration::from_millis(400);

/// Answers each request on each connection at once, except that its twentieth answer takes [`STALL`] and is wrong.
fn server() -> Arc<Target> {
    crate::install_crypto();
    let authority = Authority::new("authority").unwrap();
    let identity = authority.server(&["localhost"]).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let tls = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let tls = Arc::new(tls);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let tls = ServerConnection::new(Arc::clone(&tls)).unwrap();
            let stream = StreamOwned::new(tls, stream.unwrap());
            thread::spawn(move || answer(stream));
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let client = authority.client("front-proxy", None).unwrap().write(dir.path(), "client").unwrap();
    Arc::new(Target::new(&client, &authority.pem(), port).unwrap())
}

fn answer(mut stream: StreamOwned<ServerConnection, TcpStream>) {
    let mut request = [0; 1024];
    for count in 1.. {
        // The client sends its next request when it has its answer, so that one read is one request.
        if !matches!(stream.read(&mut request), Ok(1..)) {
            return;
        }
        let value = if count == 20 { "stalled" } else { "right" };
        if count == 20 {
            thread::sleep(STALL);
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", value.len());
        if stream.write_all((head + value).as_bytes()).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

fn requests() -> Arc<[Request]> {
    let request = || Request { bytes: b"GET / HTTP/1.1\r\n\r\n".to_vec(), expected: "right".into() };
    (0..100).map(|_| request()).collect()
}

#[tokio::test]
async fn a_stall_counts_for_every_read_that_was_planned_meanwhile() {
    // A hundred reads a second on one connection; forty of them are due during the stall.
    let schedule = Schedule::new(Hpas::one_each(Duration::from_secs(1), 100));
    let load = OpenLoop::start(&server(), &requests(), schedule, Duration::from_secs(1), 1);
    let outcome = load.finish().await.unwrap();
    assert_eq!(outcome.reads.len(), 100);
    let slow = outcome.reads.iter().filter(|read| read.took > STALL / 4).count();
    assert!(slow >= 28, "only {slow} reads counted their wait: {:?}", outcome.reads);
    let latency = Latency::of(&outcome.reads);
    assert!(latency.max_ms >= 400.0 && latency.p90_ms >= 250.0, "{latency:?}");
    assert_eq!((latency.wrong, latency.failed), (1, 0));
    assert_eq!(outcome.failures, ["200: stalled"]);
}

#[tokio::test]
async fn a_closed_loop_reads_one_after_the_other_until_its_time_is_over() {
    let outcome = closed_loop(&server(), &requests(), 5, Duration::from_millis(300)).await.unwrap();
    let wrong = outcome.reads.iter().filter(|read| read.verdict == Verdict::Wrong).count();
    assert!(outcome.reads.len() >= 100 && wrong == 5, "{} reads, {wrong} wrong", outcome.reads.len());
}

#[tokio::test]
async fn a_load_that_is_given_up_ends_soon() {
    let schedule = Schedule::new(Hpas::one_each(Duration::from_secs(1_000), 100));
    let load = OpenLoop::start(&server(), &requests(), schedule, Duration::from_secs(1_000), 10);
    let started = Instant::now();
    drop(load);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}
