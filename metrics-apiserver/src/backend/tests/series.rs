//! Lists of series over HTTP.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::*;
use crate::backend::{SeriesQuery, SeriesSummary};
use crate::testkit::http::{ok, reply};

async fn list(backends: &Backends, matchers: &[&str]) -> Result<SeriesSummary, QueryError> {
    list_within(PATIENT, backends, matchers).await
}

async fn list_within(
    timeout: Duration,
    backends: &Backends,
    matchers: &[&str],
) -> Result<SeriesSummary, QueryError> {
    let query = SeriesQuery {
        matchers: matchers.iter().map(|matcher| (*matcher).to_owned()).collect(),
        start: Timestamp::from_millisecond(1_565_786_045_320).unwrap(),
        timeout,
    };
    backends.series(&BackendName("default".into()), &query).await
}

async fn outcome(play: Play) -> Result<SeriesSummary, QueryError> {
    list(&backends(options(&Server::plain(play))), &["up"]).await
}

#[tokio::test]
async fn matchers_and_range_are_sent_and_a_compressed_response_is_asked_for() {
    let body = r#"{"status":"success","data":[{"__name__":"up","job":"a"}],"warnings":["store away"]}"#;
    let server = Server::plain(Play::json(200, body.to_owned()));
    let backends =
        backends(Options { urls: vec![url(&format!("{}/prefix", server.url))], ..options(&server) });
    let summary = list(&backends, &["up", "{a!=\"\"}"]).await.unwrap();
    assert_eq!(summary.partial.as_deref(), Some("store away"));
    let label_names: Vec<_> = summary.metrics["up"].iter().map(|names| names.join(",")).collect();
    assert_eq!(label_names, ["job"]);
    let request = server.last();
    let matchers = "match%5B%5D=up&match%5B%5D=%7Ba%21%3D%22%22%7D";
    let start = "start=1565786045.32";
    assert_eq!(request.line, format!("GET /prefix/api/v1/series?{matchers}&{start} HTTP/1.1"));
    assert_eq!(request.header("accept-encoding"), Some("gzip"));
    list(&backends, &vec!["up"; 200]).await.unwrap();
    assert_eq!(server.last().line, "POST /prefix/api/v1/series HTTP/1.1");
    assert!(server.last().body.starts_with(b"match%5B%5D=up&"));
}

#[tokio::test]
async fn many_series_are_listed_in_many_chunks() {
    let mut body = r#"{"status":"success","data":[{"__name__":"m"}"#.to_owned();
    for number in 0..30_000 {
        write!(body, r#",{{"__name__":"m","pod":"p-{number}","l{}":""}}"#, number % 3).unwrap();
    }
    body.push_str("]}");
    let summary = outcome(Play::json(200, body)).await.unwrap();
    assert_eq!((summary.metrics.len(), summary.metrics["m"].len()), (1, 4));
}

#[tokio::test]
async fn failures_are_told_apart() {
    let error = |kind: &str| format!(r#"{{"status":"error","errorType":"{kind}","error":"no such thing"}}"#);
    let refused = outcome(Play::Raw(reply("400 Bad Request", error("bad_data").as_bytes(), ""))).await;
    assert_eq!(refused.unwrap_err().detail(), "400 Bad Request: bad_data: no such thing");
    let refused = outcome(Play::json(200, error("bad_data"))).await;
    assert!(matches!(refused, Err(QueryError::Refused { .. })), "{refused:?}");
    let unavailable = outcome(Play::Raw(reply("503 Service Unavailable", b"", ""))).await;
    assert!(matches!(unavailable, Err(QueryError::Unavailable { .. })), "{unavailable:?}");
    let malformed = outcome(Play::json(200, "<html>")).await.unwrap_err();
    assert!(matches!(malformed, QueryError::Malformed { .. }), "{malformed:?}");
    let shown = "200 OK, application/json, \"<html>\"; this is an HTML page";
    assert!(malformed.detail().starts_with(shown), "{malformed:?}");
    let whole = ok(br#"{"status":"success","data":[{"__name__":"up"}]}"#, "");
    let cut = outcome(Play::Cut(whole[..whole.len() - 10].to_vec())).await;
    assert!(matches!(cut, Err(QueryError::Malformed { .. })), "{cut:?}");
}

#[tokio::test]
async fn a_response_that_is_too_large_to_keep_is_given_up_and_the_backend_is_not_at_fault() {
    let series: Vec<_> = (0..3_000).map(|number| format!(r#"{{"__name__":"{number:04000}"}}"#)).collect();
    let body = format!(r#"{{"status":"success","data":[{}]}}"#, series.join(","));
    let server = Server::plain(Play::json(200, body));
    let backends = backends(options(&server));
    for _ in 0..4 {
        let limit = "8 MiB of metric and label names";
        assert_eq!(list(&backends, &["up"]).await, Err(QueryError::TooMuch { limit }));
    }
}

#[tokio::test]
async fn a_response_that_does_not_end_times_out_by_the_timeout_of_the_call() {
    let timeout = Duration::from_millis(200);
    let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"status\":\"success\",\"data\":[{".to_vec();
    let server = Server::plain(Play::Raw(begun));
    let backends = backends(options(&server));
    assert_eq!(list_within(timeout, &backends, &["up"]).await, Err(QueryError::TimedOut(timeout)));
    server.play(Play::json(200, r#"{"status":"success","data":[]}"#.to_owned()));
    assert_eq!(list(&backends, &["up"]).await, Ok(SeriesSummary::default()), "its memory is free again");
}

#[tokio::test]
async fn a_backend_that_is_not_configured_is_unavailable() {
    let backends = Backends::build(Vec::new()).unwrap();
    assert!(matches!(list(&backends, &["up"]).await, Err(QueryError::Unavailable { .. })));
}
