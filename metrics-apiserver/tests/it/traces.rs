//! Traces of the real executable, from a caller's `traceparent` to what a collector gets.

use std::time::Instant;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use serde_json::{Value, json};

use crate::http::{Play, Server};
use crate::stage::{PATIENCE, Stage, TOKEN};

/// As kube-apiserver sends it, but for the flags.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
/// More than a test makes.
const LOG_LINES_MAX: usize = 1_000;

/// A server process that sends traces to a collector.
struct Traced {
    stage: Stage,
    collector: Server,
}

impl Traced {
    fn start(collector: Play, rate_per_million: u32) -> Self {
        let collector = Server::plain(collector);
        let endpoint = format!("--otlp-endpoint={}", collector.url);
        let rate = format!("--otlp-sampling-rate-per-million={rate_per_million}");
        Self { stage: Stage::start(&[&endpoint, &rate], LOG_LINES_MAX), collector }
    }

    async fn read(&self, metric: &str, traceparent: &str) -> u16 {
        self.stage.read(metric, traceparent).await
    }

    /// What the collector got.
    fn spans(&self) -> Vec<Span> {
        let decoded = self.collector.requests().into_iter().flat_map(|request| {
            assert_eq!(request.line, "POST /v1/traces HTTP/1.1");
            assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
            ExportTraceServiceRequest::decode(&*request.body).unwrap().resource_spans
        });
        let scopes = decoded.flat_map(|resource| {
            let names = resource.resource.unwrap().attributes;
            let name = names.iter().find(|attribute| attribute.key == "service.name").unwrap();
            let name = name.value.clone().unwrap().value;
            assert_eq!(name, Some(Attribute::StringValue("metrics-apiserver".to_owned())));
            resource.scope_spans
        });
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{CALLER}-{flags}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// The one span of this name below `parent`.
#[track_caller]
fn below<'a>(spans: &'a [Span], parent: &[u8], name: &str) -> &'a Span {
    let found: Vec<_> =
        spans.iter().filter(|span| span.name == name && span.parent_span_id == parent).collect();
    assert_eq!(found.len(), 1, "{name} below {} in {spans:#?}", hex(parent));
    found[0]
}

fn attribute(span: &Span, key: &str) -> Value {
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.clone()?.value) {
        Some(Attribute::StringValue(text)) => json!(text),
        Some(Attribute::IntValue(number)) => json!(number),
        Some(Attribute::BoolValue(is)) => json!(is),
        None => Value::Null,
        other => panic!("{key} is {other:?} in {span:?}"),
    }
}

#[tokio::test]
async fn a_request_of_a_sampled_trace_gives_its_spans() {
    let traced = Traced::start(Play::json(200, ""), 0);
    assert_eq!(traced.read("queue_depth", &traceparent("01")).await, 200);
    traced.stage.end();
    let spans = traced.spans();
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE), "{spans:#?}");
    assert_eq!(spans.len(), 5, "{spans:#?}");

    let caller: Vec<u8> = CALLER.as_bytes().chunks(2).map(byte).collect();
    let request = below(&spans, &caller, "GET externalmetrics");
    assert_eq!(request.kind(), SpanKind::Server);
    for (key, value) in [
        ("http.request.method", json!("GET")),
        ("http.route", json!("externalmetrics")),
        ("http.response.status_code", json!(200)),
        ("audit.id", json!("an-audit-id")),
    ] {
        assert_eq!(attribute(request, key), value, "{key}");
    }
    for review in ["TokenReview", "SubjectAccessReview"] {
        assert_eq!(below(&spans, &request.span_id, review).kind(), SpanKind::Client);
    }
    let read = below(&spans, &request.span_id, "read");
    assert_eq!(attribute(read, "metric.name"), "queue_depth");
    assert_eq!(attribute(read, "k8s.namespace.name"), "shop");
    assert_eq!(attribute(read, "waited"), true);
    let query = below(&spans, &read.span_id, "query");
    assert_eq!(query.kind(), SpanKind::Client);
    assert_eq!(
        (attribute(query, "backend"), attribute(query, "outcome")),
        (json!("default"), json!("success"))
    );
    let asked = traced.stage.prometheus.requests();
    let told = format!("00-{TRACE}-{}-01", hex(&query.span_id));
    // Not the one for the engine, which is of no trace.
    let asked = asked.iter().find(|request| request.line.contains("/api/v1/query?")).unwrap();
    assert_eq!(asked.header("traceparent"), Some(&*told), "Prometheus can go on with the trace");

    let sent = traced.collector.requests().into_iter().flat_map(|request| request.body).collect::<Vec<_>>();
    for secret in [TOKEN, "till", "carol", "labelSelector"] {
        let found = sent.windows(secret.len()).any(|bytes| bytes == secret.as_bytes());
        assert!(!found, "{secret} is in a trace");
    }
}

fn byte(digits: &[u8]) -> u8 {
    u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()
}

#[tokio::test]
async fn a_request_of_no_sampled_trace_gives_nothing_at_rate_zero() {
    let traced = Traced::start(Play::json(200, ""), 0);
    let longer = traceparent("01-and-more");
    for traceparent in ["", &traceparent("00"), &longer, "garbage", &traceparent("zz")] {
        assert_eq!(traced.read("queue_depth", traceparent).await, 200);
    }
    traced.stage.end();
    assert!(traced.collector.requests().is_empty());
    assert!(traced.stage.prometheus.requests().iter().all(|request| request.header("traceparent").is_none()));
}

#[tokio::test]
async fn at_the_full_rate_each_request_is_traced_whose_caller_does_not_say_no() {
    let traced = Traced::start(Play::json(200, "no protobuf"), 1_000_000);
    assert_eq!(traced.read("queue_depth", "").await, 200);
    assert_eq!(traced.read("queue_depth", "").await, 200);
    assert_eq!(traced.read("broken", "no traceparent").await, 503);
    assert_eq!(traced.read("queue_depth", &traceparent("00")).await, 200);
    traced.stage.end();
    let spans = traced.spans();
    let requests = spans.iter().filter(|span| span.name == "GET externalmetrics");
    let mut read = Vec::new();
    for request in requests {
        assert!(request.parent_span_id.is_empty() && hex(&request.trace_id) != TRACE, "{request:?}");
        let waited = attribute(below(&spans, &request.span_id, "read"), "waited");
        read.push((attribute(request, "http.response.status_code"), waited));
    }
    assert_eq!(read, [(json!(200), json!(true)), (json!(200), json!(null)), (json!(503), json!(true))]);
    let broken = spans.iter().filter(|span| span.status.as_ref().is_some_and(|status| status.code == 2));
    assert_eq!(broken.map(|span| &*span.name).collect::<Vec<_>>(), ["query", "GET externalmetrics"]);
}

#[tokio::test]
async fn a_collector_that_hangs_delays_neither_reads_nor_the_end_for_long() {
    let traced = Traced::start(Play::Hang, 1_000_000);
    let began = Instant::now();
    // A batch is sent when there are 512 spans, of which a read makes two or more. After that they pile up.
    while traced.collector.requests().is_empty() {
        assert!(began.elapsed() < PATIENCE, "no batch was sent");
        assert_eq!(traced.read("queue_depth", "").await, 200);
    }
    for _ in 0..100 {
        assert_eq!(traced.read("queue_depth", "").await, 200);
    }
    traced.stage.end();
    assert!(
        traced
            .stage
            .process
            .log
            .iter()
            .any(|line| line.contains("the last traces did not reach the collector in time"))
    );
}
