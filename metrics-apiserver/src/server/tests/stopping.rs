//! The end of a server.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::app::{App, BASE, parse, read_to_close};

#[test]
fn a_request_in_flight_is_answered_before_the_server_ends() {
    let mut app = App::start();
    let mut idle = app.connect(true);
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut busy = app.connect(true);
    busy.write_all(
        format!("GET {BASE}/namespaces/shop/slow HTTP/1.1\r\nHost: x\r\nX-Remote-User: alice\r\n\r\n")
            .as_bytes(),
    )
    .unwrap();
    let started = Instant::now();
    while !app.get("/metrics").body.contains("metrics_apiserver_http_requests_in_flight 2\n") {
        assert!(started.elapsed() < Duration::from_secs(2), "the slow read never came in");
    }
    app.stop();
    let mut text = String::new();
    read_to_close(&mut busy, &mut text);
    assert_eq!(parse(&text).code, 200);
    assert_eq!(parse(&text).header("connection"), Some("close"));
    app.ended().unwrap();
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    assert!(TcpStream::connect(app.address).is_err(), "the port is free");
}
