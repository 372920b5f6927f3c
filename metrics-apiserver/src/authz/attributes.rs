//! The attributes of a request for authorization. Path and method are interpreted as in kube-apiserver, so that both
//! check the same permission.

use percent_encoding::percent_decode_str;

/// What a request does, for the authorizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attributes {
    /// A path below `/apis/<group>/<version>/`.
    Resource {
        /// `list`, `get`, `watch`, `create`, …; empty for OPTIONS.
        verb: String,
        /// The API group, such as `external.metrics.k8s.io`.
        group: String,
        /// The group's version.
        version: String,
        /// The namespace; `None` at cluster scope.
        namespace: Option<String>,
        /// The resource; for an external metric, its name.
        resource: String,
        /// The subresource; for a custom metric, its name.
        subresource: Option<String>,
        /// The object, or `*`.
        name: Option<String>,
    },
    /// Any other path, such as `/metrics` or discovery.
    NonResource {
        /// The method in lower case.
        verb: String,
        /// The decoded path.
        path: String,
    },
}

impl Attributes {
    /// The length of what the client chooses, in bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::NonResource { verb, path } => verb.len() + path.len(),
            Self::Resource { verb, group, version, namespace, resource, subresource, name } => {
                let optional =
                    [namespace, subresource, name].map(|part| part.as_ref().map_or(0, String::len));
                let always = [verb, group, version, resource].map(String::len);
                optional.iter().chain(&always).sum()
            }
        }
    }
}

/// The attributes of a request. `path` and `query` are percent-encoded. The path is split first and decoded then, so an
/// encoded slash stays in its segment, as in the router.
pub fn attributes_of(method: &str, path: &str, query: &str) -> Attributes {
    let segments: Vec<String> = path.trim_matches('/').split('/').map(decoded).collect();
    match segments.as_slice() {
        [apis, group, version, rest @ ..] if apis == "apis" && !rest.is_empty() => {
            resource(method, query, group, version, rest)
        }
        _ => Attributes::NonResource { verb: method.to_ascii_lowercase(), path: decoded(path) },
    }
}

fn resource(method: &str, query: &str, group: &str, version: &str, rest: &[String]) -> Attributes {
    let (namespace, rest) = cut_namespace(rest);
    let part = |index: usize| rest.get(index).filter(|part| !part.is_empty()).cloned();
    let named = part(1);
    let verb = verb(method, query, named.is_some());
    // A name in the field selector narrows a list to one object.
    let selected = || matches!(verb, "list" | "watch").then(|| selected_name(query)).flatten();
    Attributes::Resource {
        verb: verb.to_owned(),
        group: group.to_owned(),
        version: version.to_owned(),
        namespace,
        resource: part(0).unwrap_or_default(),
        subresource: part(2),
        name: named.or_else(selected),
    }
}

/// The namespace, and the segments after it. A path that ends with a namespace, or with one of its two subresources, is
/// about the resource `namespaces` itself.
fn cut_namespace(rest: &[String]) -> (Option<String>, &[String]) {
    match rest {
        [namespaces, namespace, next, ..] if namespaces == "namespaces" => {
            let is_subresource = next == "status" || next == "finalize";
            let rest = if is_subresource { rest } else { &rest[2..] };
            (Some(namespace.clone()), rest)
        }
        [namespaces, namespace] if namespaces == "namespaces" => (Some(namespace.clone()), rest),
        _ => (None, rest),
    }
}

fn verb(method: &str, query: &str, named: bool) -> &'static str {
    match (method, named) {
        ("GET" | "HEAD", true) => "get",
        ("GET" | "HEAD", false) if wants_watch(query) => "watch",
        ("GET" | "HEAD", false) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => "",
    }
}

/// `?watch` with any value but `false` and `0`.
fn wants_watch(query: &str) -> bool {
    parameter(query, "watch").is_some_and(|value| !value.eq_ignore_ascii_case("false") && value != "0")
}

/// The name in `fieldSelector=metadata.name=<name>`.
fn selected_name(query: &str) -> Option<String> {
    let selector = parameter(query, "fieldSelector")?;
    let name = selector.split(',').find_map(|term| {
        let value = term.trim().strip_prefix("metadata.name=")?;
        Some(value.strip_prefix('=').unwrap_or(value).to_owned())
    })?;
    let is_segment = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '%']);
    is_segment.then_some(name)
}

/// The first value of a query parameter.
fn parameter(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Percent-decodes; invalid UTF-8 becomes U+FFFD, which no name contains.
fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests;
