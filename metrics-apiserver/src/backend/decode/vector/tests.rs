//! Bodies that are vectors, and bodies that are not.

use super::*;
use crate::backend::decode::{Failure, failure};

fn answer(result_type: &str, result: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"{result_type}","result":{result}}}}}"#)
}

fn samples(body: &[u8]) -> Result<Vec<Sample>, DecodeError> {
    vector(body).map(|(samples, _)| samples)
}

fn annotations(more: &str) -> Annotations {
    vector(answer("vector", "[]").replacen('{', &format!("{{{more},"), 1).as_bytes()).unwrap().1
}

#[track_caller]
fn malformed(body: &str, expected: &str) {
    match samples(body.as_bytes()) {
        Err(DecodeError::Malformed(detail)) => assert!(detail.contains(expected), "{detail:?}"),
        other => panic!("{body} returns {other:?}"),
    }
}

#[track_caller]
fn unfit(body: &str, expected: &str) {
    match samples(body.as_bytes()) {
        Err(DecodeError::Unfit(detail)) => assert!(detail.contains(expected), "{detail:?}"),
        other => panic!("{body} returns {other:?}"),
    }
}

#[test]
fn a_vector_is_read_with_labels_and_time() {
    let body = answer(
        "vector",
        r#"[{"metric":{"__name__":"up","pod":"a\"b\u00e9"},"value":[1435781451.781,"1.5e-7"]},
            {"metric":{},"value":[0,"-3"]}]"#,
    );
    let samples = samples(body.as_bytes()).unwrap();
    assert_eq!(samples.len(), 2);
    assert_eq!(samples[0].labels.get("pod"), Some("a\"bé"));
    assert_eq!(samples[0].labels.get("__name__"), Some("up"), "the rule decides whether it is a label");
    assert_eq!(samples[0].labels.iter().len(), 2);
    assert_eq!(samples[0].value.to_string(), "0.00000015");
    assert_eq!(samples[0].timestamp.as_millisecond(), 1_435_781_451_781);
    assert_eq!(samples[0].timestamp.subsec_nanosecond(), 781_000_000);
    assert_eq!(samples[1].value.to_string(), "-3");
}

