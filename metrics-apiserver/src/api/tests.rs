//! Every body as it goes over the wire, against `tests/golden/`; and the whole table of errors.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::external::{self, table, value_list, value_list_bytes};
use super::{
    Document, Documents, Error, GROUPS, Group, LimitError, Reason, RequestError, Resource, Status,
    TableVersion, Version, pretty,
};
use crate::answer::AnswerError;
use crate::authn::{AuthnError, ReviewError};
use crate::authz::{Attributes, AuthzError, attributes_of};
use crate::cache::{QueryError, ReadError};
use crate::metric::{FieldSelector, GroupResource, Labels, MetricName, Namespace, Quantity, Selector, Value};
use crate::objects::ObjectsError;
use crate::rules::adapter::{QueryError as AdapterError, Template};
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

/// The document at a path.
#[track_caller]
fn at<'a>(documents: &'a Documents, path: &str) -> &'a Document {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    documents.at(&segments).unwrap_or_else(|| panic!("no document at {path}"))
}

/// The documents of one group, so that another group leaves the golden files alone.
#[test]
fn static_documents_are_as_written_down() {
    let documents = Documents::new(&[&external::GROUP]);
    golden("root.json", &at(&documents, "/").body);
    golden("groups.json", &at(&documents, "/apis").body);
    golden("aggregated.json", &at(&documents, "/apis").aggregated.as_ref().unwrap().body);
    golden("group.json", &at(&documents, "/apis/external.metrics.k8s.io").body);
    golden("resources.json", &at(&documents, "/apis/external.metrics.k8s.io/v1beta1").body);
    golden("openapi_index.json", &at(&documents, "/openapi/v3").body);
    golden("openapi_v2.json", &at(&documents, "/openapi/v2").body);
    let version: serde_json::Value = serde_json::from_slice(&at(&documents, "/version").body).unwrap();
    assert_eq!(version["gitVersion"], concat!("v", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_tag_names_the_content() {
    let (documents, again) = (Documents::new(GROUPS), Documents::new(GROUPS));
    let groups = at(&documents, "/apis");
    let Document { etag, .. } = &**groups.aggregated.as_ref().unwrap();
    assert!(etag.len() == 66 && etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    assert_eq!(*etag, at(&again, "/apis").aggregated.as_ref().unwrap().etag);
    assert_ne!(*etag, groups.etag);
}

#[test]
fn what_the_groups_describe_is_consistent() {
    for group in GROUPS {
        assert!(!group.versions.is_empty(), "{} has a preferred version", group.name);
        for version in group.versions {
            let name = group.api_version(version);
            assert!(!version.resources.is_empty(), "{name}: client-go takes an empty list for an error");
            let openapi: serde_json::Value = serde_json::from_str(version.openapi).unwrap();
            let expected = format!("/apis/{name}/");
            for path in openapi["paths"].as_object().unwrap().keys() {
                assert!(path.starts_with(&expected), "{name}: {path}");
            }
            for verb in version.resources.iter().flat_map(|resource| resource.verbs) {
                assert!(matches!(*verb, "get" | "list"), "{name}: {verb} attracts other controllers");
            }
        }
    }
}

/// A group of two versions, beside those that are served.
static OTHER: Group = Group {
    name: "other.metrics.k8s.io",
    label: "other",
    versions: &[OTHER_V2, OTHER_V1],
    metrics: |_| None,
};
const OTHER_V2: Version =
    Version { name: "v2", openapi: "{}", resources: &[OTHER_RESOURCE], parse: |_, _| Ok(None) };
const OTHER_V1: Version =
    Version { name: "v1", openapi: "{ }", resources: &[OTHER_RESOURCE], parse: |_, _| Ok(None) };
const OTHER_RESOURCE: Resource = Resource {
    name: "others",
    singular_name: "other",
    is_namespaced: false,
    kind: "Other",
    verbs: &["get", "list"],
};

#[test]
fn a_group_appears_in_every_document_by_its_description_alone() {
    let groups = [&external::GROUP, &OTHER];
    let documents = Documents::new(&groups);
    let json =
        |path: &str| -> serde_json::Value { serde_json::from_slice(&at(&documents, path).body).unwrap() };
    let listed = json("/apis");
    assert_eq!(listed["groups"].as_array().unwrap().len(), groups.len());
    let group = json("/apis/other.metrics.k8s.io");
    assert_eq!(group["preferredVersion"]["groupVersion"], "other.metrics.k8s.io/v2");
    assert_eq!(group["versions"][1]["version"], "v1");
    assert_eq!(listed["groups"][groups.len() - 1]["versions"], group["versions"]);
    let aggregated = &at(&documents, "/apis").aggregated.as_ref().unwrap().body;
    let aggregated: serde_json::Value = serde_json::from_slice(aggregated).unwrap();
    let item = &aggregated["items"][groups.len() - 1];
    assert_eq!(item["metadata"]["name"], "other.metrics.k8s.io");
    assert_eq!(item["versions"][1]["resources"][0]["scope"], "Cluster");
    let (root, index) = (json("/"), json("/openapi/v3"));
    for version in ["v1", "v2"] {
        let path = format!("apis/other.metrics.k8s.io/{version}");
        assert_eq!(json(&format!("/{path}"))["resources"][0]["verbs"][1], "list");
        let described = at(&documents, &format!("/openapi/v3/{path}"));
        let url = index["paths"][&path]["serverRelativeURL"].as_str().unwrap();
        assert_eq!(url, format!("{}?hash={}", described.path, described.hash()));
        for path in [format!("/{path}"), described.path.clone()] {
            assert!(root["paths"].as_array().unwrap().iter().any(|listed| *listed == path), "{path}");
        }
    }
    assert_eq!(json("/openapi/v2")["info"]["title"], "external.metrics.k8s.io, other.metrics.k8s.io");
}

#[test]
fn openapi_describes_the_fields_that_are_served() {
    let documents = Documents::new(GROUPS);
    let openapi = at(&documents, "/openapi/v3/apis/external.metrics.k8s.io/v1beta1");
    let openapi: serde_json::Value = serde_json::from_slice(&openapi.body).unwrap();
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
    let path = "/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/externalmetrics";
    assert!(
        openapi["paths"][path]["get"]["x-kubernetes-group-version-kind"].is_object(),
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
        wanted: Box::new(attributes_of("GET", path, false, "")),
    }
}

fn metric() -> MetricName {
    MetricName::parse("m").unwrap()
}

fn read(source: ReadError) -> Error {
    AnswerError::Read { metric: metric(), source }.into()
}

fn hold_over(source: QueryError) -> Error {
    let error = Box::new(AnswerError::Read { metric: metric(), source: source.into() });
    AnswerError::HoldOver { error, longest: Duration::from_secs(70) }.into()
}

fn pods() -> GroupResource {
    GroupResource { resource: "pods".into(), group: "".into() }
}

/// As a read of custom metrics reports it.
fn objects(error: ObjectsError) -> Error {
    AnswerError::Custom { error: Box::new(error.into()) }.into()
}

fn not_found(of: &str, source: Option<PlanError>) -> Error {
    AnswerError::NotFound { metric: metric(), of: of.to_owned(), pending: None, source }.into()
}

fn query(source: PlanError) -> Error {
    AnswerError::Plan { metric: metric(), source }.into()
}

fn value(source: ValueError) -> Error {
    AnswerError::Value { metric: metric(), source }.into()
}

/// Every error there is, with the code and the reason it gets.
fn table_of_errors() -> Vec<(Error, u16, &'static str)> {
    let mut table = table_of_refusals();
    table.extend(table_of_answer_errors());
    table
}

fn table_of_refusals() -> Vec<(Error, u16, &'static str)> {
    let bad_name = MetricName::parse("").unwrap_err();
    let bad_selector = "a in (".parse::<Selector>().unwrap_err();
    let bad_field = "spec.nodeName=n".parse::<FieldSelector>().unwrap_err();
    let no_status = || Arc::new(ReviewError::NoStatus);
    let late = || Arc::new(ReviewError::TimedOut(Duration::from_secs(1)));
    let wanted = Attributes::NonResource { verb: "get".into(), path: "/metrics".into() };
    let unreviewed = |source| Error::Authz { source, user: "bob".into(), wanted: Box::new(wanted.clone()) };
    vec![
        (RequestError::Path.into(), 400, "BadRequest"),
        (RequestError::Namespace(bad_name.clone()).into(), 400, "BadRequest"),
        (RequestError::Metric(bad_name).into(), 400, "BadRequest"),
        (RequestError::Selector(bad_selector.clone()).into(), 400, "BadRequest"),
        (RequestError::MetricSelector(bad_selector).into(), 400, "BadRequest"),
        (RequestError::ShortPath.into(), 400, "BadRequest"),
        (RequestError::FieldSelector(bad_field).into(), 400, "BadRequest"),
        (RequestError::FieldName.into(), 400, "BadRequest"),
        (RequestError::Timeout.into(), 400, "BadRequest"),
        (RequestError::Malformed.into(), 400, "BadRequest"),
        (RequestError::Upgrade.into(), 400, "BadRequest"),
        (RequestError::UnknownPath.into(), 404, "NotFound"),
        (RequestError::Watch { resource: "nodes", group: "metrics.k8s.io" }.into(), 405, "MethodNotAllowed"),
        (RequestError::Method.into(), 405, "MethodNotAllowed"),
        (RequestError::NotAcceptable.into(), 406, "NotAcceptable"),
        (LimitError::TooManyInFlight.into(), 429, "TooManyRequests"),
        (LimitError::TooLarge.into(), 429, "TooManyRequests"),
        (LimitError::HeadersTooLarge.into(), 431, "RequestEntityTooLarge"),
        (LimitError::HeadersTimeout.into(), 408, "Timeout"),
        (LimitError::Deadline.into(), 504, "Timeout"),
        (LimitError::Panicked.into(), 500, "InternalError"),
        (AuthnError::Untrusted { reason: "secret".into() }.into(), 401, "Unauthorized"),
        (AuthnError::InvalidToken.into(), 401, "Unauthorized"),
        (AuthnError::ReviewFailed { source: no_status() }.into(), 401, "Unauthorized"),
        (AuthnError::ReviewFailed { source: late() }.into(), 504, "Timeout"),
        (AuthnError::TooManyReviews.into(), 429, "TooManyRequests"),
        (AuthnError::ImpersonationRefused.into(), 403, "Forbidden"),
        (denied("/metrics", ""), 403, "Forbidden"),
        (unreviewed(AuthzError::TooManyReviews), 429, "TooManyRequests"),
        (unreviewed(AuthzError::Throttled { source: no_status() }), 503, "ServiceUnavailable"),
        (unreviewed(AuthzError::ReviewFailed { source: no_status() }), 500, "InternalError"),
        (unreviewed(AuthzError::ReviewFailed { source: late() }), 504, "Timeout"),
    ]
}

fn table_of_answer_errors() -> Vec<(Error, u16, &'static str)> {
    let template = Template::parse("<<").unwrap_err();
    let detail: Arc<str> = "http://user:secret@prometheus:9090 sum(secret_query)".into();
    vec![
        (AnswerError::Unknown { metric: metric() }.into(), 404, "NotFound"),
        (
            AnswerError::Pending { metric: metric(), pending: "prometheus is down".into() }.into(),
            404,
            "NotFound",
        ),
        (query(PlanError::AllNamespaces), 400, "BadRequest"),
        (query(PlanError::Comparison { key: "a".into() }), 400, "BadRequest"),
        (query(PlanError::NotAllowed { key: "a".into(), allowed: "b".into() }), 400, "BadRequest"),
        (query(PlanError::Parameter { name: "app".into() }), 400, "BadRequest"),
        (query(PlanError::TooLong { limit: 1 }), 400, "BadRequest"),
        (query(PlanError::NotCustom), 404, "NotFound"),
        (query(AdapterError::Comparison { key: "a".into() }.into()), 400, "BadRequest"),
        (query(AdapterError::NoLabel { resource: "pods".into() }.into()), 500, "InternalError"),
        (query(AdapterError::Template(template).into()), 500, "InternalError"),
        (query(AdapterError::Empty.into()), 500, "InternalError"),
        (query(AdapterError::TooLong { limit: 1 }.into()), 500, "InternalError"),
        (AnswerError::NoResourceRules.into(), 404, "NotFound"),
        (AnswerError::NoObject { resource: "pods", name: "p".into() }.into(), 404, "NotFound"),
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
        (objects(ObjectsError::Forbidden { verb: "list", resource: pods() }), 500, "InternalError"),
        (objects(ObjectsError::TooMany { resource: pods(), limit: 1 }), 500, "InternalError"),
        (objects(ObjectsError::Unavailable { resource: pods() }), 503, "ServiceUnavailable"),
        (objects(ObjectsError::Deadline { resource: pods() }), 504, "Timeout"),
        (AnswerError::UnknownResource { resource: "pots".into() }.into(), 500, "InternalError"),
        (not_found("pods", Some(PlanError::NotCustom)), 404, "NotFound"),
        (not_found("pods till-1", None), 404, "NotFound"),
        (hold_over(QueryError::TimedOut(Duration::from_secs(10))), 504, "Timeout"),
        (value(ValueError::NoData), 404, "NotFound"),
        (value(ValueError::NotANumber), 500, "InternalError"),
        (value(ValueError::SeveralSeries { count: 2 }), 500, "InternalError"),
        (value(ValueError::Infinite("+Inf")), 500, "InternalError"),
        (value(ValueError::TooLarge), 500, "InternalError"),
        (value(ValueError::Negative(Quantity::default())), 500, "InternalError"),
        (value(ValueError::Partial { warning: "a store".into() }), 503, "ServiceUnavailable"),
    ]
}

/// The sentences that users of prometheus-adapter search for.
#[test]
fn errors_of_custom_metrics_begin_with_prometheus_adapters_sentences() {
    let message = |error: &Error| Status::from(error).message;
    assert_eq!(message(&not_found("pods", None)), "the server could not find the metric m for pods");
    assert_eq!(
        message(&not_found("pods till-1", Some(PlanError::NotCustom))),
        "the server could not find the metric m for pods till-1"
    );
    let forbidden = objects(ObjectsError::Forbidden { verb: "list", resource: pods() });
    let sentence =
        "Internal error occurred: unable to list matching resources: the metrics server is not allowed";
    assert!(message(&forbidden).starts_with(sentence), "{}", message(&forbidden));
    let custom = |source| {
        AnswerError::Custom { error: Box::new(AnswerError::Value { metric: metric(), source }) }.into()
    };
    let nan = message(&custom(ValueError::NotANumber));
    assert!(nan.starts_with("Internal error occurred: unable to fetch metrics: metric `m`: "), "{nan}");
    let partial = message(&custom(ValueError::Partial { warning: "a store".into() }));
    assert!(partial.starts_with("unable to fetch metrics: "), "no internal error: {partial}");
}

#[test]
fn every_error_has_its_code_and_reason_and_reveals_nothing() {
    for (error, code, reason) in table_of_errors() {
        let status = Status::from(&error);
        assert_eq!(status.code(), code, "{error:?}");
        assert!(!status.message.is_empty() && !status.message.contains('\n'), "{error:?}");
        assert!(!status.message.contains("secret"), "{}", status.message);
        assert_eq!(status.retry_after_seconds().is_some(), code == 429, "{error:?}");
        let json: serde_json::Value = serde_json::from_slice(&status.to_json()).unwrap();
        assert_eq!((&json["code"], &json["reason"]), (&code.into(), &reason.into()), "{error:?}");
    }
}

/// The variants of an error, by name.
trait Variants {
    const ALL: &'static [&'static str];
    fn variant(&self) -> &'static str;
}

/// The match has no wildcard: a new variant does not compile until it is listed here, and then the test below fails
/// until the table of errors has it.
macro_rules! variants {
    ($($error:ident { $($variant:ident),* $(,)? })*) => {
        $(impl Variants for $error {
            const ALL: &'static [&'static str] =
                &[$(concat!(stringify!($error), "::", stringify!($variant))),*];

            fn variant(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => concat!(stringify!($error), "::", stringify!($variant))),*
                }
            }
        })*

        fn all_variants() -> BTreeSet<&'static str> {
            [$(<$error>::ALL),*].concat().into_iter().collect()
        }
    };
}

