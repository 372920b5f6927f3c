//! A server of one's own, not registered: started with mistakes, given new certificates, ended under load.

use crate::{
    direct::{BASE, Caller, front_proxy},
    fixture::{EVERYWHERE, Fixture, STEADY_NAMESPACE, with_fixture},
};
use nix::sys::signal::Signal;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    path::Path,
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use testbed::{Server, eventually, pki::Authority, server, workspace};
use tokio::task::JoinSet;

/// The files are read every ten seconds; the rest is room for a busy machine.
const RELOADED: Duration = Duration::from_secs(40);
/// How long the server goes on serving after SIGTERM.
const DELAY: Duration = Duration::from_secs(3);
/// What takes milliseconds, on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// Callers that send one request after the other.
const CALLERS: usize = 6;

async fn start(fixture: &Fixture, name: &str, args: &[&str]) -> Server {
    let config = fixture.configuration(name).await;
    let kubeconfig = Server::account(&fixture.cluster).await.unwrap();
    let args = args.iter().map(|&arg| arg.to_owned()).collect();
    Server::start(&fixture.cluster, name, &server::Options { config, kubeconfig, args }).await.unwrap()
}

/// kube-apiserver as it calls for somebody who may read everything.
fn caller(fixture: &Fixture, server: &Server, roots: &str, keeps: bool) -> Caller {
    Caller::new(&server.url(), roots, Some(&front_proxy(&fixture.cluster)), keeps).for_admin()
}

/// Callers that read until `done`, half of them on kept connections, half on new ones. Every read must be answered.
fn load(fixture: &Fixture, server: &Server, roots: &str, done: &Arc<AtomicBool>) -> JoinSet<u32> {
    let mut load = JoinSet::new();
    for number in 0..CALLERS {
        let caller = caller(fixture, server, roots, number % 2 == 0);
        let done = Arc::clone(done);
        load.spawn(async move {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                let answer = caller.get(&path()).await;
                assert_eq!(answer.code, 200, "{answer:?}");
                count += 1;
            }
            count
        });
    }
    load
}

fn path() -> String {
    format!("{BASE}/namespaces/{STEADY_NAMESPACE}/{EVERYWHERE}")
}

/// Replaces a file as the kubelet does: at once, never half written.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

#[test]
fn a_serving_certificate_of_a_new_authority_takes_over_without_a_failed_request() {
    with_fixture(|fixture| async move {
        let server = start(&fixture, "rotation", &[]).await;
        let authority = Authority::new("testbed-next-serving-ca").unwrap();
        let next = authority.server(&[server::HOST, "localhost", "127.0.0.1"]).unwrap();
        let both = format!("{}{}", server.ca(), authority.pem());
        let done = Arc::new(AtomicBool::new(false));
        let load = load(&fixture, &server, &both, &done);
        let fresh = caller(&fixture, &server, &both, false);
        let old = fresh.get(&path()).await.certificate;
        replace(&server.serving_files().certificate, &next.certificate);
        replace(&server.serving_files().key, &next.key);
        let shown = eventually("the new certificate", RELOADED, || async {
            let shown = fresh.try_get(&path()).await?.certificate;
            Ok((shown != old).then_some(shown))
        });
        let expected = CertificateDer::from_pem_slice(next.certificate.as_bytes()).unwrap();
        assert_eq!(shown.await.unwrap(), expected.as_ref());
        // Whoever trusts the new authority only is served; the old one vouches for nothing here any more.
        assert_eq!(caller(&fixture, &server, &authority.pem(), false).get(&path()).await.code, 200);
        assert!(caller(&fixture, &server, server.ca(), false).try_get(&path()).await.is_err());
        done.store(true, Ordering::Relaxed);
        let counts = load.join_all().await;
        assert!(counts.iter().all(|&count| count > 10), "{counts:?}");
        assert!(server.process().stop().await.unwrap().success());
    });
}

