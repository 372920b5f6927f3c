//! Lists of series, short, long and hostile.

use super::elements::{DEPTH_LIMIT, ELEMENT_LIMIT, STRING_BYTES_MAX, STRING_LIMIT};
use super::*;
use crate::backend::decode::Failure;

fn response(list: &str) -> String {
    format!(r#"{{"status":"success","data":[{list}]}}"#)
}

fn summary(body: &str) -> Result<SeriesSummary, DecodeError> {
    series(body.as_bytes()).map(|(summary, _)| summary)
}

/// The metrics with their label names, as text.
fn names(summary: &SeriesSummary) -> Vec<String> {
    let sets = |sets: &[LabelNames]| sets.iter().map(|set| set.join(",")).collect::<Vec<_>>().join(" | ");
    summary.metrics.iter().map(|(name, label_sets)| format!("{name}: {}", sets(label_sets))).collect()
}

#[track_caller]
fn malformed(body: &[u8]) {
    let decoded = series(body);
    assert!(matches!(decoded, Err(DecodeError::Malformed(_))), "{decoded:?}");
}

#[test]
fn metric_names_are_kept_with_their_sets_of_label_names() {
    let list = r#"{"__name__":"up","job":"a","instance":"x"},{"instance":"y","job":"b","__name__":"up"},
        {"__name__":"up","job":"c"},{"__name__":"requests_total","p\u006fd":"a\"b{[","namespace":"d"},
        {"__name__":"build_info"},{"job":"no name"}"#;
    let found = names(&summary(&response(list)).unwrap());
    assert_eq!(found, ["build_info: ", "requests_total: namespace,pod", "up: instance,job | job"]);
}

#[test]
fn what_is_not_there_is_an_empty_list() {
    for data in [r#","data":[]"#, r#","data":null"#, ""] {
        let body = format!(r#"{{"status":"success"{data}}}"#);
        assert_eq!(summary(&body), Ok(SeriesSummary::default()), "{body}");
    }
}

#[test]
fn unknown_fields_are_skipped_and_warnings_are_read() {
    let body = r#"{"stats":{"a":[[{"b":1}]]},"data":[{"__name__":"up"}],"warnings":["store away"],"status":"success"}"#;
    let (found, annotations) = series(body.as_bytes()).unwrap();
    assert_eq!(
        (names(&found), annotations.partial.as_deref()),
        (vec!["up: ".to_owned()], Some("store away"))
    );
}

#[test]
fn a_hundred_thousand_series_keep_as_much_as_a_few() {
    let one = |number: usize| {
        let (metric, shape) = (number % 7, number % 3);
        format!(r#"{{"__name__":"m{metric}","l{shape}":"","pod":"p-{number}"}}"#)
    };
    let decoded = |series: usize| {
        let mut seen = Names::default();
        for number in 0..series {
            seen.add(one(number).as_bytes()).unwrap();
        }
        seen
    };
    let (few, many) = (decoded(21), decoded(100_000));
    assert_eq!(many.kept_bytes, few.kept_bytes);
    assert_eq!((many.labels.len(), many.label_sets.len(), many.metrics.len()), (4, 3, 7));
    assert_eq!((many.by_order.len(), many.order_bytes), (3, few.order_bytes));
    let list = (0..10_000).map(one).collect::<Vec<_>>().join(",");
    assert_eq!(few.summary(), summary(&response(&list)).unwrap());
}

#[test]
fn more_distinct_names_than_may_be_kept_are_refused() {
    let distinct = |count: usize, bytes: usize| {
        let series: Vec<_> =
            (0..count).map(|number| format!(r#"{{"__name__":"{number:0bytes$}"}}"#)).collect();
        response(&series.join(","))
    };
    assert_eq!(summary(&distinct(1_000, 4_000)).unwrap().metrics.len(), 1_000);
    assert_eq!(summary(&distinct(3_000, 4_000)), Err(DecodeError::TooMuch(KEPT_LIMIT)));
    assert_eq!(KEPT_LIMIT, format!("{} MiB of metric and label names", KEPT_BYTES_MAX >> 20));
}

#[test]
fn the_same_names_in_another_order_are_the_same_set_and_orders_are_bounded() {
    let list = r#"{"__name__":"m","a":"","b":""},{"b":"","__name__":"m","a":""},{"a":"","b":"","__name__":"m","a":""}"#;
    assert_eq!(names(&summary(&response(list)).unwrap()), ["m: a,b"]);
    let mut seen = Names::default();
    let labels: Vec<_> = (0..200).map(|number| format!(r#""{number:0200}":"""#)).collect();
    let orders = (0..200).flat_map(|at| (0..at).map(move |with| (at, with)));
    let mut ended = orders.map(|(at, with)| {
        let mut labels = labels.clone();
        labels.swap(at, with);
        seen.add(format!(r#"{{"__name__":"m",{}}}"#, labels.join(",")).as_bytes())
    });
    let refused = ended.find(Result::is_err);
    assert_eq!(refused, Some(Err(DecodeError::TooMuch(KEPT_LIMIT))));
    assert!(seen.kept_bytes < KEPT_BYTES_MAX / 10);
}

#[test]
fn labels_of_a_series_strings_and_nesting_are_bounded() {
    let labels = |count: usize| {
        let labels: Vec<_> = (0..count).map(|number| format!(r#""l{number}":"""#)).collect();
        response(&format!(r#"{{"__name__":"m",{}}}"#, labels.join(",")))
    };
    assert!(summary(&labels(SERIES_LABELS_MAX)).is_ok());
    assert_eq!(summary(&labels(SERIES_LABELS_MAX + 1)), Err(DecodeError::TooMuch(SERIES_LABELS_LIMIT)));
    assert_eq!(summary(&labels(200_000)), Err(DecodeError::TooMuch(ELEMENT_LIMIT)));
    let value = |bytes: usize| response(&format!(r#"{{"__name__":"m","l":"{}"}}"#, "x".repeat(bytes)));
    assert!(summary(&value(STRING_BYTES_MAX)).is_ok());
    assert_eq!(summary(&value(STRING_BYTES_MAX + 1)), Err(DecodeError::TooMuch(STRING_LIMIT)));
    let escaped = response(&format!(r#"{{"__name__":"m","l":"{}"}}"#, r#"\""#.repeat(STRING_BYTES_MAX)));
    assert_eq!(summary(&escaped), Err(DecodeError::TooMuch(STRING_LIMIT)));
    let deep = format!(r#"{{"x":{}"#, r#"{"a":"#.repeat(1_000_000));
    assert_eq!(summary(&deep), Err(DecodeError::TooMuch(DEPTH_LIMIT)));
}

#[test]
fn a_body_that_is_cut_off_is_malformed() {
    let whole = response(r#"{"__name__":"up","job":"a"},{"__name__":"up","job":"b"}"#);
    for length in 0..whole.len() {
        malformed(&whole.as_bytes()[..length]);
    }
    malformed(format!("{whole}x").as_bytes());
    malformed(&[0xff, 0xfe]);
}

#[test]
fn other_shapes_are_malformed() {
    for data in [r#"{"resultType":"vector"}"#, r#"["up"]"#, "[1]", r#""up""#, r#"[{"__name__":1}]"#] {
        malformed(format!(r#"{{"status":"success","data":{data}}}"#).as_bytes());
    }
    malformed(b"<html>");
}

#[test]
fn an_error_after_the_data_is_an_error() {
    let body = r#"{"data":[{"__name__":"up"}],"status":"error","errorType":"internal","error":"boom"}"#;
    let failure = Failure { kind: "internal".to_owned(), message: "boom".to_owned() };
    assert_eq!(summary(body), Err(DecodeError::Failure(failure)));
}

#[test]
fn a_read_error_is_malformed() {
    let cut = b"{\"status\":\"success\",\"data\":[".chain(Broken);
    assert!(matches!(series(cut), Err(DecodeError::Malformed(_))));
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("connection reset"))
    }
}