variants! {
    Error { Request, Limit, Authn, Authz, Answer }
    RequestError {
        Path, Namespace, Metric, Selector, MetricSelector, FieldSelector, FieldName, ShortPath, Timeout, Malformed,
        Upgrade, UnknownPath, Watch, Method, NotAcceptable,
    }
    LimitError { TooManyInFlight, TooLarge, Deadline, HeadersTooLarge, HeadersTimeout, Panicked }
    AuthnError { Untrusted, InvalidToken, ReviewFailed, TooManyReviews, ImpersonationRefused }
    AuthzError { Denied, TooManyReviews, Throttled, ReviewFailed }
    AnswerError {
        Unknown, Pending, Plan, Read, Value, Objects, UnknownResource, NotFound, Custom, NoResourceRules, NoObject,
        HoldOver,
    }
    ObjectsError { Forbidden, Unavailable, Deadline, TooMany }
    PlanError { AllNamespaces, Comparison, NotAllowed, Parameter, Adapter, NotCustom, TooLong }
    AdapterError { Comparison, NoLabel, Template, Empty, TooLong }
    ReadError { Query, DeadlinePassed, TooOld, Busy }
    QueryError { TimedOut, Unavailable, Refused, Malformed, Unfit, TooMuch, BreakerOpen }
    ValueError { NoData, SeveralSeries, NotANumber, Infinite, TooLarge, Negative, Partial }
}

