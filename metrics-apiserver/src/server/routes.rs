//! What a URL asks for: the one place that reads paths. Documents and reads come from the API groups.

use std::borrow::Cow;
use std::time::Duration;

use hyper::header::{self, HeaderName};
use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::api::{
    self, Document, Documents, GROUPS, Group, Media, Offer, Parameters, RequestError, negotiate,
};
use crate::readiness::Endpoint;

/// A request's head with its URL parsed.
pub(super) struct Request<'a> {
    pub(super) raw: &'a Parts,
    pub(super) target: Target<'a>,
}

/// A URL, parsed once.
#[derive(Debug)]
pub(super) struct Target<'a> {
    /// What the query string says.
    pub(super) parameters: Parameters<'a>,
    /// A name of bounded variety, for metrics, traces and log lines.
    pub(super) resource: &'static str,
    /// What is served there, or an error in the URL, which is reported after authorization.
    pub(super) route: Result<Route<'a>, RequestError>,
}

/// What is served at a URL.
#[derive(Debug)]
pub(super) enum Route<'a> {
    /// A static document.
    Document(&'a Document),
    /// A health endpoint, or one of its checks.
    Probe(Endpoint, Option<Cow<'a, str>>),
    /// The server's own metrics.
    Metrics,
    /// A read of one of the APIs.
    Read(api::Request),
}

impl<'a> Request<'a> {
    pub(super) fn new(raw: &'a Parts, documents: &'a Documents) -> Self {
        let uri = &raw.uri;
        Self { raw, target: Target::parse(documents, uri.path(), uri.query().unwrap_or_default()) }
    }

    /// The media type that the client wants, of those that `offer` names.
    pub(super) fn media(&self, offer: Offer) -> Result<Media, RequestError> {
        negotiate(self.header(header::ACCEPT), offer)
    }

    /// Whether the answer is for a person.
    pub(super) fn is_pretty(&self) -> bool {
        self.target.parameters.pretty.unwrap_or_else(|| {
            let agent = self.header(header::USER_AGENT).unwrap_or_default();
            ["curl", "Wget", "Mozilla/5.0"].iter().any(|person| agent.starts_with(person))
        })
    }

    /// A header's first value, if it is text.
    pub(super) fn header(&self, name: HeaderName) -> Option<&str> {
        self.raw.headers.get(name)?.to_str().ok()
    }
}

impl<'a> Target<'a> {
    /// Parses a URL's raw path and query.
    pub(super) fn parse(documents: &'a Documents, path: &'a str, query: &'a str) -> Self {
        let parameters = Parameters::parse(query);
        let (resource, mut route) = Route::of(documents, path, &parameters);
        if let Err(error) = &parameters.timeout {
            route = route.and_then(|_| Err(error.clone()));
        }
        Self { parameters, resource, route }
    }

    /// The client's own deadline.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.parameters.timeout.as_ref().ok().copied().flatten()
    }

    /// Whether the request is a probe, which no limit may refuse.
    pub(super) const fn is_probe(&self) -> bool {
        matches!(self.route, Ok(Route::Probe(..)))
    }
}

/// Behind `/apis/GROUP/VERSION`, no API has longer paths than `namespaces/NAMESPACE/RESOURCE/NAME/SUBRESOURCE`.
const SEGMENTS_MAX: usize = 8;

