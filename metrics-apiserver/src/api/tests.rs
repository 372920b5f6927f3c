//! Every body as it goes over the wire, against `tests/golden/`; and the whole table of errors.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{
    Document, Documents, Error, LimitError, RequestError, Status, TableVersion, pretty, table, value_list,
    value_list_bytes,
};
use crate::answer::AnswerError;
use crate::authn::{AuthnError, ReviewError};
use crate::authz::{Attributes, AuthzError, attributes_of};
use crate::cache::{QueryError, ReadError};
use crate::metric::{Labels, MetricName, Namespace, Quantity, Selector, Value};
use crate::rules::{PlanError, ValueError};

/// Compares `body`, indented, with a file; `UPDATE_GOLDEN=1` rewrites the file.
#[track_caller]
fn golden(name: &str, body: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    assert_eq!(body.iter().position(|byte| *byte == b'\n'), Some(body.len() - 1), "one newline, at the end");
    let actual = String::from_utf8(pretty(body)).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(actual, expected, "{name}: if the change is wanted, run with UPDATE_GOLDEN=1");
}

fn values() -> Vec<Value> {
    let labels: Labels = [("pod", "a-\"0\""), ("zone", "x")].into_iter().collect();
    let timestamp: Timestamp = "2026-11-24T03:51:07.987Z".parse().unwrap();
    vec![
        Value { quantity: Quantity::from_f64(1.5).unwrap(), labels, timestamp },
        Value { quantity: Quantity::from_f64(3000.0).unwrap(), labels: Labels::new(), timestamp },
    ]
}

#[test]
fn value_lists_and_tables_are_as_written_down() {
    let list = value_list("Queue_Depth", &values());
    golden("value_list.json", &list);
    let about = value_list_bytes("Queue_Depth", &values());
    assert!((list.len()..list.len() + 80).contains(&about), "{about}, not {}", list.len());
    golden("value_list_empty.json", &value_list("Queue_Depth", &[]));
    let now = "2026-11-24T03:51:19Z".parse().unwrap();
    let namespace = Namespace::parse("shop").unwrap();
    golden("table_v1.json", &table(TableVersion::V1, "Queue_Depth", &namespace, &values(), now));
    golden("table_v1beta1.json", &table(TableVersion::V1Beta1, "Queue_Depth", &namespace, &[], now));
}