#[test]
fn a_time_that_rfc_3339_cannot_say_is_refused() {
    let body = |time: &str| answer("vector", &format!(r#"[{{"metric":{{}},"value":[{time},"1"]}}]"#));
    for time in ["-62167219201", "-62135596801", "-62135596800.001", "253402300800", "-1e300"] {
        malformed(&body(time), "a timestamp is out of range");
    }
    for (time, printed) in
        [("-62135596800", "0001-01-01T00:00:00Z"), ("253402207200", "9999-12-30T22:00:00Z")]
    {
        assert_eq!(samples(body(time).as_bytes()).unwrap()[0].timestamp.to_string(), printed);
    }
}

#[test]
fn numbers_that_are_none_are_kept_for_the_policies() {
    for (text, expected) in [("NaN", f64::NAN), ("+Inf", f64::INFINITY), ("-Inf", f64::NEG_INFINITY)] {
        let body = answer("vector", &format!(r#"[{{"metric":{{}},"value":[1,"{text}"]}}]"#));
        let value = samples(body.as_bytes()).unwrap()[0].value;
        assert_eq!(value.to_string(), expected.to_string());
    }
}

#[test]
fn no_series_are_no_samples() {
    for result in ["[]", "null"] {
        assert_eq!(samples(answer("vector", result).as_bytes()), Ok(Vec::new()), "{result}");
    }
    malformed(r#"{"status":"success","data":{"resultType":"vector"}}"#, "missing field `result`");
    malformed(&answer("scalar", "null"), "null");
}

#[test]
fn a_field_that_is_null_is_like_a_missing_one() {
    let more = r#""error":null,"errorType":null,"warnings":null,"infos":null"#;
    assert_eq!(annotations(more), Annotations::default());
    let body = format!(r#"{{"status":"error","data":null,{more}}}"#);
    assert_eq!(failure(body.as_bytes()), Some(Failure::default()));
    let body = br#"{"status":"error","data":null,"errorType":"execution","error":"boom","warnings":null,"infos":null}"#;
    assert_eq!(failure(body).unwrap().message, "boom");
}

#[test]
fn a_scalar_is_one_sample_without_labels() {
    let samples = samples(answer("scalar", r#"[12.5,"7"]"#).as_bytes()).unwrap();
    assert_eq!(samples.len(), 1);
    assert_eq!(samples[0].value.to_string(), "7");
    assert!(samples[0].labels.is_empty());
}

#[test]
fn the_result_may_come_before_its_type() {
    let body = r#"{"data":{"result":[12.5,"7"],"resultType":"scalar"},"warnings":[],"infos":["i"],"status":"success"}"#;
    assert_eq!(samples(body.as_bytes()).unwrap()[0].value.to_string(), "7");
}

#[test]
fn other_results_are_refused_by_name() {
    unfit(&answer("matrix", r#"[{"metric":{},"values":[[1,"1"]]}]"#), "returns a matrix");
    unfit(&answer("string", r#"[1,"x"]"#), "returns a string");
    malformed(&answer("tensor", "[]"), "unknown resultType");
    malformed(r#"{"status":"success"}"#, "no resultType");
    malformed(r#"{"status":"success","data":{"result":[]}}"#, "no resultType");
}

#[test]
fn a_native_histogram_is_no_number() {
    let histogram = r#"[{"metric":{},"histogram":[1,{"count":"3","sum":"4","buckets":[[0,"1","2","3"]]}]}]"#;
    unfit(&answer("vector", histogram), "histogram_quantile");
}

#[test]
fn other_shapes_are_malformed() {
    malformed(&answer("vector", r#"[{"metric":{}}]"#), "no value");
    malformed(&answer("vector", r#"[{"metric":{},"value":[1,"1.2.3"]}]"#), "not a number");
    malformed(&answer("vector", r#"[{"metric":{},"value":[1e300,"1"]}]"#), "timestamp");
    malformed(&answer("vector", r#"[{"metric":{},"value":[1,2]}]"#), "expected");
    malformed(&answer("vector", "{}"), "a list of series");
    malformed(&answer("scalar", r#"[1,"x"]"#), "not a number");
    malformed(&"[".repeat(1_000_000), "");
    malformed(&answer("vector", &"[".repeat(1_000_000)), "");
    malformed(&answer("vector", "[]")[..60], "EOF");
    assert!(matches!(samples(&[0xff, 0xfe]), Err(DecodeError::Malformed(_))));
}

#[test]
fn a_warning_that_is_not_about_the_query_makes_the_answer_partial() {
    for text in [
        "remote_read: remote server http://10.0.0.1/read returned HTTP status 500",
        "receive series from Addr: 10.0.0.2:10901: rpc error: code = Unavailable",
        // Of an answer without data: all stores may be away.
        "No StoreAPIs matched for this query",
    ] {
        let annotations =
            annotations(&format!(r#""warnings":["PromQL warning: w","{text}","another"],"infos":["i"]"#));
        assert_eq!(annotations.partial.as_deref(), Some(text));
        assert_eq!(
            (annotations.warnings, annotations.infos),
            (vec!["PromQL warning: w".into()], vec!["i".into()])
        );
    }
    assert!(annotations(r#""isPartial":true"#).partial.is_some());
}

#[test]
fn annotations_on_the_query_leave_the_answer_whole() {
    for more in [
        r#""infos":["PromQL info: metric might not be a counter: \"a\" (1:5)","3 more info annotations omitted"]"#,
        r#""warnings":["PromQL warning: w","3 more warning annotations omitted"]"#,
        r#""warnings":["PromQL warning: bucket label \"le\" is missing (1:20)","PromQL info: old"]"#,
        r#""warnings":null,"infos":null,"isPartial":false"#,
        r#""warnings":[]"#,
    ] {
        assert_eq!(annotations(more).partial, None, "{more}");
    }
}

#[test]
fn endless_warnings_are_kept_in_part_and_none_that_matters_is_missed() {
    let on_query = format!("\"PromQL warning: {}\",", "x".repeat(10_000));
    let annotations = annotations(&format!(r#""warnings":[{}"a store is away"]"#, on_query.repeat(1000)));
    assert_eq!(annotations.partial.as_deref(), Some("a store is away"));
    assert!(annotations.warnings.len() <= 10 && annotations.warnings.iter().all(|text| text.len() <= 300));
}

#[test]
fn exactly_the_limit_is_read_and_one_more_is_not() {
    let body = |count: usize| {
        answer("vector", &format!("[{}]", vec![r#"{"metric":{},"value":[1,"1"]}"#; count].join(",")))
    };
    assert_eq!(samples(body(SAMPLES_MAX).as_bytes()).unwrap().len(), SAMPLES_MAX);
    assert_eq!(samples(body(SAMPLES_MAX + 1).as_bytes()), Err(DecodeError::TooMuch(SAMPLES_LIMIT)));
    assert_eq!(SAMPLES_LIMIT, format!("{SAMPLES_MAX} series"));
}

#[test]
fn labels_are_bounded_in_a_series_and_in_all() {
    let series = |labels: usize| {
        let labels: Vec<String> = (0..labels).map(|number| format!(r#""l{number}":"""#)).collect();
        format!(r#"{{"metric":{{{}}},"value":[1,"1"]}}"#, labels.join(","))
    };
    let body = |series: Vec<String>| answer("vector", &format!("[{}]", series.join(",")));
    let all = LABELS_MAX / SERIES_LABELS_MAX;
    assert_eq!(samples(body(vec![series(SERIES_LABELS_MAX); all]).as_bytes()).unwrap().len(), all);
    for (series, limit) in [
        (vec![series(1), series(SERIES_LABELS_MAX + 1)], SERIES_LABELS_LIMIT),
        (vec![series(200_000)], SERIES_LABELS_LIMIT),
        (vec![series(SERIES_LABELS_MAX); all + 1], LABELS_LIMIT),
    ] {
        assert_eq!(samples(body(series).as_bytes()), Err(DecodeError::TooMuch(limit)));
    }
    assert_eq!(SERIES_LABELS_LIMIT, format!("{SERIES_LABELS_MAX} labels in a series"));
    assert_eq!(LABELS_LIMIT, format!("{LABELS_MAX} labels"));
}

#[test]
fn a_failure_says_kind_and_message() {
    let body = br#"{"status":"error","errorType":"execution","error":"boom"}"#;
    let expected = || Failure { kind: "execution".to_owned(), message: "boom".to_owned() };
    assert_eq!(failure(body), Some(expected()));
    assert_eq!(samples(body), Err(DecodeError::Failure(expected())));
    assert_eq!(failure(b"<html>"), None);
    assert_eq!(failure(br#"{"status":"success"}"#), None);
}
