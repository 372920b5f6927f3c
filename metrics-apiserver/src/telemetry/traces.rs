//! Traces by OTLP: their spans, and the `traceparent` of requests. Off unless a collector is configured.
//!
//! Traces consist of the spans with target [`TARGET`] (`info_span!(target: "traces", …)`), which are not logged. Other
//! rooms do not use OpenTelemetry: they set the fields `otel.kind`, `otel.name` and `otel.status_code`. If traces are
//! off, these spans are disabled, which costs a read one comparison.
//!
//! Sampling is decided at the root of a trace: by the caller's `traceparent`, or else by the sampling rate.

use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter};
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanExporter as _};
use reqwest::redirect;
use tracing::level_filters::LevelFilter;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt as _};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use super::error::InitError;
use super::export::{Export, export};
use super::options::TRACES_PATH;
use crate::syntax::BaseUrl;

/// The target of the spans of traces.
pub(super) const TARGET: &str = "traces";

/// The layer that makes spans, and the export that sends them. Does not connect yet. Of a million requests without a
/// sampling decision, `sampling_rate_per_million` are traced.
pub(super) fn layer<S>(
    endpoint: &BaseUrl,
    sampling_rate_per_million: u32,
) -> Result<(impl Layer<S> + Send + Sync + use<S>, Export<SpanExporter>), InitError>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let resource = Resource::builder()
        .with_service_name(env!("CARGO_PKG_NAME"))
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(http_client(endpoint)?)
        .with_endpoint(format!("{}{TRACES_PATH}", endpoint.as_str()))
        .with_protocol(Protocol::HttpBinary)
        // A retry would delay the spans after it.
        .with_retry_policy(RetryPolicy::disabled())
        .build()?;
    exporter.set_resource(&resource);
    let (queue, export) = export(exporter);
    let rate = f64::from(sampling_rate_per_million) / 1e6;
    let provider = SdkTracerProvider::builder()
        .with_span_processor(queue)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(rate))))
        .build();
    let layer = OpenTelemetryLayer::new(provider.tracer(env!("CARGO_PKG_NAME")))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
        .with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO));
    Ok((layer, export))
}

fn http_client(endpoint: &BaseUrl) -> Result<reqwest::Client, reqwest::Error> {
    // reqwest panics without a default provider. The error means that there is one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let builder = reqwest::Client::builder().no_proxy().redirect(redirect::Policy::none());
    // Without TLS, the CAs of the system are not needed.
    if endpoint.is_https() { builder.build() } else { builder.tls_certs_only([]).build() }
}

/// Adds `span`, which must not be entered yet, to the trace of a `traceparent` header. An invalid header is ignored.
pub fn continue_trace(span: &Span, traceparent: &[u8]) {
    if let Some(caller) = caller(traceparent) {
        // Fails only if the span is disabled.
        let _ = span.set_parent(Context::new().with_remote_span_context(caller));
    }
}

/// The `traceparent` for a request to a backend, if the current span is sampled.
pub fn traceparent() -> Option<String> {
    let context = Span::current().context();
    let span = context.span();
    let span = span.span_context();
    span.is_sampled().then(|| format!("00-{}-{}-01", span.trace_id(), span.span_id()))
}

/// `00-<trace id>-<span id>-<flags>`, in lower-case hexadecimal digits.
const TRACEPARENT_BYTES: usize = 55;

fn caller(traceparent: &[u8]) -> Option<SpanContext> {
    let is_well_formed = traceparent.len() == TRACEPARENT_BYTES
        && traceparent.iter().enumerate().all(|(at, byte)| match at {
            2 | 35 | 52 => *byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        });
    let text = str::from_utf8(traceparent).ok().filter(|text| is_well_formed && text.starts_with("00"))?;
    let trace = TraceId::from_hex(&text[3..35]).ok()?;
    let span = SpanId::from_hex(&text[36..52]).ok()?;
    let flags = u8::from_str_radix(&text[53..], 16).ok()?;
    let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
    let caller = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    caller.is_valid().then_some(caller)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_has_trace_id_span_id_and_the_sampled_flag() {
        let parent = caller(GOOD.as_bytes()).unwrap();
        assert_eq!(parent.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(parent.span_id().to_string(), "b7ad6b7169203331");
        assert!(parent.is_sampled() && parent.is_remote());
        let (sampled, flags) = (|flags: &str| format!("{}{flags}", &GOOD[..53]), ["00", "02", "ff", "03"]);
        let kept = flags.map(|flags| caller(sampled(flags).as_bytes()).unwrap().is_sampled());
        assert_eq!(kept, [false, false, true, true], "only the lowest bit counts");
    }

    #[test]
    fn an_invalid_traceparent_is_ignored() {
        let zeros = |range: std::ops::Range<usize>| {
            let mut text = GOOD.to_owned();
            text.replace_range(range.clone(), &"0".repeat(range.len()));
            text
        };
        for text in [
            "",
            "00",
            "garbage",
            &GOOD.to_uppercase(),
            &GOOD[..54],
            &format!("{GOOD}0"),
            &format!("{GOOD}-more"),
            &GOOD.replace('-', "_"),
            &GOOD.replace("0af", "+af"),
            &GOOD.replace("0af", "0\u{e9}"),
            &GOOD.replacen("00", "ff", 1),
            &GOOD.replacen("00", "01", 1),
            &zeros(3..35),
            &zeros(36..52),
            &GOOD.repeat(10_000),
        ] {
            assert!(caller(text.as_bytes()).is_none(), "{}", &text[..text.len().min(80)]);
        }
        assert!(caller(&[0xff; TRACEPARENT_BYTES]).is_none());
    }

    #[test]
    fn a_collector_may_use_tls_and_have_a_path() {
        for endpoint in ["http://collector:4318", "https://collector", "https://[::1]:4318/otlp"] {
            layer::<tracing_subscriber::Registry>(&BaseUrl::parse(endpoint, TRACES_PATH).unwrap(), 1)
                .unwrap();
        }
    }

    #[test]
    fn outside_a_trace_there_is_no_traceparent() {
        assert_eq!(traceparent(), None);
        continue_trace(&Span::none(), GOOD.as_bytes());
    }
}
