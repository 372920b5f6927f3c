//! Servers that fail, hang and come back; one and two of them.

use std::path::PathBuf;

use futures_util::future::join_all;
use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio::task::{JoinHandle, JoinSet};

use super::*;
use crate::backend::breaker::FAILURES_TO_OPEN;
use crate::backend::call::CALLS_MAX;
use crate::testkit::Request;
use crate::testkit::http::reply;

/// As it is in a URL.
const PROBE: &str = "vector%281%29";

fn answering() -> Server {
    Server::plain(Play::json(200, ANSWER))
}

/// Ends every connection without a word.
fn dead() -> Play {
    Play::Cut(Vec::new())
}

fn pair(first: &Server, second: &Server, timeout: Duration) -> Backends {
    let urls = vec![url(&first.url), url(&second.url)];
    backends(Options { urls, timeout, ..options(first) })
}

fn scrape(backends: &Backends) -> String {
    let mut registry = Registry::default();
    backends.register(&mut registry);
    testkit::scrape(&registry)
}

async fn shows(backends: &Backends, line: &str) {
    let shown = async {
        while !scrape(backends).contains(line) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENT, shown).await;
    assert!(in_time.is_ok(), "{line} not in\n{}", scrape(backends));
}

/// How often a server was asked this.
fn asked(server: &Server, promql: &str) -> usize {
    let query = format!("query={promql}&");
    server.requests().iter().filter(|request| request.line.contains(&query)).count()
}

/// Waits until a server was asked this so often.
async fn arrived(server: &Server, promql: &str, times: usize) {
    let arrived = async {
        while asked(server, promql) < times {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENT, arrived).await;
    assert!(in_time.is_ok(), "{times} times {promql} not in {:?}", server.requests());
}

/// Puts a query and does not wait for it.
fn begin(backends: &Arc<Backends>, promql: &'static str) -> JoinHandle<Result<Reading, QueryError>> {
    let backends = Arc::clone(backends);
    tokio::spawn(async move { query(&backends, promql).await })
}

/// A file with this token, in a folder that lives as long as its value, and a backend that shows it.
fn with_token(token: &str, options: Options) -> (TempDir, PathBuf, Backends) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, token).unwrap();
    let backends = backends(Options { auth: Auth::Bearer(path.clone().into()), ..options });
    (dir, path, backends)
}

/// The bearer tokens that a server was shown.
fn tokens(server: &Server) -> Vec<String> {
    let shown =
        |request: &Request| Some(request.header("authorization")?.strip_prefix("Bearer ")?.to_owned());
    server.requests().iter().filter_map(shown).collect()
}

/// Answers requests with this token and refuses others.
fn only_with(token: &str) -> impl Fn(&Request) -> Play + use<> {
    let expected = format!("Bearer {token}");
    move |request| match request.header("authorization") {
        Some(shown) if shown == expected => Play::json(200, ANSWER),
        _ => Play::Raw(reply("401 Unauthorized", b"", "")),
    }
}

async fn open(backends: &Backends) {
    for _ in 0..FAILURES_TO_OPEN {
        assert!(matches!(query(backends, "up").await, Err(QueryError::Unavailable { .. })));
    }
}

#[tokio::test]
async fn a_server_that_failed_several_times_is_not_asked_and_the_answer_comes_at_once() {
    let server = Server::plain(dead());
    let backends = backends(options(&server));
    open(&backends).await;
    let mut fastest = PATIENT;
    for _ in 0..20 {
        let began = std::time::Instant::now();
        let error = query(&backends, "up").await.unwrap_err();
        fastest = fastest.min(began.elapsed());
        assert!(matches!(error, QueryError::BreakerOpen { .. }), "{error:?}");
        assert!(error.to_string().starts_with("prometheus is not reachable; "), "{error}");
    }
    assert!(fastest < Duration::from_millis(5), "{fastest:?}");
    // Each was sent once more, as the connection had ended.
    assert_eq!(asked(&server, "up"), 2 * FAILURES_TO_OPEN as usize);
}

#[tokio::test]
async fn a_server_that_is_back_is_found_without_anybody_reading() {
    let server = Server::plain(dead());
    let backends = backends(options(&server));
    open(&backends).await;
    shows(&backends, "breaker_open{backend=\"default\"} 1").await;
    server.play(Play::json(200, ANSWER));
    shows(&backends, "breaker_open{backend=\"default\"} 0").await;
    assert!(server.last().line.contains(PROBE), "{}", server.last().line);
    assert_value(query(&backends, "up").await, 42.0);
}

