//! What is sent for, and made of, servers that are not quite Prometheus.

use super::*;
use crate::backend::NamespacedText;
use crate::metric::Namespace;
use crate::testkit::Request;
use crate::testkit::http::reply;

fn text(text: &str) -> NamespacedText {
    NamespacedText::parse(text).unwrap()
}

fn parameters(pairs: &[(&str, &str)]) -> Vec<(String, NamespacedText)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect()
}

fn answering() -> Server {
    Server::plain(Play::json(200, ANSWER))
}

async fn query_in(backends: &Backends, namespace: &str, promql: &str) -> Result<Reading, QueryError> {
    let namespace = Namespace::parse(namespace).ok();
    let query = Query { namespace, ..testkit::query(promql) };
    backends.query(query, Owner::new(&Arc::new(()))).await
}

#[tokio::test]
async fn configured_parameters_are_sent_encoded_with_every_query_in_the_url() {
    let server = answering();
    let pairs =
        [("dedup", "true"), ("extra_filters[]", "{env=\"a&b\"}"), ("extra_filters[]", "{x=~\"y|z\"}")];
    let backends = backends(Options { parameters: parameters(&pairs), ..options(&server) });
    assert_value(query(&backends, "up").await, 42.0);
    let own =
        "dedup=true&extra_filters%5B%5D=%7Benv%3D%22a%26b%22%7D&extra_filters%5B%5D=%7Bx%3D%7E%22y%7Cz%22%7D";
    let line = server.last().line;
    assert_eq!(line, format!("GET /api/v1/query?query=up&timeout=30000ms&{own} HTTP/1.1"));
    assert_value(query(&backends, &"up+".repeat(1000)).await, 42.0);
    assert_eq!(server.last().line, format!("POST /api/v1/query?{own} HTTP/1.1"));
    assert!(server.last().body.starts_with(b"query=up%2B"));
}

#[tokio::test]
async fn long_parameters_make_a_query_a_form() {
    let server = answering();
    let backends =
        backends(Options { parameters: parameters(&[("a", &"x".repeat(500))]), ..options(&server) });
    let promql = "u".repeat(1100);
    assert_value(query(&backends, &promql[..900]).await, 42.0);
    assert!(server.last().line.starts_with("GET "));
    assert_value(query(&backends, &promql).await, 42.0);
    assert!(server.last().line.starts_with("POST "));
}

#[tokio::test]
async fn the_namespace_of_a_request_is_sent_in_parameters_and_headers() {
    let server = answering();
    let backends = backends(Options {
        parameters: parameters(&[("namespace", "$namespace")]),
        headers: vec![("X-Scope-OrgID".to_owned(), text("tenant-$namespace"))],
        ..options(&server)
    });
    for namespace in ["shop", "kube-system"] {
        assert_value(query_in(&backends, namespace, "up").await, 42.0);
        let request = server.last();
        assert!(request.line.contains(&format!("&namespace={namespace} ")), "{}", request.line);
        assert_eq!(request.header("x-scope-orgid"), Some(&*format!("tenant-{namespace}")));
    }
}

#[tokio::test]
async fn a_query_for_no_namespace_never_reaches_a_server_that_is_told_it() {
    let server = answering();
    for options in [
        Options { parameters: parameters(&[("namespace", "$namespace")]), ..options(&server) },
        Options { headers: vec![("X-Scope-OrgID".to_owned(), text("$namespace"))], ..options(&server) },
    ] {
        let error = query(&backends(options), "up").await.unwrap_err();
        assert!(matches!(error, QueryError::Unfit { what } if what.contains("needs a namespace")), "{error}");
    }
    assert!(server.requests().is_empty());
}

#[test]
fn another_parameter_is_another_source_of_data() {
    let server = answering();
    let with = |pairs: &[(&str, &str)]| Options { parameters: parameters(pairs), ..options(&server) };
    assert!(!with(&[("dedup", "true")]).has_the_data_of(&options(&server)));
    assert!(with(&[("dedup", "true")]).has_the_data_of(&with(&[("dedup", "true")])));
    assert!(!format!("{:?}", with(&[("key", "hunter2")])).contains("hunter2"), "parameters may be secrets");
}

