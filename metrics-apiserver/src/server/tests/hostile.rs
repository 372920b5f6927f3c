//! Clients that lack rights, ask for too much, or break the rules of HTTP.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::app::{App, BASE, LARGE_BYTES, Setup, parse, read_to_close};

const READ: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/queue_depth";

#[test]
fn only_the_front_proxys_certificate_makes_the_headers_count() {
    let app = App::start();
    let spoofed = format!(
        "GET {READ} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Remote-User: alice\r\n\
         X-Remote-Group: system:masters\r\n\r\n"
    );
    let mut stream = app.connect(false);
    stream.write_all(spoofed.as_bytes()).unwrap();
    let mut text = String::new();
    read_to_close(&mut stream, &mut text);
    assert_eq!(
        parse(&text).code,
        200,
        "the fake allows everybody but bob, so the review's user is what counts"
    );
    let asked = app.kubernetes.requests();
    assert_eq!(asked.last().unwrap().json()["spec"]["user"], "system:anonymous");
}

#[test]
fn unauthenticated_clients_keep_no_connection() {
    let app = App::start();
    for credentials in ["", "Authorization: Bearer bad\r\n", "Authorization: Basic eA==\r\n"] {
        let mut stream = app.connect(false);
        stream.write_all(format!("GET /livez HTTP/1.1\r\nHost: x\r\n{credentials}\r\n").as_bytes()).unwrap();
        let mut text = String::new();
        // A connection that stays open fails here, at the test's own timeout.
        read_to_close(&mut stream, &mut text);
        assert_eq!(parse(&text).header("connection"), Some("close"), "{text}");
    }
    let mut kept = app.connect(true);
    kept.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Remote-User: alice\r\n\r\n").unwrap();
    let mut head = [0; 512];
    let length = kept.read(&mut head).unwrap();
    let head = String::from_utf8_lossy(&head[..length]).to_lowercase();
    assert!(head.starts_with("http/1.1 200") && !head.contains("connection: close"), "{head}");
}