impl<'a> Route<'a> {
    /// The route of a URL, and its name. Segments are percent-decoded, once.
    fn of(
        documents: &'a Documents,
        path: &'a str,
        parameters: &Parameters<'_>,
    ) -> (&'static str, Result<Self, RequestError>) {
        let unknown = |error| ("unknown", Err(error));
        let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').map(decode);
        let Ok(decoded) = segments.by_ref().take(SEGMENTS_MAX).collect::<Result<Vec<_>, _>>() else {
            return unknown(RequestError::Path);
        };
        if segments.next().is_some() {
            return unknown(RequestError::UnknownPath);
        }
        let names: [&str; SEGMENTS_MAX] = std::array::from_fn(|i| decoded.get(i).map_or("", AsRef::as_ref));
        match &names[..decoded.len()] {
            ["apis", group, version, read @ ..] if !matches!(read, [] | [""]) => {
                let Some((group, version)) = Group::find(GROUPS, group, version) else {
                    return unknown(RequestError::UnknownPath);
                };
                match (version.parse)(read, parameters) {
                    Ok(Some(request)) => (group.label, Ok(Self::Read(request))),
                    Ok(None) => unknown(RequestError::UnknownPath),
                    Err(error) => (group.label, Err(error)),
                }
            }
            ["metrics"] => ("metrics", Ok(Self::Metrics)),
            names => {
                if let Some(document) = documents.at(names) {
                    (document.kind.as_str(), Ok(Self::Document(document)))
                } else if let Some(probe) = probe(decoded) {
                    ("health", Ok(probe))
                } else {
                    unknown(RequestError::UnknownPath)
                }
            }
        }
    }
}

fn decode(segment: &str) -> Result<Cow<'_, str>, RequestError> {
    percent_decode_str(segment).decode_utf8().map_err(|_| RequestError::Path)
}