#[tokio::test]
async fn what_answers_instead_of_prometheus_is_in_the_log_and_never_in_the_message() {
    let html = "<!DOCTYPE html><html><head><title>Sign in</title>";
    let metrics = "# HELP go_goroutines Number of goroutines.\n# TYPE go_goroutines gauge\n";
    for (status, kind, body, detail) in [
        (
            "200 OK",
            "text/html",
            html,
            "200 OK, text/html, \"<!DOCTYPE html><html><head><title>Sign in</title>\"",
        ),
        (
            "404 Not Found",
            "text/plain",
            "404 page not found\n",
            "404 Not Found, text/plain, \"404 page not found\"",
        ),
        ("200 OK", "text/plain; version=0.0.4", metrics, "`url` is an exporter's"),
        ("401 Unauthorized", "text/plain", "no org id\n", "set the header `X-Scope-OrgID`"),
        ("400 Bad Request", "text/plain", "unsupported path requested: \"/api/v1/query\"", "vmagent"),
        ("502 Bad Gateway", "text/html", "<html>bad gateway", "502 Bad Gateway, text/html"),
        ("403 Forbidden", "text/plain", "", "403 Forbidden, text/plain, empty body"),
    ] {
        let server =
            Server::plain(Play::Raw(reply(status, body.as_bytes(), &format!("Content-Type: {kind}\r\n"))));
        let error = query(&backends(options(&server)), "up").await.unwrap_err();
        assert!(error.detail().contains(detail), "{:?} does not contain {detail:?}", error.detail());
        let shown = error.to_string();
        assert!(!body.lines().any(|line| !line.is_empty() && shown.contains(line)), "{shown}");
    }
}

#[tokio::test]
async fn a_server_that_repeats_credentials_does_not_bring_them_into_the_log() {
    let echo = |request: &Request| {
        let told =
            [&request.line, request.header("authorization").unwrap(), request.header("x-key").unwrap()];
        Play::Raw(reply("500 Oops", told.join(" ").as_bytes(), ""))
    };
    let server = Server::start(echo);
    let backends = backends(Options {
        auth: Auth::Bearer(crate::backend::FileOrData::Data(crate::backend::Secret(b"t0ken-t0ken".into()))),
        headers: vec![("X-Key".to_owned(), text("hunter2-$namespace"))],
        parameters: parameters(&[("apikey", "s3cret-s3cret")]),
        ..options(&server)
    });
    let error = query_in(&backends, "shop", "up").await.unwrap_err();
    let detail = error.detail();
    assert!(detail.contains("[redacted]"), "{detail}");
    assert!(!["t0ken", "hunter2", "s3cret"].iter().any(|secret| detail.contains(secret)), "{detail}");
}

/// How often a server was asked what it is.
fn asked(server: &Server) -> usize {
    let is_asked = |request: &&Request| request.line.starts_with("GET /api/v1/status/buildinfo");
    server.requests().iter().filter(is_asked).count()
}

async fn until(what: impl Fn() -> bool) {
    let waiting = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENT, waiting).await.expect("this happens");
}

#[tokio::test]
async fn each_server_is_asked_what_it_is_once_and_again_while_it_does_not_answer() {
    let known = Server::plain(Play::json(200, r#"{"status":"success","data":{"version":"2.24.0"}}"#));
    let (refusing, failing) = (Server::plain(Play::json(404, "")), Server::plain(Play::json(503, "")));
    let urls = [&known, &refusing, &failing].map(|server| url(&server.url)).to_vec();
    let parameters = parameters(&[("namespace", "$namespace"), ("nocache", "1")]);
    let backends = Arc::new(backends(Options { urls, parameters, ..options(&known) }));
    let recognizing = tokio::spawn(Arc::clone(&backends).recognize_engines());
    for round in 1..=3 {
        tokio::task::yield_now().await;
        jump(crate::backend::engine::ROUND).await;
        until(|| asked(&failing) == round).await;
    }
    assert_eq!((asked(&known), asked(&refusing)), (1, 1));
    let line = known.last().line;
    assert_eq!(line, "GET /api/v1/status/buildinfo?nocache=1 HTTP/1.1", "it is of no namespace");
    recognizing.abort();
}