#[tokio::test]
async fn who_waits_for_a_server_that_is_found_to_be_down_waits_no_longer() {
    let server = Server::plain(Play::Hang);
    let backends = Arc::new(backends(options(&server)));
    let waiting = begin(&backends, "slow");
    arrived(&server, "slow", 1).await;
    server.play(dead());
    open(&backends).await;
    let ended = tokio::time::timeout(PATIENT / 2, waiting).await.expect("it waits on").unwrap();
    assert!(matches!(ended, Err(QueryError::BreakerOpen { .. })), "{ended:?}");
}

#[tokio::test]
async fn a_server_that_refuses_queries_is_not_down() {
    let refusal = reply("400 Bad Request", br#"{"status":"error","errorType":"bad_data","error":"x"}"#, "");
    let server = Server::plain(Play::Raw(refusal));
    let backends = backends(options(&server));
    for _ in 0..3 * FAILURES_TO_OPEN {
        assert!(matches!(query(&backends, "up").await, Err(QueryError::Refused { .. })));
    }
}

#[tokio::test]
async fn shutdown_ends_the_probes() {
    let server = Server::plain(dead());
    let backends = backends(options(&server));
    open(&backends).await;
    tokio::time::timeout(PATIENT, backends.shutdown()).await.unwrap();
}

#[tokio::test]
async fn the_other_server_of_a_pair_answers_and_is_asked_from_then_on() {
    let (first, second) = (Server::plain(dead()), answering());
    let backends = pair(&first, &second, PATIENT);
    for _ in 0..3 {
        assert_value(query(&backends, "up").await, 42.0);
    }
    // One try and reqwest's own second one on a connection that was closed before it was used, at most.
    assert!(first.requests().len() <= 2, "{:?}", first.requests());
    assert_eq!(second.requests().len(), 3);
    first.play(Play::json(200, ANSWER));
    second.play(Play::json(200, "<html>"));
    assert_value(query(&backends, "up").await, 42.0);
    assert_value(query(&backends, "up").await, 42.0);
    assert_eq!(second.requests().len(), 4, "garbage leads back to the first");
}

#[tokio::test]
async fn a_cut_connection_does_not_lead_to_a_server_that_is_down() {
    let (first, second) = (Server::plain(dead()), Server::plain(dead()));
    let backends = pair(&first, &second, PATIENT);
    open(&backends).await;
    first.play(Play::json(200, ANSWER));
    shows(&backends, "urls_down{backend=\"default\"} 1").await;
    assert_value(query(&backends, "up").await, 42.0);
    first.play(dead());
    assert!(query(&backends, "up").await.is_err(), "there is no other to answer");
    first.play(Play::json(200, ANSWER));
    assert_value(query(&backends, "up").await, 42.0);
    second.play(Play::json(200, ANSWER));
    shows(&backends, "urls_down{backend=\"default\"} 0").await;
    assert_value(query(&backends, "later").await, 42.0);
    assert_eq!(asked(&second, "later"), 0, "the first answered all the time since");
}

#[tokio::test]
async fn a_query_that_no_server_answers_leads_no_others_away() {
    let (first, second) = (Server::plain(Play::Hang), Server::plain(Play::Hang));
    let backends = Arc::new(pair(&first, &second, Duration::from_secs(2)));
    let slow = begin(&backends, "slow");
    arrived(&second, "slow", 1).await;
    for server in [&first, &second] {
        server.play(Play::json(200, ANSWER));
    }
    assert_value(query(&backends, "fast").await, 42.0);
    assert_eq!((asked(&first, "fast"), asked(&second, "fast")), (1, 0));
    assert!(matches!(slow.await.unwrap(), Err(QueryError::TimedOut(_))));
    assert_value(query(&backends, "fast").await, 42.0);
    assert_eq!((asked(&first, "fast"), asked(&second, "fast")), (2, 0));
}

/// Puts as many slow queries as open a breaker to a pair of which the first server answers another one meanwhile.
async fn slow_among_others(
    backends: &Arc<Backends>,
    first: &Server,
) -> Vec<JoinHandle<Result<Reading, QueryError>>> {
    let times = FAILURES_TO_OPEN as usize;
    let slow = (0..times).map(|_| begin(backends, "slow")).collect();
    arrived(first, "slow", times).await;
    first.play(Play::json(200, ANSWER));
    assert_value(query(backends, "fast").await, 42.0);
    slow
}

#[tokio::test]
async fn slow_queries_among_others_do_not_count_on_the_other_server_either() {
    let (first, second) = (Server::plain(Play::Hang), Server::plain(Play::Hang));
    let backends = Arc::new(pair(&first, &second, Duration::from_secs(2)));
    for slow in slow_among_others(&backends, &first).await {
        assert!(matches!(slow.await.unwrap(), Err(QueryError::TimedOut(_))));
    }
    assert_eq!((asked(&second, "slow"), asked(&second, PROBE)), (3, 0));
    assert!(scrape(&backends).contains("urls_down{backend=\"default\"} 0"), "{}", scrape(&backends));
}

#[tokio::test]
async fn slow_queries_that_the_other_server_answers_lead_no_others_there() {
    let (first, second) = (Server::plain(Play::Hang), answering());
    let backends = Arc::new(pair(&first, &second, Duration::from_secs(2)));
    for slow in slow_among_others(&backends, &first).await {
        assert_value(slow.await.unwrap(), 42.0);
    }
    assert_value(query(&backends, "fast").await, 42.0);
    assert_eq!(asked(&second, "fast"), 0, "the first answers it");
}

#[tokio::test]
async fn a_slow_rule_leaves_permits_to_others() {
    let server = Server::plain(Play::Hang);
    let backends = Arc::new(backends(options(&server)));
    let rule = Arc::new(());
    let slow: Vec<_> = (0..CALLS_MAX)
        .map(|_| {
            let (backends, rule) = (Arc::clone(&backends), Arc::clone(&rule));
            tokio::spawn(async move { query_for(&rule, &backends, "slow").await })
        })
        .collect();
    shows(&backends, "queries_in_flight{backend=\"default\"} 10").await;
    arrived(&server, "slow", CALLS_MAX / 2).await;
    server.play(Play::json(200, ANSWER));
    assert_value(query(&backends, "fast").await, 42.0);
    assert_eq!(asked(&server, "slow"), CALLS_MAX / 2, "the others still wait");
    for slow in slow {
        slow.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ever_new_queries_in_one_namespace_leave_permits_to_reads_of_another() {
    let server = Server::plain(Play::json(200, ANSWER).after(Duration::from_millis(50)));
    let backends = Arc::new(backends(options(&server)));
    let rule = Arc::new(());
    let of = |namespace: &str| Owner::new(&rule).in_namespace(namespace);
    let (many, few) = (of("many"), of("few"));
    let mut flood = JoinSet::new();
    for number in 0..100 {
        let backends = Arc::clone(&backends);
        flood.spawn(async move {
            for round in 0.. {
                let _ = backends.query(testkit::query(&format!("flood_{number}_{round}")), many).await;
            }
        });
    }
    shows(&backends, "queries_in_flight{backend=\"default\"} 100").await;
    for _ in 0..10 {
        let began = std::time::Instant::now();
        // Others come after it, and the last to come of one key is served first.
        assert_value(backends.query(testkit::query("few"), few).await, 42.0);
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
    flood.shutdown().await;
}

#[tokio::test]
async fn a_server_that_hangs_leaves_the_other_half_of_the_time() {
    let (first, second) = (Server::plain(Play::Hang), answering());
    let backends = pair(&first, &second, Duration::from_secs(2));
    let began = std::time::Instant::now();
    assert_value(query(&backends, "up").await, 42.0);
    assert!((1000..2000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    assert!(first.last().line.contains("timeout=1000ms"), "{}", first.last().line);
    assert_value(query(&backends, "up").await, 42.0);
    assert_eq!(first.requests().len(), 1);
    assert!(second.last().line.contains("timeout=1000ms"), "half for each while both may answer");
}

#[tokio::test]
async fn a_query_at_fault_is_not_put_to_the_other_server() {
    let error = br#"{"status":"error","errorType":"bad_data","error":"x"}"#;
    for refusal in [
        reply("422 Unprocessable Entity", b"", ""),
        reply("400 Bad Request", b"", ""),
        reply("404 Not Found", error, ""),
        reply("200 OK", error, ""),
    ] {
        let (first, second) = (Server::plain(Play::Raw(refusal)), answering());
        let backends = pair(&first, &second, PATIENT);
        assert!(matches!(query(&backends, "up").await, Err(QueryError::Refused { .. })));
        assert!(second.requests().is_empty());
    }
}

/// What a gateway says before Prometheus has seen the query.
fn refusal(status: &str) -> Play {
    Play::Raw(reply(status, br#"{"status":"error","message":"no"}"#, ""))
}

#[tokio::test]
async fn what_a_gateway_refuses_is_put_to_the_other_server_and_queries_stay_there() {
    for status in
        ["401 Unauthorized", "403 Forbidden", "404 Not Found", "302 Found", "405 Method Not Allowed"]
    {
        let (first, second) = (Server::plain(refusal(status)), answering());
        let backends = pair(&first, &second, PATIENT);
        for _ in 0..2 {
            assert_value(query(&backends, "up").await, 42.0);
        }
        assert_eq!((first.requests().len(), second.requests().len()), (1, 2), "{status}");
    }
}

#[tokio::test]
async fn a_pair_behind_gateways_that_refuse_is_asked_and_not_probed() {
    let (first, second) = (Server::plain(refusal("403 Forbidden")), Server::plain(refusal("404 Not Found")));
    let backends = pair(&first, &second, PATIENT);
    let times = 3 * FAILURES_TO_OPEN as usize;
    for _ in 0..times {
        let error = query(&backends, "up").await.unwrap_err();
        assert!(matches!(error, QueryError::Refused { .. }), "{error:?}");
        assert!(error.detail().starts_with("403 Forbidden"), "{error:?}");
    }
    assert_eq!((asked(&first, "up"), asked(&second, "up")), (times, times));
    assert_eq!((first.requests().len(), second.requests().len()), (times, times), "no probes");
}

#[tokio::test]
async fn a_refusal_is_told_though_the_other_server_fails() {
    let (first, second) = (Server::plain(refusal("401 Unauthorized")), Server::plain(dead()));
    let backends = pair(&first, &second, PATIENT);
    for _ in 0..2 * FAILURES_TO_OPEN {
        assert!(matches!(query(&backends, "up").await, Err(QueryError::Refused { .. })));
    }
    assert!(scrape(&backends).contains("urls_down{backend=\"default\"} 1"), "{}", scrape(&backends));
}

#[tokio::test]
async fn a_probe_that_a_gateway_refuses_lets_queries_show_what_they_get() {
    let server = Server::plain(dead());
    let backends = backends(options(&server));
    open(&backends).await;
    server.play(refusal("404 Not Found"));
    shows(&backends, "breaker_open{backend=\"default\"} 0").await;
    assert!(matches!(query(&backends, "up").await, Err(QueryError::Refused { .. })));
    server.play(Play::json(200, ANSWER));
    assert_value(query(&backends, "up").await, 42.0);
}

#[tokio::test]
async fn a_pair_is_given_up_when_both_are_down() {
    let (first, second) = (Server::plain(dead()), answering());
    let backends = pair(&first, &second, PATIENT);
    assert_value(query(&backends, "up").await, 42.0);
    second.play(dead());
    let down =
        async { while !matches!(query(&backends, "up").await, Err(QueryError::BreakerOpen { .. })) {} };
    tokio::time::timeout(PATIENT, down).await.unwrap();
    assert!(scrape(&backends).contains("urls_down{backend=\"default\"} 2"), "{}", scrape(&backends));
    second.play(Play::json(200, ANSWER));
    shows(&backends, "breaker_open{backend=\"default\"} 0").await;
    assert_value(query(&backends, "up").await, 42.0);
}

#[tokio::test]
async fn a_token_that_is_refused_is_read_again_at_once_but_not_each_time() {
    let server = Server::plain(Play::Raw(reply("401 Unauthorized", b"", "")));
    let (_dir, path, backends) = with_token("old", options(&server));
    std::fs::write(&path, "new").unwrap();
    assert!(matches!(query(&backends, "up").await, Err(QueryError::Refused { .. })));
    std::fs::write(&path, "newer").unwrap();
    assert!(matches!(query(&backends, "up").await, Err(QueryError::Refused { .. })));
    assert_eq!(tokens(&server), ["old", "new", "old", "new"], "new until it has settled, newer not yet");
}

#[tokio::test]
async fn a_token_that_is_new_when_the_old_one_is_refused_is_used_by_every_query() {
    let server = Server::start(only_with("new"));
    let (_dir, path, backends) = with_token("old", options(&server));
    std::fs::write(&path, "new").unwrap();
    files_become_due().await;
    for result in join_all((0..8).map(|_| query(&backends, "up"))).await {
        assert_value(result, 42.0);
    }
    jump(DEBOUNCE).await;
    let before = server.requests().len();
    assert_value(query(&backends, "up").await, 42.0);
    assert_eq!(server.requests().len(), before + 1, "settled, so it is the one tried first");
}

#[tokio::test]
async fn a_token_that_is_being_written_is_tried_when_another_is_refused_but_not_kept() {
    let server = Server::plain(refusal("403 Forbidden"));
    let (_dir, path, backends) = with_token("old", options(&server));
    std::fs::write(&path, "ne").unwrap();
    assert!(matches!(query(&backends, "forbidden").await, Err(QueryError::Refused { .. })));
    server.script(only_with("old"));
    assert_value(query(&backends, "up").await, 42.0);
    std::fs::write(&path, "new").unwrap();
    jump(DEBOUNCE).await;
    assert_value(query(&backends, "up").await, 42.0);
    assert_eq!(tokens(&server), ["old", "ne", "old", "old"]);
}

#[tokio::test]
async fn a_pair_is_asked_with_a_token_read_again_before_the_other_server_is() {
    let (first, second) = (Server::plain(refusal("401 Unauthorized")), answering());
    let urls = vec![url(&first.url), url(&second.url)];
    let (_dir, path, backends) = with_token("old", Options { urls, ..options(&first) });
    std::fs::write(&path, "new").unwrap();
    assert_value(query(&backends, "up").await, 42.0);
    assert_eq!(tokens(&first), ["old", "new"]);
    assert_eq!(tokens(&second), ["old"], "which takes any");
}

#[tokio::test]
async fn queries_are_counted_by_backend_and_a_backend_that_is_gone_has_no_series() {
    let server = answering();
    let backends = backends(options(&server));
    assert_value(query(&backends, "up").await, 42.0);
    server.play(Play::json(200, ANSWER.replacen('{', r#"{"warnings":["away","PromQL warning: w"],"#, 1)));
    assert_value(query(&backends, "up").await, 42.0);
    let text = scrape(&backends);
    for line in [
        "metrics_apiserver_backend_queries_total{backend=\"default\",outcome=\"success\"} 2",
        "metrics_apiserver_backend_queries_total{backend=\"default\",outcome=\"breaker_open\"} 0",
        "metrics_apiserver_backend_annotations_total{backend=\"default\",kind=\"partial\"} 1",
        "metrics_apiserver_backend_annotations_total{backend=\"default\",kind=\"warning\"} 1",
        "metrics_apiserver_backend_query_duration_seconds_count{backend=\"default\"} 2",
        "metrics_apiserver_backend_queries_in_flight{backend=\"default\"} 0",
        "metrics_apiserver_backend_breaker_open{backend=\"default\"} 0",
        "metrics_apiserver_backend_urls_down{backend=\"default\"} 0",
    ] {
        assert!(text.contains(line), "{line} not in\n{text}");
    }
    let changed = Options { timeout: PATIENT * 2, ..options(&server) };
    backends.replace(vec![(BackendName("default".into()), changed)]).unwrap();
    assert!(
        scrape(&backends).contains("outcome=\"success\"} 2"),
        "a changed backend goes on with its counts"
    );
    backends.replace(Vec::new()).unwrap();
    assert!(!scrape(&backends).contains("metrics_apiserver_backend"), "{}", scrape(&backends));
}

#[tokio::test]
async fn a_probe_is_sent_on_a_new_connection() {
    let server = answering();
    let timeout = Duration::from_millis(500);
    let backends = backends(Options { timeout, ..options(&server) });
    let at_once = || join_all((0..CALLS_MAX).map(|_| query(&backends, "up")));
    at_once().await;
    let connections = server.requests().iter().map(|request| request.connection).max().unwrap() + 1;
    assert!(connections > FAILURES_TO_OPEN as usize, "{connections} connections");
    // The network has silently lost them.
    server.script(
        move |request| {
            if request.connection < connections { Play::Hang } else { Play::json(200, ANSWER) }
        },
    );
    for _ in 0..FAILURES_TO_OPEN {
        assert_eq!(query(&backends, "up").await.unwrap_err(), QueryError::TimedOut(timeout));
    }
    shows(&backends, "breaker_open{backend=\"default\"} 0").await;
    assert_eq!(asked(&server, PROBE), 1);
    assert_value(query(&backends, "up").await, 42.0);
}
