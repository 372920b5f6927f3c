//! Every path there is, on one screen.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::reply::Response;
use super::request::Request;
use super::{Shared, documents, health, read, scrape};
use crate::api::{Error, GROUP, RequestError, VERSION};
use crate::readiness::Endpoint;

/// What a path means. Segments are percent-decoded, once.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Root,
    Groups,
    Group,
    Resources,
    Read { namespace: Cow<'a, str>, metric: Cow<'a, str> },
    OpenapiV2,
    OpenapiIndex,
    OpenapiGroupVersion,
    Version,
    Health(Endpoint),
    HealthCheck(Endpoint, Cow<'a, str>),
    Metrics,
    Unknown,
}

impl<'a> Route<'a> {
    /// The meaning of a URL's raw path.
    pub(super) fn of(path: &'a str) -> Result<Self, RequestError> {
        let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').map(decode);
        // No path of ours is longer; what comes behind decides only that this one is not known.
        let first: Vec<Cow<'a, str>> = segments.by_ref().take(SEGMENTS_MAX).collect::<Result<_, _>>()?;
        let is_longer = segments.next().is_some();
        let names: [&str; SEGMENTS_MAX] = std::array::from_fn(|i| first.get(i).map_or("", AsRef::as_ref));
        Ok(match &names[..first.len()] {
            _ if is_longer => Self::Unknown,
            [""] => Self::Root,
            ["version"] => Self::Version,
            ["metrics"] => Self::Metrics,
            ["apis"] | ["apis", ""] => Self::Groups,
            ["apis", GROUP] | ["apis", GROUP, ""] => Self::Group,
            ["apis", GROUP, VERSION] | ["apis", GROUP, VERSION, ""] => Self::Resources,
            ["apis", GROUP, VERSION, "namespaces", _, metric] if !metric.is_empty() => {
                let mut names = first.into_iter().skip(4);
                Self::Read {
                    namespace: names.next().unwrap_or_default(),
                    metric: names.next().unwrap_or_default(),
                }
            }
            ["openapi", "v2"] => Self::OpenapiV2,
            ["openapi", "v3"] => Self::OpenapiIndex,
            ["openapi", "v3", "apis", GROUP, VERSION] => Self::OpenapiGroupVersion,
            [endpoint] => health_endpoint(endpoint).map_or(Self::Unknown, Self::Health),
            [endpoint, _] => match health_endpoint(endpoint) {
                Some(endpoint) => Self::HealthCheck(endpoint, first.into_iter().nth(1).unwrap_or_default()),
                None => Self::Unknown,
            },
            _ => Self::Unknown,
        })
    }

    /// Hands the request to its handler.
    pub(super) async fn handle(&self, shared: &Shared, request: &Request<'_>) -> Result<Response, Error> {
        let documents = &shared.documents;
        match self {
            Self::Read { namespace, metric } => read::external(shared, request, namespace, metric).await,
            Self::Groups => documents::groups(documents, request),
            Self::Group => documents::plain(&documents.group, request),
            Self::Resources => documents::plain(&documents.resources, request),
            Self::Root => documents::plain(&documents.root, request),
            Self::Version => documents::plain(&documents.version, request),
            Self::OpenapiV2 => documents::tagged(&documents.openapi_v2, request),
            Self::OpenapiIndex => documents::tagged(&documents.openapi_index, request),
            Self::OpenapiGroupVersion => documents::tagged(&documents.openapi_group_version, request),
            Self::Health(endpoint) => Ok(health::all(&shared.readiness, *endpoint, request)),
            Self::HealthCheck(endpoint, name) => health::one(&shared.readiness, *endpoint, name),
            Self::Metrics => Ok(scrape::metrics(&shared.registry, &shared.large).await),
            Self::Unknown => Err(RequestError::UnknownPath.into()),
        }
    }

