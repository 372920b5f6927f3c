//! Traces of the real executable, from a caller's `traceparent` to what a collector gets.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use reqwest::Certificate;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{Answer, Request, Server};

const METRICS: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop";
/// As kube-apiserver sends it, but for the flags.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const TOKEN: &str = "a-secret-token";
/// How long a test waits for anything before it fails.
const PATIENCE: Duration = Duration::from_secs(20);
/// No read of these tests takes a hundredth of it.
const READ_MAX: Duration = Duration::from_secs(2);
/// The two seconds of the flush, and what a busy machine takes to end a process.
const END_MAX: Duration = Duration::from_secs(5);

/// A server process between a collector, a Prometheus and a Kubernetes.
struct Stage {
    collector: Server,
    prometheus: Server,
    address: String,
    http: reqwest::Client,
    pid: Pid,
    /// Each line of the log.
    log: Receiver<String>,
    ended: Receiver<ExitStatus>,
    _kubernetes: Server,
    _directory: TempDir,
}

impl Stage {
    fn start(collector: Answer, rate_per_million: u32) -> Self {
        let collector = Server::start(move |_| collector.clone());
        let (prometheus, kubernetes) = (Server::start(query), Server::start(review));
        let directory = tempfile::tempdir().unwrap();
        let certificate = write_files(directory.path(), &prometheus.url(), &kubernetes.url());
        let mut child = Command::new(env!("CARGO_BIN_EXE_metrics-apiserver"))
            .current_dir(&directory)
            .args(["--bind-address=127.0.0.1", "--secure-port=0", "--config=config.yaml"])
            .args(["--tls-cert-file=tls.crt", "--tls-private-key-file=tls.key"])
            .args(["--kubeconfig=kubeconfig.json", "--authentication-skip-lookup"])
            .arg(format!("--otlp-endpoint={}", collector.url()))
            .arg(format!("--otlp-sampling-rate-per-million={rate_per_million}"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let (told, log) = mpsc::channel();
        // Both end with the process; a test that is over does not want to know.
        std::thread::spawn(move || lines.for_each(|line| drop(told.send(line))));
        let (tell, ended) = mpsc::channel();
        std::thread::spawn(move || tell.send(child.wait().unwrap()));
        // reqwest panics without one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([certificate]).build().unwrap();
        let address = loop {
            let line = log.recv_timeout(PATIENCE).expect("it serves");
            if let Some((_, address)) = line.split_once("serving address=") {
                break address.to_owned();
            }
        };
        Self {
            collector,
            prometheus,
            address,
            http,
            pid,
            log,
            ended,
            _kubernetes: kubernetes,
            _directory: directory,
        }
    }

    /// Reads a metric; gives the status.
    async fn read(&self, metric: &str, traceparent: &str) -> u16 {
        let request = self
            .http
            .get(format!("https://{}{METRICS}/{metric}?labelSelector=app%3Dtill", self.address))
            .timeout(READ_MAX)
            .bearer_auth(TOKEN)
            .header("Audit-ID", "an-audit-id");
        let request =
            if traceparent.is_empty() { request } else { request.header("traceparent", traceparent) };
        request.send().await.unwrap().status().as_u16()
    }

    /// Ends the server and waits for that, which it has to be quick about.
    fn end(&self) {
        let began = Instant::now();
        kill(self.pid, Signal::SIGTERM).unwrap();
        let status = self.ended.recv_timeout(PATIENCE).unwrap();
        assert!(status.success(), "{status}");
        assert!(began.elapsed() < END_MAX, "{:?}", began.elapsed());
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

impl Drop for Stage {
    fn drop(&mut self) {
        // Gone already, unless the test failed.
        let _ = kill(self.pid, Signal::SIGKILL);
    }
}

/// The configuration, the kubeconfig, and a serving certificate with its key.
fn write_files(directory: &Path, prometheus: &str, kubernetes: &str) -> Certificate {
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
    let metric = |name: &str| json!({"name": name, "query": name});
    let metrics = [metric("queue_depth"), metric("broken")];
    let config = json!({"backends": {"default": {"url": prometheus}}, "metrics": metrics});
    write("config.yaml", &config.to_string());
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    write("tls.crt", &made.cert.pem());
    write("tls.key", &made.signing_key.serialize_pem());
    let kubeconfig = json!({
        "current-context": "fake",
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        "clusters": [{"name": "fake", "cluster": {"server": kubernetes, "certificate-authority": "tls.crt"}}],
        "users": [{"name": "fake", "user": {}}],
    });
    write("kubeconfig.json", &kubeconfig.to_string());
    Certificate::from_pem(made.cert.pem().as_bytes()).unwrap()
}

/// Prometheus: 2.5, unless something is broken.
fn query(request: &Request) -> Answer {
    if request.line.contains("broken") {
        return Answer::Json(503, String::new());
    }
    let vector = json!({"resultType": "vector", "result": [{"metric": {}, "value": [0, "2.5"]}]});
    Answer::Json(200, json!({"status": "success", "data": vector}).to_string())
}

/// Kubernetes: the token is carol's, who may do everything.
fn review(request: &Request) -> Answer {
    let mut review: Value = serde_json::from_slice(&request.body).unwrap();
    review["status"] = if request.line.contains("tokenreviews") {
        json!({"authenticated": review["spec"]["token"] == TOKEN, "user": {"username": "carol"}})
    } else {
        json!({"allowed": true})
    };
    Answer::Json(201, review.to_string())
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
    let stage = Stage::start(Answer::Json(200, String::new()), 0);
    assert_eq!(stage.read("queue_depth", &traceparent("01")).await, 200);
    stage.end();
    let spans = stage.spans();
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
    let asked = stage.prometheus.requests();
    let told = format!("00-{TRACE}-{}-01", hex(&query.span_id));
    assert_eq!(asked[0].header("traceparent"), Some(&*told), "Prometheus can go on with the trace");

    let sent = stage.collector.requests().into_iter().flat_map(|request| request.body).collect::<Vec<_>>();
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
    let stage = Stage::start(Answer::Json(200, String::new()), 0);
    let longer = traceparent("01-and-more");
    for traceparent in ["", &traceparent("00"), &longer, "garbage", &traceparent("zz")] {
        assert_eq!(stage.read("queue_depth", traceparent).await, 200);
    }
    stage.end();
    assert!(stage.collector.requests().is_empty());
    assert!(stage.prometheus.requests().iter().all(|request| request.header("traceparent").is_none()));
}

#[tokio::test]
async fn at_the_full_rate_each_request_is_traced_whose_caller_does_not_say_no() {
    let stage = Stage::start(Answer::Json(200, "no protobuf".to_owned()), 1_000_000);
    assert_eq!(stage.read("queue_depth", "").await, 200);
    assert_eq!(stage.read("queue_depth", "").await, 200);
    assert_eq!(stage.read("broken", "no traceparent").await, 503);
    assert_eq!(stage.read("queue_depth", &traceparent("00")).await, 200);
    stage.end();
    let spans = stage.spans();
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
    let stage = Stage::start(Answer::Hang, 1_000_000);
    let began = Instant::now();
    // A batch is sent when there are 512 spans, of which a read makes two or more. After that they pile up.
    while stage.collector.requests().is_empty() {
        assert!(began.elapsed() < PATIENCE, "no batch was sent");
        assert_eq!(stage.read("queue_depth", "").await, 200);
    }
    for _ in 0..100 {
        assert_eq!(stage.read("queue_depth", "").await, 200);
    }
    stage.end();
    assert!(
        stage.log.iter().any(|line| line.contains("the last traces did not reach the collector in time"))
    );
}