/// `/livez` or `/livez/CHECK`.
fn probe(segments: Vec<Cow<'_, str>>) -> Option<Route<'_>> {
    let mut segments = segments.into_iter();
    let endpoint = match &*segments.next()? {
        "healthz" => Endpoint::Healthz,
        "livez" => Endpoint::Livez,
        "readyz" => Endpoint::Readyz,
        _ => return None,
    };
    let check = segments.next();
    segments.next().is_none().then_some(Route::Probe(endpoint, check))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{MetricName, Namespace, Selector};

    /// The route in a few words, and the name of the target.
    fn read(target: &str) -> (String, &'static str) {
        let documents = Documents::new(GROUPS);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let target = Target::parse(&documents, path, query);
        let route = match target.route {
            Ok(Route::Document(document)) => document.path.clone(),
            Ok(Route::Probe(endpoint, check)) => format!("{endpoint:?} {check:?}"),
            Ok(Route::Metrics) => "metrics".to_owned(),
            Ok(Route::Read(api::Request::External { namespace, metric, selector })) => {
                format!("{namespace} {metric} {selector}")
            }
            Ok(Route::Read(api::Request::Custom { request, .. })) => request.metric.to_string(),
            Ok(Route::Read(api::Request::Usage { version, request })) => format!("{version:?} {request:?}"),
            Err(error) => format!("{error:?}"),
        };
        (route, target.resource)
    }

    #[track_caller]
    fn check(path: &str, route: &str, name: &str) {
        assert_eq!(read(path), (route.to_owned(), name), "{path}");
    }

    const V1BETA1: &str = "/apis/external.metrics.k8s.io/v1beta1";

    #[test]
    fn every_path_of_the_contract_has_its_meaning() {
        check("/", "/", "discovery");
        check("/apis", "/apis", "discovery");
        check("/apis/", "/apis", "discovery");
        check("/apis/external.metrics.k8s.io", "/apis/external.metrics.k8s.io", "discovery");
        check("/apis/external.metrics.k8s.io/", "/apis/external.metrics.k8s.io", "discovery");
        check(V1BETA1, V1BETA1, "discovery");
        check(&format!("{V1BETA1}/"), V1BETA1, "discovery");
        check(&format!("{V1BETA1}/namespaces/default/queue"), "default queue ", "externalmetrics");
        check("/openapi/v2", "/openapi/v2", "openapi");
        check("/openapi/v3", "/openapi/v3", "openapi");
        let document = "/openapi/v3/apis/external.metrics.k8s.io/v1beta1";
        check(document, document, "openapi");
        for version in ["v1beta1", "v1beta2"] {
            let custom = format!("/apis/custom.metrics.k8s.io/{version}");
            check(&custom, &custom, "discovery");
            check(&format!("{custom}/namespaces/shop/pods/*/m:rate"), "m:rate", "custommetrics");
            check(&format!("{custom}/namespaces/shop/pods/m"), "UnknownPath", "unknown");
            check(&format!("{custom}/namespaces/shop/m"), "ShortPath", "custommetrics");
        }
        check("/version", "/version", "version");
        check("/metrics", "metrics", "metrics");
        check("/healthz", "Healthz None", "health");
        check("/livez", "Livez None", "health");
        check("/readyz/shutdown", "Readyz Some(\"shutdown\")", "health");
        check("/readyz/", "Readyz Some(\"\")", "health");
    }

    #[test]
    fn a_read_is_parsed_once_from_path_and_query() {
        let documents = Documents::new(GROUPS);
        let path = format!("{V1BETA1}/namespaces/default/queue");
        let target = Target::parse(&documents, &path, "labelSelector=app%3Dweb&timeout=2s");
        let expected = api::Request::External {
            namespace: Namespace::parse("default").unwrap(),
            metric: MetricName::parse("queue").unwrap(),
            selector: "app=web".parse::<Selector>().unwrap(),
        };
        assert!(matches!(&target.route, Ok(Route::Read(request)) if *request == expected), "{target:?}");
        assert_eq!(target.timeout(), Some(Duration::from_secs(2)));
    }

    #[test]
    fn every_other_path_is_unknown() {
        for path in [
            "//",
            "/api",
            "/apis/other.metrics.k8s.io/v1beta1",
            "/apis/other.metrics.k8s.io/v1beta1/namespaces/default/queue",
            "/apis/external.metrics.k8s.io/v1",
            "/apis/external.metrics.k8s.io/v1/namespaces/default/queue",
            "/version/",
            "/metrics/",
            "/readyz/ping/x",
            "/openapi/v3/",
            "/openapi/v3/apis/external.metrics.k8s.io",
            "/apis%2Fexternal.metrics.k8s.io",
        ] {
            check(path, "UnknownPath", "unknown");
        }
        for rest in [
            "/queue",
            "/namespaces",
            "/namespaces/default",
            "/namespaces/default/",
            "/namespaces/default/queue/",
            "/namespaces/a/b/c",
            "/pods/a/b",
            "//",
            "/a/b/c/d/e/f/g/h/i",
        ] {
            check(&format!("{V1BETA1}{rest}"), "UnknownPath", "unknown");
        }
    }

    #[test]
    fn a_segment_is_decoded_exactly_once() {
        let prefix = format!("{V1BETA1}/namespaces/ns/");
        for (segment, metric) in [
            ("%2A", "*"),
            ("*", "*"),
            ("job:rate", "job:rate"),
            ("a+b%20c", "a+b c"),
            ("sch%C3%B6n", "schön"),
            ("%252A", ""),
            ("a%2Fb", ""),
        ] {
            let (route, name) = read(&format!("{prefix}{segment}"));
            // What decodes to a slash or a percent sign is not a metric name.
            let is_expected = if metric.is_empty() {
                route.starts_with("Metric(")
            } else {
                route == format!("ns {metric} ")
            };
            assert!(is_expected && name == "externalmetrics", "{segment}: {route}");
        }
        check("/%61pis", "/apis", "discovery");
        check(&format!("{prefix}%ff"), "Path", "unknown");
    }

    #[test]
    fn a_bad_url_keeps_the_name_of_what_it_asks_for() {
        let path = format!("{V1BETA1}/namespaces/ns/queue");
        check(&format!("{path}?timeout=soon"), "Timeout", "externalmetrics");
        let field = r#"FieldSelector(Field("status.phase"))"#;
        check(&format!("{path}?fieldSelector=status.phase%3DRunning"), field, "externalmetrics");
        check("/livez?timeout=soon", "Timeout", "health");
        check("/%ff?timeout=soon", "Path", "unknown");
        for query in ["watch=1", "labelSelector=a%20in%20("] {
            assert_eq!(read(&format!("{path}?{query}")).1, "externalmetrics");
        }
    }
}
