//! What the router, the authorizer and the handlers take any URL for: two readings of one URL are how a check is
//! bypassed.

use hyper::Uri;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::routes::Route;
use crate::api::{GROUP, Parameters, RequestError, VERSION};
use crate::authz::{Attributes, attributes_of};

/// What a request line can hold: path and query are decoded once, and what is served is what is authorized.
pub fn request(data: &[u8]) {
    let Ok(uri) = Uri::try_from(data) else { return };
    path_is_read_once(uri.path());
    query_is_read_once(uri.query().unwrap_or_default());
}

fn path_is_read_once(path: &str) {
    let route = match Route::of(path) {
        Ok(route) => route,
        Err(error) => {
            assert_eq!(error, RequestError::Path);
            assert!(percent_decode_str(path).decode_utf8().is_err(), "{path:?}");
            return;
        }
    };
    let rights = attributes_of("GET", path, "");
    match &route {
        Route::Read { namespace, metric } => {
            let escaped = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
            let again = read_path(&escaped(namespace).to_string(), &escaped(metric).to_string());
            assert_eq!(Route::of(&again).as_ref(), Ok(&route), "{path:?}");
            // kube-apiserver takes these two for a namespace's subresources and asks for the right to those.
            if !matches!(&**metric, "status" | "finalize") {
                assert_eq!(rights, read_rights("list", namespace, metric), "{path:?}");
            }
        }
        Route::Metrics | Route::Health(_) | Route::HealthCheck(..) | Route::Version => {
            assert!(matches!(rights, Attributes::NonResource { .. }), "{path:?}: {rights:?}");
        }
        _ => {}
    }
}

fn query_is_read_once(query: &str) {
    let Ok(parameters) = Parameters::parse(query) else {
        assert!(first(query, "timeout").is_some_and(|timeout| !timeout.is_empty()), "{query:?}");
        return;
    };
    assert_eq!(parameters.label_selector, first(query, "labelSelector").unwrap_or_default(), "{query:?}");
    assert_eq!(parameters.pretty.is_some(), first(query, "pretty").is_some(), "{query:?}");
    assert!(parameters.timeout.is_none_or(|timeout| !timeout.is_zero()), "{query:?}");
    let verb = if parameters.watch { "watch" } else { "list" };
    let Attributes::Resource { verb: asked, .. } = attributes_of("GET", &read_path("ns", "metric"), query)
    else {
        unreachable!("a read of a metric is about a resource")
    };
    assert_eq!(asked, verb, "{query:?}");
}

/// A parameter's first value, by a decoder of its own.
fn first(query: &str, wanted: &str) -> Option<String> {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter(|(name, _)| decoded(name) == wanted).map(|(_, value)| decoded(value)).next()
}

fn read_path(namespace: &str, metric: &str) -> String {
    format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{metric}")
}

fn read_rights(verb: &str, namespace: &str, metric: &str) -> Attributes {
    Attributes::Resource {
        verb: verb.to_owned(),
        group: GROUP.to_owned(),
        version: VERSION.to_owned(),
        namespace: Some(namespace.to_owned()),
        resource: metric.to_owned(),
        subresource: None,
        name: None,
    }
}
