//! What the router, the authorizer and the handlers take any URL for: two readings of one URL are how a check is
//! bypassed.

use std::fmt::Arguments;
use std::sync::LazyLock;

use hyper::Uri;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::routes::{Route, Target};
use crate::answer::{CustomRequest, UsageRequest, UsageTarget, WantedObjects};
use crate::api::{self, Documents, GROUPS, Group, Parameters, RequestError};
use crate::authz::{Attributes, attributes_of};
use crate::metric::Namespace;

static DOCUMENTS: LazyLock<Documents> = LazyLock::new(|| Documents::new(GROUPS));

/// What a request line can hold: path and query are decoded once, and what is served is what is authorized. The path is
/// also tried as one of each API group.
pub fn request(data: &[u8]) {
    let Ok(uri) = Uri::try_from(data) else { return };
    let query = uri.query().unwrap_or_default();
    path_is_read_once(uri.path(), query);
    for group in GROUPS {
        for version in group.versions {
            let prefix = format!("/apis/{}", group.api_version(version));
            path_is_read_once(&format!("{prefix}{}", uri.path()), query);
            path_is_read_once(&format!("{prefix}/namespaces/ns{}", uri.path()), query);
        }
    }
    query_is_read_once(query);
}

fn path_is_read_once(path: &str, query: &str) {
    let target = Target::parse(&DOCUMENTS, path, query);
    let Parameters { watch, field_selector, .. } = &target.parameters;
    let rights = attributes_of("GET", path, *watch, field_selector);
    let context = format_args!("{path:?}?{query:?}: {target:?}, {rights:?}");
    match &target.route {
        Ok(Route::Read(request)) => read_is_authorized(query, request, &rights, context),
        Ok(Route::Document(document)) => {
            let trimmed = |path: &str| path.trim_end_matches('/').to_owned();
            assert_eq!(non_resource(&rights).map(trimmed), Some(trimmed(&document.path)), "{context}");
        }
        Ok(Route::Metrics | Route::Probe(..)) => assert!(non_resource(&rights).is_some(), "{context}"),
        Err(RequestError::Path) => assert!(percent_decode_str(path).decode_utf8().is_err(), "{context}"),
        Err(RequestError::Timeout) => assert!(target.parameters.timeout.is_err(), "{context}"),
        Err(RequestError::Watch { .. }) => {
            // What kube-apiserver takes for a namespace's subresource is never a watch to it.
            // Nor is a read of one object, as which it takes each read of a custom metric.
            let is_watch = matches!(&rights, Attributes::Resource { verb, resource, group, .. }
                if verb == "watch" || resource == "namespaces" || group == "custom.metrics.k8s.io");
            assert!(is_watch && group_of(&rights) == Some(target.resource), "{context}");
        }
        Err(
            RequestError::Namespace(_)
            | RequestError::Metric(_)
            | RequestError::Selector(_)
            | RequestError::MetricSelector(_)
            | RequestError::FieldSelector(_)
            | RequestError::FieldName
            | RequestError::ShortPath,
        ) => {
            assert_eq!(group_of(&rights), Some(target.resource), "{context}");
        }
        Err(RequestError::UnknownPath) => assert_eq!(target.resource, "unknown", "{context}"),
        Err(
            RequestError::Malformed
            | RequestError::Upgrade
            | RequestError::Method
            | RequestError::NotAcceptable,
        ) => {
            unreachable!("a URL cannot be at fault: {context}")
        }
    }
}

fn non_resource(rights: &Attributes) -> Option<&str> {
    match rights {
        Attributes::NonResource { path, .. } => Some(path),
        Attributes::Resource { .. } => None,
    }
}

/// The label of the API group, if it is one that is served.
fn group_of(rights: &Attributes) -> Option<&'static str> {
    let Attributes::Resource { group, version, .. } = rights else { return None };
    Group::find(GROUPS, group, version).map(|(group, _)| group.label)
}