#[test]
fn static_documents_are_as_written_down() {
    let documents = Documents::new();
    golden("root.json", &documents.root.body);
    golden("groups.json", &documents.groups.body);
    golden("aggregated.json", &documents.aggregated.body);
    golden("group.json", &documents.group.body);
    golden("resources.json", &documents.resources.body);
    golden("openapi_index.json", &documents.openapi_index.body);
    golden("openapi_v2.json", &documents.openapi_v2.body);
    let version: serde_json::Value = serde_json::from_slice(&documents.version.body).unwrap();
    assert_eq!(version["gitVersion"], concat!("v", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_tag_names_the_content() {
    let documents = Documents::new();
    let Document { etag, .. } = &documents.aggregated;
    assert!(etag.len() == 66 && etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    assert_eq!(*etag, Documents::new().aggregated.etag);
    assert_ne!(*etag, documents.groups.etag);
}

#[test]
fn openapi_describes_the_fields_that_are_served() {
    let documents = Documents::new();
    let openapi: serde_json::Value = serde_json::from_slice(&documents.openapi_group_version.body).unwrap();
    let list: serde_json::Value = serde_json::from_slice(&value_list("m", &values())).unwrap();
    let schemas = &openapi["components"]["schemas"];
    let described = |kind: &str| {
        let name = format!("io.k8s.metrics.pkg.apis.external_metrics.v1beta1.{kind}");
        schemas[&name]["properties"].as_object().unwrap().clone()
    };
    for (kind, served) in [("ExternalMetricValueList", &list), ("ExternalMetricValue", &list["items"][0])] {
        for field in served.as_object().unwrap().keys() {
            assert!(described(kind).contains_key(field), "{kind}.{field}");
        }
    }
    let text = openapi.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(schemas[reference].is_object(), "{reference} is referred to");
    }
    let path = format!("/apis/{}/namespaces/{{namespace}}/{}", super::GROUP_VERSION, super::PSEUDO_RESOURCE);
    assert!(
        openapi["paths"][&path]["get"]["x-kubernetes-group-version-kind"].is_object(),
        "kubectl explain looks here"
    );
}

#[test]
fn failures_are_as_written_down() {
    let statuses = [
        ("status_429.json", Error::from(LimitError::TooManyInFlight)),
        ("status_404.json", RequestError::UnknownPath.into()),
        (
            "status_403.json",
            denied("/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/m", "no rule allows it"),
        ),
        ("status_403_path.json", denied("/metrics", "")),
        ("status_403_custom.json", denied("/apis/custom.metrics.k8s.io/v1beta1/nodes/n/m", "")),
    ];
    for (name, error) in statuses {
        golden(name, &Status::from(&error).to_json());
    }
}

fn denied(path: &str, reason: &str) -> Error {
    Error::Authz {
        source: AuthzError::Denied { reason: reason.to_owned() },
        user: "bob".to_owned(),
        wanted: Box::new(attributes_of("GET", path, "")),
    }
}

fn metric() -> MetricName {
    MetricName::parse("m").unwrap()
}

fn read(source: ReadError) -> Error {
    AnswerError::Read { metric: metric(), source }.into()
}

fn query(source: PlanError) -> Error {
    AnswerError::Plan { metric: metric(), source }.into()
}

fn value(source: ValueError) -> Error {
    AnswerError::Value { metric: metric(), source }.into()
}

/// Every error there is, with the code and the reason it gets. The matches in `status.rs` have no wildcard where a new
/// cause could hide, so a new variant does not compile before somebody chose.
fn table_of_errors() -> Vec<(Error, u16, &'static str)> {
    let bad_name = MetricName::parse("").unwrap_err();
    let bad_selector = "a in (".parse::<Selector>().unwrap_err();
    let detail: Arc<str> = "http://user:secret@prometheus:9090 sum(secret_query)".into();
    let attributes = || Box::new(Attributes::NonResource { verb: "get".into(), path: "/metrics".into() });
    vec![
        (RequestError::Path.into(), 400, "BadRequest"),
        (RequestError::Namespace(bad_name.clone()).into(), 400, "BadRequest"),
        (RequestError::Metric(bad_name).into(), 400, "BadRequest"),
        (RequestError::Selector(bad_selector).into(), 400, "BadRequest"),
        (RequestError::Timeout.into(), 400, "BadRequest"),
        (RequestError::Upgrade.into(), 400, "BadRequest"),
        (RequestError::UnknownPath.into(), 404, "NotFound"),
        (RequestError::Watch.into(), 405, "MethodNotAllowed"),
        (RequestError::Method.into(), 405, "MethodNotAllowed"),
        (RequestError::NotAcceptable.into(), 406, "NotAcceptable"),
        (LimitError::TooManyInFlight.into(), 429, "TooManyRequests"),
        (LimitError::Deadline.into(), 504, "Timeout"),
        (LimitError::Panicked.into(), 500, "InternalError"),
        (AuthnError::Untrusted { reason: "secret".into() }.into(), 401, "Unauthorized"),
        (AuthnError::InvalidToken.into(), 401, "Unauthorized"),
        (AuthnError::ReviewFailed { source: Arc::new(ReviewError::NoStatus) }.into(), 401, "Unauthorized"),
        (AuthnError::TooManyReviews.into(), 429, "TooManyRequests"),
        (AuthnError::ImpersonationRefused.into(), 403, "Forbidden"),
        (denied("/metrics", ""), 403, "Forbidden"),
        (
            Error::Authz {
                source: AuthzError::TooManyReviews,
                user: "system:anonymous".into(),
                wanted: attributes(),
            },
            429,
            "TooManyRequests",
        ),
        (
            Error::Authz {
                source: AuthzError::ReviewFailed { source: Arc::new(ReviewError::NoStatus) },
                user: "bob".into(),
                wanted: attributes(),
            },
            500,
            "InternalError",
        ),
        (AnswerError::Unknown { metric: metric() }.into(), 404, "NotFound"),
        (query(PlanError::NotALabel { key: "a/b".into() }), 400, "BadRequest"),
        (query(PlanError::Comparison { key: "a".into() }), 400, "BadRequest"),
        (query(PlanError::NotAllowed { key: "a".into(), allowed: "b".into() }), 400, "BadRequest"),
        (query(PlanError::Parameter { name: "app".into() }), 400, "BadRequest"),
        (query(PlanError::TooLong { limit: 1 }), 400, "BadRequest"),
        (read(ReadError::DeadlinePassed), 504, "Timeout"),
        (read(ReadError::TooOld(Duration::from_secs(2))), 504, "Timeout"),
        (read(ReadError::Busy), 503, "ServiceUnavailable"),
        (read(QueryError::TimedOut(Duration::from_secs(10)).into()), 504, "Timeout"),
        (read(QueryError::Unavailable { detail: detail.clone() }.into()), 503, "ServiceUnavailable"),
        (read(QueryError::Refused { detail: detail.clone() }.into()), 500, "InternalError"),
        (read(QueryError::Malformed { detail }.into()), 503, "ServiceUnavailable"),
        (read(QueryError::Unfit { what: "the query gives a matrix" }.into()), 500, "InternalError"),
        (read(QueryError::TooMuch { limit: "8 MiB" }.into()), 503, "ServiceUnavailable"),
        (
            read(QueryError::BreakerOpen { cause: "prometheus is not reachable".into() }.into()),
            503,
            "ServiceUnavailable",
        ),
        (value(ValueError::NoData), 404, "NotFound"),
        (value(ValueError::NotANumber), 500, "InternalError"),
        (value(ValueError::SeveralSeries { count: 2 }), 500, "InternalError"),
        (value(ValueError::Infinite("+Inf")), 500, "InternalError"),
        (value(ValueError::TooLarge), 500, "InternalError"),
        (value(ValueError::Negative(Quantity::default())), 500, "InternalError"),
        (value(ValueError::Partial { warning: "a store".into() }), 503, "ServiceUnavailable"),
    ]
}

#[test]
fn every_error_has_its_code_and_reason_and_reveals_nothing() {
    for (error, code, reason) in table_of_errors() {
        let status = Status::from(&error);
        assert_eq!((status.code, status.reason), (code, reason), "{error:?}");
        assert!(!status.message.is_empty() && !status.message.contains('\n'), "{error:?}");
        assert!(!status.message.contains("secret"), "{}", status.message);
        assert_eq!(status.retry_after_seconds().is_some(), code == 429, "{error:?}");
    }
}