    /// A name of bounded variety, for metrics and log lines.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Read { .. } => "externalmetrics",
            Self::Root | Self::Groups | Self::Group | Self::Resources => "discovery",
            Self::OpenapiV2 | Self::OpenapiIndex | Self::OpenapiGroupVersion => "openapi",
            Self::Version => "version",
            Self::Health(_) | Self::HealthCheck(..) => "health",
            Self::Metrics => "metrics",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the request is a probe, which no limit may turn away.
    pub(super) const fn is_probe(&self) -> bool {
        matches!(self, Self::Health(_) | Self::HealthCheck(..))
    }
}

/// `/apis/GROUP/VERSION/namespaces/NAMESPACE/METRIC` is the longest path.
const SEGMENTS_MAX: usize = 6;

fn decode(segment: &str) -> Result<Cow<'_, str>, RequestError> {
    percent_decode_str(segment).decode_utf8().map_err(|_| RequestError::Path)
}

fn health_endpoint(name: &str) -> Option<Endpoint> {
    match name {
        "healthz" => Some(Endpoint::Healthz),
        "livez" => Some(Endpoint::Livez),
        "readyz" => Some(Endpoint::Readyz),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, RequestError, Route};

    #[track_caller]
    fn check(path: &str, expected: Route<'_>) {
        assert_eq!(Route::of(path), Ok(expected), "{path}");
    }

    fn read<'a>(namespace: &'a str, metric: &'a str) -> Route<'a> {
        Route::Read { namespace: namespace.into(), metric: metric.into() }
    }

    #[test]
    fn every_path_of_the_contract_has_its_meaning() {
        check("/", Route::Root);
        check("/apis", Route::Groups);
        check("/apis/", Route::Groups);
        check("/apis/external.metrics.k8s.io", Route::Group);
        check("/apis/external.metrics.k8s.io/", Route::Group);
        check("/apis/external.metrics.k8s.io/v1beta1", Route::Resources);
        check("/apis/external.metrics.k8s.io/v1beta1/", Route::Resources);
        check("/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue", read("default", "queue"));
        check("/openapi/v2", Route::OpenapiV2);
        check("/openapi/v3", Route::OpenapiIndex);
        check("/openapi/v3/apis/external.metrics.k8s.io/v1beta1", Route::OpenapiGroupVersion);
        check("/version", Route::Version);
        check("/metrics", Route::Metrics);
        check("/healthz", Route::Health(Endpoint::Healthz));
        check("/livez", Route::Health(Endpoint::Livez));
        check("/readyz/shutdown", Route::HealthCheck(Endpoint::Readyz, "shutdown".into()));
    }

    #[test]
    fn every_other_path_is_unknown() {
        let version = "/apis/external.metrics.k8s.io/v1beta1";
        for path in [
            "",
            "//",
            "/api",
            "/apis/custom.metrics.k8s.io/v1beta1",
            "/apis/external.metrics.k8s.io/v1",
            "/version/",
            "/readyz/ping/x",
            "/openapi/v3/apis/external.metrics.k8s.io",
        ] {
            if !path.is_empty() {
                check(path, Route::Unknown);
            }
        }
        for rest in [
            "/queue",
            "/namespaces",
            "/namespaces/default",
            "/namespaces/default/",
            "/namespaces/a/b/c",
            "/pods/a/b",
        ] {
            check(&format!("{version}{rest}"), Route::Unknown);
        }
    }

    #[test]
    fn a_segment_is_decoded_exactly_once() {
        let prefix = "/apis/external.metrics.k8s.io/v1beta1/namespaces/ns/";
        check(&format!("{prefix}a%2Fb"), read("ns", "a/b"));
        check(&format!("{prefix}a%252Fb"), read("ns", "a%2Fb"));
        check(&format!("{prefix}%2A"), read("ns", "*"));
        check(&format!("{prefix}*"), read("ns", "*"));
        check(&format!("{prefix}job:rate"), read("ns", "job:rate"));
        check(&format!("{prefix}a+b%20c"), read("ns", "a+b c"));
        check(&format!("{prefix}sch%C3%B6n"), read("ns", "schön"));
        check("/%61pis", Route::Groups);
        assert_eq!(Route::of(&format!("{prefix}%ff")), Err(RequestError::Path));
    }
}