/// The path of the request, written again, is the same request; and the right to it is the one that is asked for.
fn read_is_authorized(query: &str, request: &api::Request, rights: &Attributes, context: Arguments<'_>) {
    let Attributes::Resource { verb, group, version, namespace, resource, subresource, name } = rights else {
        unreachable!("a read is about a resource: {context}")
    };
    assert!(group_of(rights).is_some(), "{context}");
    let path = match request {
        api::Request::External { namespace, metric, .. } => {
            format!("namespaces/{}/{}", escaped(namespace.as_str()), escaped(metric.as_str()))
        }
        api::Request::Custom { request, .. } => path_of_custom(request),
        api::Request::Usage { request, .. } => path_of_usage(request),
    };
    let again = format!("/apis/{group}/{version}/{path}");
    let reread = Target::parse(&DOCUMENTS, &again, query);
    assert!(matches!(&reread.route, Ok(Route::Read(same)) if same == request), "{context}; {reread:?}");
    match request {
        api::Request::External { namespace: served, metric, .. } => {
            assert_eq!(namespace.as_deref(), Some(served.as_str()), "{context}");
            // kube-apiserver takes these two for a namespace's subresources and asks for the right to those.
            if !matches!(metric.as_str(), "status" | "finalize") {
                assert_eq!((verb.as_str(), resource.as_str()), ("list", metric.as_str()), "{context}");
                let narrowed = first(query, "fieldSelector").is_some();
                assert!(subresource.is_none() && (narrowed || name.is_none()), "{context}");
            }
        }
        api::Request::Custom { request, .. } => {
            let (object, metric) = (object_of(request), request.metric.as_str());
            let rights = (verb.as_str(), namespace.as_deref(), resource.as_str(), name.as_deref());
            let (expected, expected_subresource) = match (&request.namespace, &*request.resource) {
                (None, "namespaces") => (("get", Some(object), "metrics", Some(metric)), None),
                (served, of) => {
                    let served = served.as_ref().map(Namespace::as_str);
                    (("get", served, of, Some(object)), Some(metric))
                }
            };
            assert_eq!((rights, subresource.as_deref()), (expected, expected_subresource), "{context}");
        }
        api::Request::Usage { request, .. } => {
            let (wanted, of) = match &request.target {
                UsageTarget::Nodes => ("nodes", None),
                UsageTarget::Pods(of) => ("pods", of.as_ref().map(Namespace::as_str)),
            };
            assert_eq!((resource.as_str(), namespace.as_deref()), (wanted, of), "{context}");
            assert_eq!(verb == "get", request.name.is_some(), "{context}");
            let narrowed = first(query, "fieldSelector").is_some();
            assert!(subresource.is_none(), "{context}");
            assert!(narrowed || name.as_deref() == request.name.as_deref(), "{context}");
        }
    }
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn object_of(request: &CustomRequest) -> &str {
    match &request.objects {
        WantedObjects::Named(name) => name,
        WantedObjects::Selected(_) => "*",
    }
}

fn path_of_usage(request: &UsageRequest) -> String {
    let name = request.name.as_ref().map_or_else(String::new, |name| format!("/{}", escaped(name)));
    match &request.target {
        UsageTarget::Nodes => format!("nodes{name}"),
        UsageTarget::Pods(None) => "pods".to_owned(),
        UsageTarget::Pods(Some(namespace)) => {
            format!("namespaces/{}/pods{name}", escaped(namespace.as_str()))
        }
    }
}

fn path_of_custom(request: &CustomRequest) -> String {
    let (resource, metric) = (escaped(&request.resource), escaped(request.metric.as_str()));
    let object = escaped(object_of(request));
    match &request.namespace {
        Some(namespace) => {
            format!("namespaces/{}/{resource}/{object}/{metric}", escaped(namespace.as_str()))
        }
        None if *request.resource == *"namespaces" => format!("namespaces/{object}/metrics/{metric}"),
        None => format!("{resource}/{object}/{metric}"),
    }
}

fn query_is_read_once(query: &str) {
    let parameters = Parameters::parse(query);
    let timeout = first(query, "timeout").unwrap_or_default();
    match parameters.timeout {
        Ok(timeout) => assert!(timeout.is_none_or(|timeout| !timeout.is_zero()), "{query:?}"),
        Err(_) => assert!(!timeout.is_empty(), "{query:?}"),
    }
    assert_eq!(parameters.label_selector, first(query, "labelSelector").unwrap_or_default(), "{query:?}");
    let metric_selector = first(query, "metricLabelSelector").unwrap_or_default();
    assert_eq!(parameters.metric_label_selector, metric_selector, "{query:?}");
    assert_eq!(parameters.pretty.is_some(), first(query, "pretty").is_some(), "{query:?}");
    assert_eq!(parameters.field_selector, first(query, "fieldSelector").unwrap_or_default(), "{query:?}");
    let watch =
        first(query, "watch").is_some_and(|watch| !["0", "false"].contains(&&*watch.to_ascii_lowercase()));
    assert_eq!(parameters.watch, watch, "{query:?}");
}

/// A parameter's first value, by a decoder of its own.
fn first(query: &str, wanted: &str) -> Option<String> {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter(|(name, _)| decoded(name) == wanted).map(|(_, value)| decoded(value)).next()
}
