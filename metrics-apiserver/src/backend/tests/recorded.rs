//! Answers in `tests/recorded`, of Thanos and Cortex, and what they are taken for.

use std::path::PathBuf;

use super::*;
use crate::backend::decode::{engine, series, vector};

/// What an answer to a query is taken for.
#[derive(Debug, PartialEq)]
enum Taken {
    /// Samples with these values.
    Complete(Vec<f64>),
    /// The same, and the beginning of the warning.
    Partial(Vec<f64>, &'static str),
    /// An error with this in its detail.
    Refused(&'static str),
}

use Taken::{Complete, Partial, Refused};

fn recorded(file: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    std::fs::read(folder.join(file)).unwrap()
}

#[tokio::test]
async fn each_recorded_answer_to_a_query_is_taken_for_what_it_is() {
    let down = "fetch series for {cluster=\"one\", replica=\"";
    for (file, status, taken) in [
        ("thanos-0.40.1/vector.json", 200, Complete(vec![7.0, 3.0])),
        ("thanos-0.40.1/not-deduplicated.json", 200, Complete(vec![7.0, 7.0, 3.0, 3.0])),
        ("thanos-0.40.1/scalar.json", 200, Complete(vec![100.0])),
        ("thanos-0.40.1/no-data.json", 200, Complete(vec![])),
        ("thanos-0.40.1/other-external-labels.json", 200, Complete(vec![])),
        (
            "thanos-0.40.1/not-promql.json",
            400,
            Refused("bad_data: 1:5: parse error: unclosed left parenthesis"),
        ),
        ("thanos-0.40.1/info.json", 200, Complete(vec![0.0, 0.0])),
        ("thanos-0.40.1/warning.json", 200, Complete(vec![f64::INFINITY])),
        ("thanos-0.40.1/store-hangs.json", 422, Refused("execution: expanding series: context deadline")),
        ("thanos-0.40.1/store-down.json", 200, Partial(vec![7.0, 3.0], down)),
        ("thanos-0.40.1/store-down-partial-response-off.json", 200, Partial(vec![7.0, 3.0], down)),
        ("thanos-0.40.1/all-stores-down.json", 200, Partial(vec![], down)),
        // Nothing in it tells it from no data: docs/configuration.md says how to list stores so that this is not sent.
        ("thanos-0.40.1/all-stores-forgotten.json", 200, Complete(vec![])),
        ("from-source/thanos-0.30.2-all-stores-down.json", 200, Partial(vec![], "No StoreAPIs matched")),
        ("from-source/cortex-1.20.1-ingester-down.json", 200, Partial(vec![7.0], "query result may contain")),
        ("from-source/cortex-1.20.1-no-data.json", 200, Complete(vec![])),
        ("from-source/cortex-1.20.1-no-tenant.txt", 401, Refused("set the header `X-Scope-OrgID`")),
    ] {
        let body = String::from_utf8(recorded(file)).unwrap();
        let server = Server::plain(Play::json(status, body));
        let found = query(&backends(options(&server)), "up").await;
        match (found, taken) {
            (Err(error @ QueryError::Refused { .. }), Refused(detail)) => {
                assert!(error.detail().contains(detail), "{file}: {error:?}");
            }
            (Ok(reading), taken) => {
                let values: Vec<f64> = reading.samples.iter().map(|sample| sample.value).collect();
                match (reading.partial, taken) {
                    (None, Complete(expected)) => assert_eq!(values, expected, "{file}"),
                    (Some(warning), Partial(expected, begin)) => {
                        assert_eq!(values, expected, "{file}");
                        assert!(warning.starts_with(begin), "{file}: {warning}");
                    }
                    (partial, taken) => panic!("{file}: {partial:?}, not {taken:?}"),
                }
            }
            (found, taken) => panic!("{file}: {found:?}, not {taken:?}"),
        }
    }
}

#[test]
fn replica_labels_are_gone_from_deduplicated_samples_and_the_remarks_on_a_query_are_kept() {
    let (samples, _) = vector(&recorded("thanos-0.40.1/vector.json")).unwrap();
    assert!(samples.iter().all(|sample| sample.labels.get("replica").is_none()));
    assert!(samples.iter().all(|sample| sample.labels.get("cluster") == Some("one")));
    let remarks = |file: &str| {
        let (_, annotations) = vector(&recorded(file)).unwrap();
        (annotations.infos.len(), annotations.warnings.len())
    };
    assert_eq!(remarks("thanos-0.40.1/info.json"), (1, 0), "Thanos sends it as a warning");
    assert_eq!(remarks("thanos-0.40.1/warning.json"), (0, 1));
}

#[test]
fn a_recorded_list_of_series_is_read_and_does_not_say_that_a_store_is_down() {
    for (file, metrics) in [("series", 1), ("store-down-series", 1), ("series-no-data", 0)] {
        let (summary, annotations) = series(&*recorded(&format!("thanos-0.40.1/{file}.json"))).unwrap();
        assert_eq!((summary.metrics.len(), annotations.partial), (metrics, None), "{file}");
    }
}

#[test]
fn recorded_engines_are_recognized() {
    for (file, name, version) in [
        ("thanos-0.40.1/buildinfo.json", "Thanos", "0.40.1"),
        ("from-source/cortex-1.20.1-buildinfo.json", "Cortex", "1.20.1"),
    ] {
        let (engine, _) = engine(&recorded(file)).unwrap();
        assert_eq!((&*engine.name, &*engine.version), (name, version));
    }
}