/// The variants that an error consists of, from the outside in.
fn variants_in(error: &Error) -> Vec<&'static str> {
    let inner = match error {
        Error::Request(error) => vec![error.variant()],
        Error::Limit(error) => vec![error.variant()],
        Error::Authn(error) => vec![error.variant()],
        Error::Authz { source, .. } => vec![source.variant()],
        Error::Answer(error) => variants_in_answer(error),
    };
    [vec![error.variant()], inner].concat()
}

fn variants_in_answer(error: &AnswerError) -> Vec<&'static str> {
    let inner = match error {
        AnswerError::Unknown { .. }
        | AnswerError::Pending { .. }
        | AnswerError::UnknownResource { .. }
        | AnswerError::NotFound { .. }
        | AnswerError::NoResourceRules
        | AnswerError::NoObject { .. } => vec![],
        AnswerError::Plan { source: PlanError::Adapter(query), .. } => {
            vec!["PlanError::Adapter", query.variant()]
        }
        AnswerError::Plan { source, .. } => vec![source.variant()],
        AnswerError::Read { source, .. } => match source {
            ReadError::Query(query) => vec![source.variant(), query.variant()],
            _ => vec![source.variant()],
        },
        AnswerError::Value { source, .. } => vec![source.variant()],
        AnswerError::Objects(error) => vec![error.variant()],
        AnswerError::Custom { error } | AnswerError::HoldOver { error, .. } => variants_in_answer(error),
    };
    [vec![error.variant()], inner].concat()
}

#[test]
fn the_table_of_errors_has_every_variant() {
    let table = table_of_errors();
    let seen: BTreeSet<_> = table.iter().flat_map(|(error, ..)| variants_in(error)).collect();
    assert_eq!(seen, all_variants());
}

#[test]
fn a_reason_has_one_code() {
    let reasons: BTreeSet<_> = table_of_errors().iter().map(|(_, code, reason)| (*reason, *code)).collect();
    let without_own_reason = [Reason::HeadersTimeout, Reason::HeadersTooLarge].map(Reason::code);
    let paired = reasons.iter().filter(|(_, code)| !without_own_reason.contains(code));
    let names: BTreeSet<_> = paired.clone().map(|(reason, _)| reason).collect();
    assert_eq!(names.len(), paired.count(), "{reasons:?}");
}
