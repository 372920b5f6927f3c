//! One client does not degrade the server for others.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;

use super::app::{App, BASE, Setup, parse, read_to_close};
use crate::server::connections::CONNECTIONS_MAX;
use crate::testkit::{Play, Request};

const READ: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/queue_depth";

/// More than the server has places for.
const MANY: usize = CONNECTIONS_MAX + 20;

/// How long a probe may take.
const SECOND: Duration = Duration::from_secs(1);

/// A probe by a client without credentials, and a read through the front proxy, each on a new connection.
#[track_caller]
fn probes_and_reads_are_answered(app: &App) {
    let began = Instant::now();
    let mut probe = app.connect(false);
    probe.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut text = String::new();
    read_to_close(&mut probe, &mut text);
    assert_eq!(parse(&text).code, 200);
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    assert_eq!(app.get(READ).code, 200);
}

/// Allows everything to all but bob, each of whose reviews takes so long.
fn slow_for_bob(pause: Duration) -> impl Fn(&Request) -> Play + Send + Sync + 'static {
    move |request| {
        let mut answer = request.json();
        let is_bob = answer["spec"]["user"] == "bob";
        answer["status"] = json!({"allowed": !is_bob, "reason": ""});
        let play = Play::json(201, answer);
        if is_bob { play.after(pause) } else { play }
    }
}

#[test]
fn connections_that_say_nothing_keep_no_probe_out() {
    let app = App::start();
    let mut kept = app.connect(true);
    let request = format!("GET {READ} HTTP/1.1\r\nHost: x\r\nX-Remote-User: alice\r\n\r\n");
    let read = |kept: &mut dyn ReadWrite| {
        kept.write_all(request.as_bytes()).unwrap();
        let mut head = [0; 2048];
        let length = kept.read(&mut head).unwrap();
        assert!(head[..length].starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&head[..length]));
    };
    read(&mut kept);
    let silent: Vec<_> = (0..MANY).map(|_| TcpStream::connect(app.address).unwrap()).collect();
    probes_and_reads_are_answered(&app);
    read(&mut kept);
    drop(silent);
}

/// A connection of either kind.
trait ReadWrite: std::io::Read + std::io::Write {}

impl<S: std::io::Read + std::io::Write> ReadWrite for S {}

#[test]
fn idle_connections_of_one_user_keep_nobody_out() {
    let app = App::start();
    let client = app.anonymous();
    let request = b"GET /livez HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n\r\n";
    let held = std::thread::scope(|scope| {
        let hold = || {
            let held = (0..MANY / 2).map(|_| {
                let mut stream = app.connect_by(&client);
                stream.write_all(request).unwrap();
                let mut head = [0; 512];
                let length = stream.read(&mut head).unwrap();
                assert!(head[..length].starts_with(b"HTTP/1.1 200 "));
                stream
            });
            held.collect::<Vec<_>>()
        };
        let both = [scope.spawn(hold), scope.spawn(hold)];
        both.map(|one| one.join().unwrap())
    });
    probes_and_reads_are_answered(&app);
    drop(held);
}

#[test]
fn requests_that_are_denied_take_no_place_from_those_that_are_allowed() {
    let app = App::with(&Setup { max_in_flight: 1, ..Setup::default() });
    assert_eq!(app.get(READ).code, 200);
    app.kubernetes.script(slow_for_bob(Duration::from_millis(500)));
    let mut denied = app.connect(true);
    denied
        .write_all(b"GET /secret HTTP/1.1\r\nHost: x\r\nX-Remote-User: bob\r\nConnection: close\r\n\r\n")
        .unwrap();
    let began = Instant::now();
    while app.kubernetes.last().json()["spec"]["user"] != "bob" {
        assert!(began.elapsed() < 10 * SECOND, "not reviewed");
    }
    assert_eq!(app.get(READ).code, 200);
    let mut text = String::new();
    read_to_close(&mut denied, &mut text);
    assert_eq!(parse(&text).code, 403);
}

#[test]
fn a_client_that_gives_up_causes_no_further_review_and_no_further_connection() {
    let app = App::start();
    app.kubernetes.script(slow_for_bob(3 * SECOND));
    for _ in 0..5 {
        assert_eq!(app.request("GET", "/secret?timeout=1ms", "X-Remote-User: bob\r\n").failure().0, 504);
    }
    let began = Instant::now();
    while app.request("GET", "/secret", "X-Remote-User: bob\r\n").code != 403 {
        assert!(began.elapsed() < 10 * SECOND);
    }
    assert_eq!(app.kubernetes.requests().len(), 1);
    // Ever new paths, which wait for each other.
    app.kubernetes.script(slow_for_bob(Duration::from_millis(20)));
    let mut stream = app.connect(true);
    for number in 0..200 {
        let request =
            format!("GET /secret/{number}?timeout=1ms HTTP/1.1\r\nHost: x\r\nX-Remote-User: bob\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 2048];
        assert!(stream.read(&mut answer).unwrap() > 0);
    }
    assert_eq!(app.get(READ).code, 200);
    let requests = app.kubernetes.requests();
    let connections: HashSet<_> = requests.iter().map(|request| request.connection).collect();
    assert!(connections.len() <= 8, "{} connections", connections.len());
}

#[test]
fn a_client_that_closes_its_side_after_the_request_is_answered() {
    let app = App::start();
    for says_goodbye in [true, false] {
        let mut stream = app.connect(true);
        let request =
            format!("GET {BASE}/namespaces/shop/slow HTTP/1.1\r\nHost: x\r\nX-Remote-User: alice\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        if says_goodbye {
            stream.conn.send_close_notify();
        }
        stream.flush().unwrap();
        stream.sock.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        read_to_close(&mut stream, &mut text);
        assert_eq!(parse(&text).code, 200);
    }
}

#[test]
fn connections_without_a_request_do_not_delay_the_end() {
    let mut app = App::start();
    let mut fresh = app.connect(true);
    // Completes the handshake.
    fresh.conn.complete_io(&mut fresh.sock).unwrap();
    let silent = TcpStream::connect(app.address).unwrap();
    assert_eq!(app.get("/livez").code, 200);
    let began = Instant::now();
    app.stop();
    app.ended().unwrap();
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    drop((fresh, silent));
}