#[test]
fn authenticated_clients_keep_the_connection_whatever_the_url_says() {
    let app = App::start();
    let mut kept = app.connect(true);
    for (target, code) in [("/%ff", 400), ("/livez?timeout=soon", 400), ("/livez", 200)] {
        kept.write_all(
            format!("GET {target} HTTP/1.1\r\nHost: x\r\nX-Remote-User: alice\r\n\r\n").as_bytes(),
        )
        .unwrap();
        let mut answer = [0; 1024];
        let length = kept.read(&mut answer).unwrap();
        let answer = parse(&String::from_utf8_lossy(&answer[..length]));
        assert_eq!((answer.code, answer.header("connection")), (code, None), "{target}");

        let mut unknown = app.connect(false);
        unknown.write_all(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
        let mut text = String::new();
        read_to_close(&mut unknown, &mut text);
        let answer = parse(&text);
        assert_eq!((answer.code, answer.header("connection")), (code, Some("close")), "{target}");
    }
}

#[test]
fn pipelined_requests_are_answered_one_by_one_and_none_after_the_last() {
    let app = App::start();
    let mut kept = app.connect(true);
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Remote-User: alice\r\n\r\n");
    let last = format!("GET {READ} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Remote-User: alice\r\n\r\n");
    let pipelined = [request(READ), request("/none"), request("/livez"), last, request("/livez")].concat();
    kept.write_all(pipelined.as_bytes()).unwrap();
    let mut text = String::new();
    read_to_close(&mut kept, &mut text);
    let codes: Vec<_> = text.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(codes, ["200", "404", "200", "200"], "{text}");

    let mut unknown = app.connect(false);
    unknown.write_all("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100).as_bytes()).unwrap();
    let mut text = String::new();
    read_to_close(&mut unknown, &mut text);
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
}

#[test]
fn requests_that_expect_100_continue_are_answered_one_by_one_too() {
    let app = App::start();
    let mut unknown = app.connect(false);
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n");
    unknown.write_all(request("/version").repeat(10).as_bytes()).unwrap();
    let mut text = String::new();
    read_to_close(&mut unknown, &mut text);
    let answers = text.matches("HTTP/1.1 ").count() - text.matches("HTTP/1.1 100 ").count();
    assert_eq!(answers, 1, "{text}");

    let mut kept = app.connect(true);
    let head = format!(
        "HEAD {BASE}/namespaces/shop/slow HTTP/1.1\r\nHost: x\r\nX-Remote-User: alice\r\nExpect: 100-continue\r\n\r\n"
    );
    let last = "GET /livez HTTP/1.1\r\nHost: x\r\nX-Remote-User: alice\r\nConnection: close\r\n\r\n";
    kept.write_all(format!("{head}{last}").as_bytes()).unwrap();
    let mut text = String::new();
    read_to_close(&mut kept, &mut text);
    let (_, answered) = text.split_once("HTTP/1.1 200 ").unwrap();
    let (_, rest) = answered.split_once("\r\n\r\n").unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 "), "an answer to HEAD has no body: {text}");
}

#[test]
fn a_second_request_that_never_ends_ends_the_connection() {
    let app = App::start();
    let mut kept = app.connect(true);
    kept.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Remote-User: alice\r\n\r\nG").unwrap();
    let started = Instant::now();
    let mut text = String::new();
    read_to_close(&mut kept, &mut text);
    let (_, refused) = text.split_once("HTTP/1.1 408 ").unwrap_or_else(|| panic!("{text}"));
    assert_eq!(parse(&format!("HTTP/1.1 408 {refused}")).failure().0, 408);
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

#[test]
fn a_failed_handshake_is_counted_by_its_cause() {
    let app = App::start();
    let plain = |text: &str| {
        let mut stream = TcpStream::connect(app.address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        // A TLS alert, or nothing.
        let _ = stream.read_to_end(&mut Vec::new());
    };
    plain("");
    plain("GET / HTTP/1.1\r\n\r\n");
    let mut untrusting = app.connect_trusting_nobody();
    assert!(untrusting.write_all(b"GET / HTTP/1.1\r\n\r\n").is_err());
    drop(untrusting);
    let started = Instant::now();
    loop {
        let page = app.get("/metrics").body;
        let count = |cause: &str, count: u8| {
            let name = "metrics_apiserver_tls_handshake_failures_total";
            page.contains(&format!("{name}{{cause=\"{cause}\"}} {count}\n"))
        };
        if count("closed", 1) && count("not_tls", 1) && count("refused_by_client", 1) {
            assert!(count("other", 0) && count("timeout", 0), "{page}");
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(15), "{page}");
    }
}

#[test]
fn a_forbidden_request_gets_the_message_of_kubernetes() {
    let app = App::start();
    let (code, reason, message) = app.request("GET", READ, "X-Remote-User: bob\r\n").failure();
    assert_eq!((code, &*reason), (403, "Forbidden"));
    assert_eq!(
        message,
        "queue_depth.external.metrics.k8s.io is forbidden: User \"bob\" cannot list resource \"queue_depth\" in API \
         group \"external.metrics.k8s.io\" in the namespace \"shop\""
    );
    let (code, _, message) = app.request("GET", "/version", "X-Remote-User: bob\r\n").failure();
    assert_eq!((code, &*message), (403, "forbidden: User \"bob\" cannot get path \"/version\""));
}

#[test]
fn a_bad_token_is_no_token_and_impersonation_is_refused() {
    let app = App::start();
    let (code, reason, message) = app.request("GET", READ, "Authorization: Bearer bad\r\n").failure();
    assert_eq!((code, &*reason, &*message), (401, "Unauthorized", "Unauthorized"));
    assert_eq!(app.request("GET", READ, "Authorization: Bearer good\r\n").code, 200);
    let (code, _, message) = app.get_with(READ, "Impersonate-User: admin\r\n").failure();
    assert!(code == 403 && message.contains("impersonation"), "{message}");
}

#[test]
fn writes_are_refused_and_head_has_no_body() {
    let app = App::start();
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"] {
        let response = app.request(method, READ, "X-Remote-User: alice\r\n");
        let (code, reason, _) = response.failure();
        assert_eq!((code, &*reason), (405, "MethodNotAllowed"), "{method}");
        assert_eq!(response.header("allow"), Some("GET, HEAD"));
    }
    let head = app.request("HEAD", READ, "X-Remote-User: alice\r\n");
    assert_eq!((head.code, &*head.body), (200, ""));
    assert_eq!(head.header("content-type"), Some("application/json"));
}

#[test]
fn an_upgrade_is_never_made() {
    let app = App::start();
    for protocol in ["websocket", "SPDY/3.1", "h2c"] {
        let response = app.raw(&format!(
            "GET {READ} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\
             X-Remote-User: alice\r\n\r\n"
        ));
        assert_eq!(response.failure().0, 400, "{protocol}");
    }
}

#[test]
fn a_body_that_never_ends_does_not_hold_the_connection() {
    let app = App::start();
    for framing in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
        let mut stream = app.connect(true);
        let started = Instant::now();
        let request = format!(
            "GET {READ} HTTP/1.1\r\nHost: x\r\nX-Remote-User: alice\r\n{framing}\r\n\r\n5\r\nhello\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        read_to_close(&mut stream, &mut text);
        let response = parse(&text);
        assert_eq!(response.code, 200, "{framing}");
        assert_eq!(response.header("connection"), Some("close"), "{framing}");
        assert!(started.elapsed() < Duration::from_secs(15), "{framing}: {:?}", started.elapsed());
    }
}

#[test]
fn a_length_is_compared_as_a_number() {
    let app = App::start();
    for (length, closes) in [("0", None), ("00", None), ("1", Some("close")), ("01", Some("close"))] {
        let mut stream = app.connect(true);
        let head = format!(
            "GET /livez HTTP/1.1\r\nHost: x\r\nX-Remote-User: alice\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 1024];
        let count = stream.read(&mut answer).unwrap();
        let answer = parse(&String::from_utf8_lossy(&answer[..count]));
        assert_eq!((answer.code, answer.header("connection")), (200, closes), "{length}");
    }
}

#[test]
fn a_connection_serves_many_requests_of_many_users() {
    let app = App::start();
    let mut stream = app.connect(true);
    for (user, expected) in [("alice", "200 OK"), ("bob", "403 Forbidden"), ("alice", "200 OK")] {
        stream
            .write_all(format!("GET {READ} HTTP/1.1\r\nHost: x\r\nX-Remote-User: {user}\r\n\r\n").as_bytes())
            .unwrap();
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes[..count]);
        assert!(text.starts_with(&format!("HTTP/1.1 {expected}")), "{user}: {text}");
    }
}

#[test]
fn a_user_of_250_groups_is_answered_and_has_all_of_them() {
    let app = App::start();
    // As kube-apiserver sends them: one line for each.
    let groups: Vec<_> = (0..250).map(|group| format!("oidc:department-{group:03}-of-the-company")).collect();
    let lines: Vec<_> = groups.iter().map(|group| format!("X-Remote-Group: {group}\r\n")).collect();
    assert_eq!(app.get_with(READ, &lines.concat()).code, 200);
    let asked = app.kubernetes.last().json();
    let asked = asked["spec"]["groups"].as_array().unwrap();
    assert_eq!(asked[..250], groups);
}

#[test]
fn too_long_and_too_many_headers_are_refused_with_a_status() {
    let app = App::start();
    let (code, _, message) = app.get_with(READ, &"X-Remote-Group: g\r\n".repeat(600)).failure();
    assert_eq!((code, &*message), (431, "the request headers are too large"));
    let huge = format!("X-Large: {}\r\n", "x".repeat(200_000));
    let mut stream = app.connect(true);
    // The server may close before it has read it all.
    let _ = stream.write_all(format!("GET {READ} HTTP/1.1\r\nHost: x\r\n{huge}\r\n").as_bytes());
    let mut text = String::new();
    read_to_close(&mut stream, &mut text);
    assert!(text.is_empty() || parse(&text).failure().0 == 431, "{text}");
    let response = app.get("/metrics");
    let counted =
        "metrics_apiserver_http_requests_total{verb=\"other\",resource=\"unknown\",code=\"431\"} 2\n";
    assert!(response.body.contains(counted), "{}", response.body);
    assert_eq!(app.get(READ).code, 200);
}

#[test]
fn what_is_not_http_1_1_is_refused_with_a_status_and_no_request_of_that_connection_is_answered() {
    let app = App::start();
    for malformed in ["GET / HTTP/1.1\r\nno colon\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let response = app.raw(&format!("{malformed}GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"));
        let (code, reason, _) = response.failure();
        assert_eq!((code, &*reason), (400, "BadRequest"), "{malformed}");
        assert_eq!(response.header("connection"), Some("close"));
    }
}

#[test]
fn too_many_requests_at_once_are_refused_but_probes_and_masters_are_not() {
    let app = App::with(&Setup { max_in_flight: 1, ..Setup::default() });
    let slow = format!(
        "GET {BASE}/namespaces/shop/slow HTTP/1.1\r\nHost: x\r\nX-Remote-User: alice\r\nConnection: close\r\n\r\n"
    );
    let mut reads = Vec::new();
    let started = Instant::now();
    let refused = loop {
        // This request may have had the only permit when the slow read came: then that was refused.
        let mut read = app.connect(true);
        read.write_all(slow.as_bytes()).unwrap();
        reads.push(read);
        let response = app.get("/version");
        if response.code == 429 {
            break response;
        }
        assert!(started.elapsed() < Duration::from_secs(2), "the slow read is over");
    };
    assert_eq!(refused.failure().2, "too many requests, please try again later.");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.json()["details"]["retryAfterSeconds"], 1);
    assert_eq!(app.get("/readyz").code, 200);
    assert_eq!(app.get_with("/version", "X-Remote-Group: system:masters\r\n").code, 200);
    let codes = reads.iter_mut().map(|read| {
        let mut text = String::new();
        read_to_close(read, &mut text);
        parse(&text).code
    });
    assert_eq!(codes.filter(|&code| code == 200).count(), 1, "one permit, one read");
    assert_eq!(app.get("/version").code, 200, "the permit is given back");
}

#[test]
fn a_large_answer_is_sent_whole_and_pipelined_requests_are_answered_after_it() {
    let app = App::start();
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Remote-User: alice\r\n\r\n");
    let mut stream = app.connect(true);
    stream
        .write_all((request(&format!("{BASE}/namespaces/a/large")) + &request("/nothing")).as_bytes())
        .unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    read_to_close(&mut stream, &mut text);
    let large = parse(&text);
    let length: usize = large.header("content-length").unwrap().parse().unwrap();
    assert!(length > LARGE_BYTES, "{length}");
    let (body, rest) = large.body.split_at(length);
    let item = &serde_json::from_str::<Value>(body).unwrap()["items"][0];
    assert_eq!(item["metricLabels"]["text"].as_str().unwrap().len(), LARGE_BYTES);
    assert_eq!(parse(rest).code, 404);
    assert!(rest.ends_with("ok"), "{rest}");
}

#[test]
fn a_large_answer_keeps_its_memory_until_it_is_read() {
    let app = App::with(&Setup { read_deadline: Duration::from_secs(2), ..Setup::default() });
    let large = format!("{BASE}/namespaces/a/large");
    let mut slow = app.connect(true);
    slow.write_all(format!("GET {large} HTTP/1.1\r\nHost: x\r\nX-Remote-User: alice\r\n\r\n").as_bytes())
        .unwrap();
    slow.read_exact(&mut [0; 1_000]).unwrap();
    let (code, reason, message) = app.get(&large).failure();
    assert_eq!((code, &*reason), (429, "TooManyRequests"));
    assert!(message.contains("aggregate in the query"), "{message}");
    assert_eq!(app.get(&format!("{BASE}/namespaces/a/Queue_Depth")).code, 200);
    drop(slow);
    assert_eq!(app.get(&large).code, 200);
}
