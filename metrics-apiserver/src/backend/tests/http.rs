//! Requests as they arrive, and answers of every kind.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use super::*;
use crate::backend::call::CALLS_MAX;
use crate::backend::{FileOrData, Method, NamespacedText, Secret};
use crate::testkit::http::{ok, reply};

fn json(text: &str) -> Play {
    Play::json(200, text)
}

/// What a client with `timeout` makes of `play`.
async fn outcome(play: Play, timeout: Duration) -> Result<Reading, QueryError> {
    let server = Server::plain(play);
    query(&backends(Options { timeout, ..options(&server) }), "up").await
}

async fn failure(play: Play) -> QueryError {
    outcome(play, PATIENT).await.unwrap_err()
}

#[tokio::test]
async fn a_short_query_is_a_get_with_its_timeout() {
    let server = Server::plain(json(ANSWER));
    let options = Options { urls: vec![url(&format!("{}/prefix/", server.url))], ..options(&server) };
    assert_value(query(&backends(options), "sum(up) + 1").await, 42.0);
    let request = server.last();
    assert_eq!(request.line, "GET /prefix/api/v1/query?query=sum%28up%29+%2B+1&timeout=30000ms HTTP/1.1");
    assert_eq!(request.header("user-agent"), Some(concat!("metrics-apiserver/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    assert_eq!(request.header("authorization"), None);
}

#[tokio::test]
async fn the_method_can_be_chosen() {
    let server = Server::plain(json(ANSWER));
    for (method, name, is_form) in [(Method::Post, "POST", true), (Method::Get, "GET", false)] {
        let options = Options { method, ..options(&server) };
        assert_value(query(&backends(options), &"up+".repeat(1000)).await, 42.0);
        let request = server.last();
        assert!(request.line.starts_with(&format!("{name} /api/v1/query")), "{}", request.line);
        assert_eq!(request.line.contains('?'), !is_form);
        assert_eq!(request.header("content-type").is_some(), is_form);
    }
    let short = Options { method: Method::Post, ..options(&server) };
    assert_value(query(&backends(short), "up").await, 42.0);
    assert_eq!(server.last().line, "POST /api/v1/query HTTP/1.1");
}

#[tokio::test]
async fn credentials_may_be_data() {
    let server = Server::plain(json(ANSWER));
    let data = |text: &str| FileOrData::Data(Secret(text.into()));
    let basic = |password| Auth::Basic { username: "ali".to_owned(), password: data(password) };
    for (auth, sent) in [
        (Auth::Bearer(data("t0ken")), "Bearer t0ken"),
        (basic("open sesame"), "Basic YWxpOm9wZW4gc2VzYW1l"),
        (basic(""), "Basic YWxpOg=="),
    ] {
        let options = Options { auth, ..options(&server) };
        assert!(!format!("{options:?}").contains("t0ken"));
        assert_value(query(&backends(options), "up").await, 42.0);
        assert_eq!(server.last().header("authorization"), Some(sent));
    }
}

#[tokio::test]
async fn a_long_query_is_a_form() {
    let server = Server::plain(json(ANSWER));
    assert_value(query(&backends(options(&server)), &"up+".repeat(1000)).await, 42.0);
    let request = server.last();
    assert_eq!(request.line, "POST /api/v1/query HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.body, format!("query={}&timeout=30000ms", "up%2B".repeat(1000)).into_bytes());
}

#[tokio::test]
async fn connections_are_reused() {
    let server = Server::plain(json(ANSWER));
    let backends = backends(options(&server));
    for _ in 0..3 {
        assert_value(query(&backends, "up").await, 42.0);
    }
    assert!(server.requests().iter().all(|request| request.connection == 0));
}

#[tokio::test]
async fn a_query_whose_connection_ends_before_an_answer_is_sent_once_more() {
    let server = Server::plain(json(ANSWER));
    let backends = backends(options(&server));
    assert_value(query(&backends, "up").await, 42.0);
    for promql in ["up".to_owned(), "up+".repeat(1000)] {
        let tries = AtomicUsize::new(0);
        server.script(move |_| match tries.fetch_add(1, Ordering::SeqCst) {
            0 => Play::Cut(Vec::new()),
            _ => json(ANSWER),
        });
        assert_value(query(&backends, &promql).await, 42.0);
    }
    let before = server.requests().len();
    server.play(Play::Cut(Vec::new()));
    assert!(matches!(query(&backends, "up").await, Err(QueryError::Unavailable { .. })));
    assert_eq!(server.requests().len(), before + 2, "and not more often");
}

#[tokio::test]
async fn a_backend_that_recovers_is_asked_again() {
    let server = Server::plain(Play::Cut(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_vec()));
    let backends = backends(options(&server));
    assert!(matches!(query(&backends, "up").await, Err(QueryError::Malformed { .. })));
    server.play(json(ANSWER));
    assert_value(query(&backends, "up").await, 42.0);
}

#[tokio::test]
async fn an_answer_that_is_not_whole_says_so() {
    let partial = ANSWER.replacen('{', r#"{"warnings":["store 10.0.0.1 is away"],"#, 1);
    let fetched = outcome(json(&partial), PATIENT).await.unwrap();
    assert_eq!((fetched.samples.len(), fetched.partial.as_deref()), (1, Some("store 10.0.0.1 is away")));
    assert_eq!(outcome(json(ANSWER), PATIENT).await.unwrap().partial, None);
}

#[tokio::test]
async fn giant_answers_that_do_not_end_leave_room_for_smaller_ones_and_those_of_other_servers() {
    let padded = |bytes: usize| ANSWER.to_owned() + &" ".repeat(bytes);
    let giant = padded(2 << 20);
    let begun = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{giant}", giant.len() + 1);
    let (endless, other) = (Server::plain(Play::Raw(begun.into_bytes())), Server::plain(json(&giant)));
    let backend = |name: &str, server| (BackendName(name.into()), options(server));
    let backends = Backends::build(vec![backend("endless", &endless), backend("other", &other)]).unwrap();
    let ask = |backend: &str, promql: &str| {
        let query = Query::new(BackendName(backend.into()), promql);
        backends.query(query, Owner::new(&Arc::new(())))
    };
    let waiting: Vec<_> = ["a", "b", "c"].map(|promql| tokio::spawn(ask("endless", promql))).into();
    let all_came = async {
        while endless.requests().len() < waiting.len() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENT, all_came).await.unwrap();
    assert_value(ask("other", "up").await, 42.0);
    endless.play(json(&padded(300 << 10)));
    assert_value(ask("endless", "up").await, 42.0);
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_compressed_answer_is_read() {
    // Made by `gzip` from ANSWER.
    const GZIP: [u8; 103] = [
        31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 37, 202, 49, 10, 128, 48, 12, 70, 225, 187, 252, 115, 17, 20, 93,
        122, 14, 183, 210, 33, 212, 12, 66, 69, 105, 210, 130, 148, 220, 221, 130, 235, 251, 94, 135, 40,
        105, 21, 120, 72, 77, 137, 69, 224, 112, 144, 18, 124, 71, 97, 169, 89, 247, 247, 225, 193, 141, 147,
        222, 101, 232, 95, 225, 67, 199, 197, 90, 206, 52, 86, 115, 104, 148, 235, 248, 194, 60, 109, 14,
        235, 130, 104, 209, 236, 3, 12, 34, 142, 60, 95, 0, 0, 0,
    ];
    let whole = Play::Raw(ok(&GZIP, "Content-Encoding: gzip\r\n"));
    assert_value(outcome(whole, PATIENT).await, 42.0);
    let half = Play::Raw(ok(&GZIP[..60], "Content-Encoding: gzip\r\n"));
    assert!(matches!(failure(half).await, QueryError::Malformed { .. }));
}

#[tokio::test]
async fn a_slow_backend_times_out() {
    let timeout = Duration::from_millis(50);
    assert_eq!(outcome(Play::Hang, timeout).await, Err(QueryError::TimedOut(timeout)));
    let half = Play::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"status\":".to_vec());
    assert_eq!(
        outcome(half, timeout).await,
        Err(QueryError::TimedOut(timeout)),
        "also in the middle of the body"
    );
}

#[tokio::test]
async fn a_query_beyond_the_limit_waits_for_a_permit() {
    let server = Server::plain(Play::Hang);
    let backends = Arc::new(backends(options(&server)));
    let mut slow = tokio::task::JoinSet::new();
    for _ in 0..CALLS_MAX {
        let backends = Arc::clone(&backends);
        slow.spawn(async move { query(&backends, "slow").await });
    }
    let all_sent = async {
        while server.requests().len() < CALLS_MAX {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENT, all_sent).await.unwrap();
    server.play(json(ANSWER));
    let mut next = Box::pin(query(&backends, "next"));
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut next).await.is_err());
    assert_eq!(server.requests().len(), CALLS_MAX);
    slow.abort_all();
    assert_value(next.await, 42.0);
}

#[tokio::test]
async fn an_answer_cut_off_is_malformed() {
    let whole = ok(ANSWER.as_bytes(), "");
    let cut = Play::Cut(whole[..whole.len() - 10].to_vec());
    assert!(matches!(failure(cut).await, QueryError::Malformed { .. }));
    let without_length = [b"HTTP/1.1 200 OK\r\n\r\n", &ANSWER.as_bytes()[..50]].concat();
    assert!(matches!(failure(Play::Cut(without_length)).await, QueryError::Malformed { .. }));
}

#[tokio::test]
async fn what_is_no_prometheus_answer_is_malformed() {
    for body in ["", "<html>It works!</html>", "[]", "{}", "null", "\u{feff}{}", "{\"status\":1}"] {
        assert!(matches!(failure(json(body)).await, QueryError::Malformed { .. }), "{body:?}");
    }
    let empty = Play::Raw(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec());
    assert!(matches!(failure(empty).await, QueryError::Malformed { .. }));
}

#[tokio::test]
async fn what_is_no_http_is_unavailable() {
    for bytes in [&b""[..], b"SSH-2.0-OpenSSH_9.9\r\n"] {
        assert!(matches!(failure(Play::Cut(bytes.to_vec())).await, QueryError::Unavailable { .. }));
    }
}

#[tokio::test]
async fn a_huge_answer_is_given_up() {
    let limit = QueryError::TooMuch { limit: "16 MiB" };
    assert_eq!(failure(json(&" ".repeat(17 << 20))).await, limit);
    let bomb = ok(&gzip_bomb(64 << 20), "Content-Encoding: gzip\r\n");
    assert!(bomb.len() < 1 << 20);
    assert_eq!(failure(Play::Raw(bomb)).await, limit, "also if it only becomes huge when decompressed");
    let series: Vec<&str> = vec![r#"{"metric":{},"value":[1,"1"]}"#; 10_001];
    let many = ANSWER.replace(r#"{"metric":{},"value":[1.5,"42"]}"#, &series.join(","));
    assert_eq!(failure(json(&many)).await, QueryError::TooMuch { limit: "10000 series" });
}

#[tokio::test]
async fn failures_are_told_apart() {
    let error = |kind: &str| format!(r#"{{"status":"error","errorType":"{kind}","error":"no such thing"}}"#);
    let check = |status: &'static str, body: String| failure(Play::Raw(reply(status, body.as_bytes(), "")));
    let refused = check("400 Bad Request", error("bad_data")).await;
    assert_eq!(refused.detail(), "400 Bad Request: bad_data: no such thing");
    assert!(matches!(refused, QueryError::Refused { .. }));
    let refused = [
        ("422 Unprocessable Entity", error("execution")),
        ("404 Not Found", "404 page not found".to_owned()),
        ("401 Unauthorized", String::new()),
        ("200 OK", error("execution")),
    ];
    for (status, body) in refused {
        assert!(matches!(check(status, body).await, QueryError::Refused { .. }), "{status}");
    }
    let unavailable = [
        ("503 Service Unavailable", error("unavailable")),
        ("503 Service Unavailable", error("canceled")),
        ("502 Bad Gateway", "<html>".to_owned()),
        ("500 Internal Server Error", error("internal")),
        ("429 Too Many Requests", String::new()),
    ];
    for (status, body) in unavailable {
        assert!(matches!(check(status, body).await, QueryError::Unavailable { .. }), "{status}");
    }
    assert_eq!(check("503 Service Unavailable", error("timeout")).await, QueryError::TimedOut(PATIENT));
}

#[tokio::test]
async fn a_backend_that_is_not_there_is_unavailable_and_its_address_stays_with_us() {
    let options = options(&Server::plain(Play::Hang));
    let error = query(&backends(options), "secret_metric").await.unwrap_err();
    assert!(matches!(error, QueryError::Unavailable { .. }));
    assert!(!error.detail().contains("secret_metric"), "{error:?}");
    assert_eq!(error.to_string(), "prometheus is not reachable");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::plain(json(ANSWER));
    let location = format!("Location: {}/api/v1/query\r\n", elsewhere.url);
    let error = failure(Play::Raw(reply("302 Found", b"", &location))).await;
    assert!(
        matches!(&error, QueryError::Refused { detail } if detail.contains("redirects are not followed"))
    );
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn headers_and_basic_auth_arrive() {
    let server = Server::plain(json(ANSWER));
    let dir = TempDir::new().unwrap();
    let password_file = dir.path().join("password");
    std::fs::write(&password_file, "open sesame \n").unwrap();
    let options = Options {
        headers: vec![("X-Scope-OrgID".to_owned(), NamespacedText::literal("tenant-1"))],
        auth: Auth::Basic { username: "ali".to_owned(), password: password_file.into() },
        ..options(&server)
    };
    assert!(!format!("{options:?}").contains("tenant-1"), "headers may be secrets");
    assert_value(query(&backends(options), "up").await, 42.0);
    let request = server.last();
    assert_eq!(request.header("x-scope-orgid"), Some("tenant-1"));
    assert_eq!(request.header("authorization"), Some("Basic YWxpOm9wZW4gc2VzYW1lIA=="));
}

#[tokio::test]
async fn a_replaced_token_is_used_and_a_broken_one_is_not() {
    let server = Server::plain(json(ANSWER));
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "first\n").unwrap();
    let backends = backends(Options { auth: Auth::Bearer(path.clone().into()), ..options(&server) });
    let mut expected = Vec::new();
    for (content, token) in [
        ("first\n", "first"),
        ("sec", "first"),
        ("second", "first"),
        ("second", "second"),
        ("", "second"),
        ("", "second"),
        ("a\0b", "second"),
        ("a\0b", "second"),
    ] {
        std::fs::write(&path, content).unwrap();
        files_become_due().await;
        assert_value(query(&backends, "up").await, 42.0);
        expected.push(format!("Bearer {token}"));
    }
    std::fs::remove_file(&path).unwrap();
    files_become_due().await;
    assert_value(query(&backends, "up").await, 42.0);
    expected.push("Bearer second".to_owned());
    let requests = server.requests();
    let sent: Vec<&str> = requests.iter().filter_map(|request| request.header("authorization")).collect();
    assert_eq!(sent, expected);
    assert!(requests.iter().all(|request| request.connection == 0), "a new token needs no new connection");
}

#[tokio::test]
async fn a_file_that_is_of_no_use_does_not_keep_the_others_away() {
    let server = Server::plain(json(ANSWER));
    let dir = TempDir::new().unwrap();
    let (token, ca) = (dir.path().join("token"), dir.path().join("ca.crt"));
    std::fs::write(&token, "first").unwrap();
    std::fs::write(&ca, testkit::Ca::new("backend").pem()).unwrap();
    let (auth, trusted) = (Auth::Bearer(token.clone().into()), Some(ca.clone().into()));
    let backends = backends(Options { auth, ca: trusted, ..options(&server) });
    for (number, damage) in [Some("no certificate"), None].into_iter().enumerate() {
        match damage {
            Some(text) => std::fs::write(&ca, text).unwrap(),
            None => std::fs::remove_file(&ca).unwrap(),
        }
        std::fs::write(&token, format!("next-{number}")).unwrap();
        files_settle(&backends).await;
        assert_value(query(&backends, "up").await, 42.0);
        assert_eq!(server.last().header("authorization"), Some(&*format!("Bearer next-{number}")));
    }
}

#[tokio::test]
async fn a_replacement_keeps_what_is_the_same_and_drops_what_is_gone() {
    let (kept, other) = (Server::plain(json(ANSWER)), Server::plain(json(ANSWER)));
    let name = |name: &str| BackendName(name.into());
    let backends = Backends::build(vec![(name("default"), options(&kept))]).unwrap();
    assert_value(query(&backends, "up").await, 42.0);
    backends.replace(vec![(name("default"), options(&kept)), (name("new"), options(&other))]).unwrap();
    assert_value(query(&backends, "up").await, 42.0);
    assert_eq!(kept.last().connection, 0, "the client of an unchanged backend stays");
    backends.replace(vec![(name("default"), options(&other))]).unwrap();
    assert_value(query(&backends, "up").await, 42.0);
    assert_eq!((kept.requests().len(), other.requests().len()), (2, 1), "a changed one is asked elsewhere");
    backends.replace(Vec::new()).unwrap();
    assert!(matches!(query(&backends, "up").await, Err(QueryError::Unavailable { .. })));
}

#[tokio::test]
async fn a_replacement_that_cannot_work_changes_nothing() {
    let (server, other) = (Server::plain(json(ANSWER)), Server::plain(json(ANSWER)));
    let backends = backends(options(&server));
    let broken = Options { ca: Some(PathBuf::from("/nonexistent/ca.crt").into()), ..options(&other) };
    let names = ["default", "broken"].map(|name| BackendName(name.into()));
    let error = backends.replace(names.into_iter().zip([options(&other), broken]).collect()).unwrap_err();
    assert_eq!(error.to_string(), "backend `broken` cannot be used");
    assert_value(query(&backends, "up").await, 42.0);
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn what_cannot_work_is_refused_at_build() {
    let server = Server::plain(Play::Hang);
    let dir = TempDir::new().unwrap();
    let empty = dir.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    let check = |options: Options, expected: &str| {
        let error = Backends::build(vec![(BackendName("main".into()), options)]).unwrap_err();
        assert_eq!(error.to_string(), "backend `main` cannot be used");
        assert!(error.source.to_string().contains(expected), "{:?} is not {expected:?}", error.source);
    };
    let base = || options(&server);
    check(Options { urls: Vec::new(), ..base() }, "the URL is not accepted");
    check(
        Options { headers: vec![("a b".to_owned(), NamespacedText::literal(""))], ..base() },
        "header `a b`",
    );
    check(Options { auth: Auth::Bearer(dir.path().join("none").into()), ..base() }, "cannot read");
    check(Options { auth: Auth::Bearer(empty.clone().into()), ..base() }, "is empty");
    check(Options { ca: Some(empty.into()), ..base() }, "contains no certificate");
}

/// Spaces, `size` of them, compressed with deflate's fixed codes: one space, then "258 times the byte before".
fn gzip_bomb(size: usize) -> Vec<u8> {
    let mut bytes = vec![31, 139, 8, 0, 0, 0, 0, 0, 0, 3];
    let (mut byte, mut filled) = (0_u8, 0);
    let mut push = |bits: &str| {
        for bit in bits.bytes() {
            byte |= (bit - b'0') << filled;
            filled += 1;
            if filled == 8 {
                bytes.push(byte);
                (byte, filled) = (0, 0);
            }
        }
    };
    push("110"); // the last block; fixed codes
    push("01010000"); // a space
    for _ in 0..size / 258 {
        push("1100010100000"); // length 258, distance 1
    }
    push("0000000"); // the end
    push("0000000");
    bytes
}