#[test]
fn sigterm_under_load_loses_no_request_and_the_listener_stays_for_the_delay() {
    with_fixture(|fixture| async move {
        let server = start(&fixture, "sigterm", &["--shutdown-delay-duration=3s"]).await;
        let done = Arc::new(AtomicBool::new(false));
        let mut load = load(&fixture, &server, server.ca(), &done);
        let probe = Caller::new(&server.url(), server.ca(), None, false);
        assert_eq!(probe.get("/readyz").await.code, 200);
        let keeps = caller(&fixture, &server, server.ca(), true);
        assert!(!keeps.get(&path()).await.closes);
        let told = Instant::now();
        server.process().signal(Signal::SIGTERM).unwrap();
        let unready = eventually("/readyz to fail", DELAY / 3, || async {
            let answer = probe.try_get("/readyz").await?;
            Ok((answer.code == 500).then_some(answer))
        });
        let unready = unready.await.unwrap();
        assert!(unready.body.contains("[-]shutdown failed"), "{unready:?}");
        let kept = keeps.get(&path()).await;
        assert!(kept.code == 200 && kept.closes, "{kept:?}");
        // Callers learn of it and go elsewhere within the delay; until they have gone, each is answered, on old
        // connections and on new ones.
        let served = eventually("half of the delay to pass with reads answered", DELAY, || async {
            assert_eq!(probe.try_get("/livez").await?.code, 200);
            Ok((told.elapsed() >= DELAY / 2).then_some(()))
        });
        served.await.unwrap();
        done.store(true, Ordering::Relaxed);
        while let Some(count) = load.join_next().await {
            assert!(count.unwrap() > 10);
        }
        let closed = eventually("the listener to be closed", SOON, || async {
            let closed = std::net::TcpStream::connect(("127.0.0.1", server.port())).is_err();
            Ok(closed.then(|| told.elapsed()))
        });
        let after = closed.await.unwrap();
        assert!(after >= DELAY, "refused {after:?} after the signal");
        let status = server.process().ended(SOON).await.unwrap();
        assert!(status.success(), "{status}: {}", server.process().log_tail());
    });
}

#[test]
fn reads_in_flight_when_the_listener_closes_are_answered() {
    with_fixture(|fixture| async move {
        let server = start(&fixture, "drain", &["--shutdown-delay-duration=500ms"]).await;
        let caller = caller(&fixture, &server, server.ca(), false);
        let slow = format!("{BASE}/namespaces/{STEADY_NAMESPACE}/{}", crate::fixture::OUTAGE);
        let outage = fixture.outage.lock().await;
        outage.signal(Signal::SIGSTOP).await.unwrap();
        let mut reads = JoinSet::new();
        for _ in 0..CALLERS {
            let (caller, slow) = (caller.clone(), slow.clone());
            reads.spawn(async move { caller.get(&slow).await });
        }
        let in_flight = eventually("the reads to be in flight", Duration::from_secs(3), || async {
            let metrics = caller.try_get("/metrics").await?.body;
            let expected = format!("metrics_apiserver_http_requests_in_flight {}\n", CALLERS + 1);
            Ok(metrics.contains(&expected).then_some(()))
        });
        let in_flight = in_flight.await;
        server.process().signal(Signal::SIGTERM).unwrap();
        let closed = eventually("the listener to be closed", Duration::from_secs(5), || async {
            Ok(std::net::TcpStream::connect(("127.0.0.1", server.port())).is_err().then_some(()))
        });
        let closed = closed.await;
        // First of all it goes on: other tests come after.
        outage.signal(Signal::SIGCONT).await.unwrap();
        drop(outage);
        in_flight.unwrap();
        closed.unwrap();
        for answer in reads.join_all().await {
            assert_eq!(
                (answer.code, answer.json()["items"][0]["value"].as_str()),
                (200, Some("3")),
                "{answer:?}"
            );
        }
        let status = server.process().ended(SOON).await.unwrap();
        assert!(status.success(), "{status}: {}", server.process().log_tail());
    });
}

/// Runs the server with a configuration that it cannot use.
async fn refuse(dir: &Path, config: &str) -> Output {
    let file = dir.join("config.yaml");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(workspace::binary("metrics-apiserver").await.unwrap());
    command.args(["--tls-cert-file", "/none.crt", "--tls-private-key-file", "/none.key", "--config"]);
    command.arg(file).output().unwrap()
}

#[test]
fn a_configuration_with_mistakes_is_refused_with_all_of_them() {
    crate::shared::runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let config = "backends: {default: {url: \"http://p\"}}\n\
                      metrics:\n\
                      - {name: a, query: 'sum('}\n\
                      - {name: b, query: up, nmae: x}\n\
                      - {name: B, query: up}\n\
                      - {name: c, query: up, backend: othr}\n";
        let output = refuse(dir.path(), config).await;
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{text}");
        for expected in ["config.yaml:3:", "unknown key `nmae`", "duplicate metric `B`", "no backend `othr`"]
        {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
    });
}

#[test]
fn a_deeply_nested_query_is_refused_and_ends_no_process() {
    crate::shared::runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        for (open, close) in [("(", ")"), ("sum(", ")"), ("-", "")] {
            let query = format!("{}up{}", open.repeat(20_000), close.repeat(20_000));
            let config = format!(
                "backends: {{default: {{url: \"http://p\"}}}}\nmetrics:\n- name: deep\n  query: \"{query}\"\n"
            );
            let output = refuse(dir.path(), &config).await;
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(64), "{:?} for {open}: {text:.2000}", output.status);
            assert!(text.contains("metrics[0].query") || text.contains("config.yaml:4:"), "{text:.2000}");
        }
    });
}
