//! The attributes of a request for authorization. Path and method are interpreted as in kube-apiserver, so that both
//! check the same permission.

use std::borrow::Cow;

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

/// The attributes of a request. `path` is percent-encoded. It is split first and decoded then, so an encoded slash
/// stays in its segment, as in the router. `watch` and `field_selector` are what the query string says.
pub fn attributes_of(method: &str, path: &str, watch: bool, field_selector: &str) -> Attributes {
    let segments: Vec<_> = path.trim_matches('/').split('/').map(decoded).collect();
    let [apis, group, version, rest @ ..] = &segments[..] else { return non_resource(method, path) };
    if apis != "apis" || rest.is_empty() {
        return non_resource(method, path);
    }
    let (namespace, rest) = cut_namespace(rest);
    let part = |index: usize| rest.get(index).filter(|part| !part.is_empty()).map(ToString::to_string);
    let named = part(1);
    let verb = verb(method, watch, named.is_some());
    // A name in the field selector narrows a list to one object.
    let selected = || matches!(verb, "list" | "watch").then(|| selected_name(field_selector)).flatten();
    Attributes::Resource {
        verb: verb.to_owned(),
        group: group.to_string(),
        version: version.to_string(),
        namespace: namespace.map(ToString::to_string),
        resource: part(0).unwrap_or_default(),
        subresource: part(2),
        name: named.or_else(selected),
    }
}

fn non_resource(method: &str, path: &str) -> Attributes {
    Attributes::NonResource { verb: method.to_ascii_lowercase(), path: decoded(path).into_owned() }
}

/// The namespace, and the segments after it. A path that ends with a namespace, or with one of its two subresources, is
/// about the resource `namespaces` itself.
fn cut_namespace<'a>(rest: &'a [Cow<'a, str>]) -> (Option<&'a str>, &'a [Cow<'a, str>]) {
    match rest {
        [namespaces, namespace, next, ..] if namespaces == "namespaces" => {
            let is_subresource = next == "status" || next == "finalize";
            let rest = if is_subresource { rest } else { &rest[2..] };
            (Some(namespace), rest)
        }
        [namespaces, namespace] if namespaces == "namespaces" => (Some(namespace), rest),
        _ => (None, rest),
    }
}

fn verb(method: &str, watch: bool, named: bool) -> &'static str {
    match (method, named) {
        ("GET" | "HEAD", true) => "get",
        ("GET" | "HEAD", false) if watch => "watch",
        ("GET" | "HEAD", false) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => "",
    }
}

/// The name in the field selector `metadata.name=<name>`.
fn selected_name(field_selector: &str) -> Option<String> {
    let name = field_selector.split(',').find_map(|term| {
        let value = term.trim().strip_prefix("metadata.name=")?;
        Some(value.strip_prefix('=').unwrap_or(value))
    })?;
    let is_segment = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '%']);
    is_segment.then(|| name.to_owned())
}

/// Percent-decodes; invalid UTF-8 becomes U+FFFD, which no name contains.
fn decoded(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

#[cfg(test)]
mod tests;
