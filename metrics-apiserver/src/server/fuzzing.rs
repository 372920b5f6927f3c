//! What the router, the authorizer and the handlers take any URL for: two readings of one URL are how a check is
//! bypassed.

use std::sync::LazyLock;

use hyper::Uri;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::routes::{Route, Target};
use crate::api::{self, Documents, GROUPS, Group, Parameters, RequestError};
use crate::authz::{Attributes, attributes_of};

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
    let rights = attributes_of("GET", path, query);
    match &target.route {
        Ok(Route::Read(request)) => read_is_authorized(path, query, request, &rights),
        Ok(Route::Document(document)) => {
            let Attributes::NonResource { path: authorized, .. } = &rights else {
                panic!("{path:?}: {rights:?}")
            };
            assert_eq!(authorized.trim_end_matches('/'), document.path.trim_end_matches('/'), "{path:?}");
        }
        Ok(Route::Metrics | Route::Probe(..)) => {
            assert!(matches!(rights, Attributes::NonResource { .. }), "{path:?}: {rights:?}");
        }
        Err(RequestError::Path) => {
            assert!(percent_decode_str(path).decode_utf8().is_err(), "{path:?}");
        }
        Err(RequestError::Timeout) => assert!(target.parameters.timeout.is_err(), "{query:?}"),
        Err(RequestError::Watch { group: refused, .. }) => {
            let Attributes::Resource { verb, group, resource, .. } = &rights else {
                panic!("{path:?}: {rights:?}")
            };
            assert_eq!(group, refused, "{path:?}");
            assert!(verb == "watch" || resource == "namespaces", "{path:?}?{query:?}: {rights:?}");
        }
        Err(RequestError::Namespace(_) | RequestError::Metric(_) | RequestError::Selector(_)) => {
            let Attributes::Resource { group, version, .. } = &rights else { panic!("{path:?}: {rights:?}") };
            let (group, _) = Group::find(GROUPS, group, version).unwrap();
            assert_eq!(target.resource, group.label, "{path:?}");
        }
        Err(RequestError::UnknownPath) => assert_eq!(target.resource, "unknown", "{path:?}"),
        Err(error) => panic!("{path:?}?{query:?}: {error:?} is not for the parser to say"),
    }
}

/// The path of the request, written again, is the same request; and the right to it is the one that is asked for.
fn read_is_authorized(path: &str, query: &str, request: &api::Request, rights: &Attributes) {
    let Attributes::Resource { verb, group, version, namespace, resource, subresource, name } = rights else {
        panic!("{path:?}: {rights:?}")
    };
    assert!(Group::find(GROUPS, group, version).is_some(), "{path:?}: {rights:?}");
    match request {
        api::Request::External { namespace: served, metric, .. } => {
            let escaped = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let again = format!(
                "/apis/{group}/{version}/namespaces/{}/{}",
                escaped(served.as_str()),
                escaped(metric.as_str())
            );
            let reread = Target::parse(&DOCUMENTS, &again, query);
            assert!(
                matches!(&reread.route, Ok(Route::Read(same)) if same == request),
                "{path:?}: {reread:?}"
            );
            assert_eq!(namespace.as_deref(), Some(served.as_str()), "{path:?}");
            // kube-apiserver takes these two for a namespace's subresources and asks for the right to those.
            if !matches!(metric.as_str(), "status" | "finalize") {
                assert_eq!((verb.as_str(), resource.as_str()), ("list", metric.as_str()), "{path:?}");
                let narrowed = first(query, "fieldSelector").is_some();
                assert!(subresource.is_none() && (narrowed || name.is_none()), "{path:?}: {rights:?}");
            }
        }
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
    assert_eq!(parameters.pretty.is_some(), first(query, "pretty").is_some(), "{query:?}");
    let verb = if parameters.watch { "watch" } else { "list" };
    for group in GROUPS {
        for version in group.versions {
            let path = format!("/apis/{}/namespaces/ns/resource", group.api_version(version));
            let Attributes::Resource { verb: asked, .. } = attributes_of("GET", &path, query) else {
                unreachable!("a path below a group and version is about a resource")
            };
            assert_eq!(asked, verb, "{query:?}");
        }
    }
}

/// A parameter's first value, by a decoder of its own.
fn first(query: &str, wanted: &str) -> Option<String> {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter(|(name, _)| decoded(name) == wanted).map(|(_, value)| decoded(value)).next()
}
