//! Kubernetes objects that a metric can describe.

use std::fmt;
use std::sync::Arc;

use super::name::Namespace;

/// Longest resource name, in bytes: a DNS-1035 label.
const MAX_RESOURCE: usize = 63;
/// Longest API group and longest object name, in bytes: a DNS-1123 subdomain.
const MAX_SUBDOMAIN: usize = 253;

/// A resource and its API group; prints as Kubernetes does: `pods`, `deployments.apps`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupResource {
    resource: Arc<str>,
    /// Empty for the core group.
    group: Arc<str>,
}

/// Whether objects of a resource live in namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Each in a namespace.
    Namespaced,
    /// In the cluster, outside of namespaces.
    Cluster,
}

/// One object; prints as kubectl names it: `pods/web-0`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectRef {
    resource: GroupResource,
    namespace: Option<Namespace>,
    name: Arc<str>,
}

/// Why a text does not name a resource or an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseObjectError {
    /// Not a resource.
    #[error(
        "{0:?} is not a valid resource (plural and lower case, with its group, such as pods or deployments.apps)"
    )]
    Resource(String),
    /// Not an object's name.
    #[error(
        "{0:?} is not a valid object name (1 to {MAX_SUBDOMAIN} bytes without '/' and '%', not \".\" or \"..\")"
    )]
    Name(String),
}

impl GroupResource {
    /// Takes a resource as a path segment or the configuration names it: `pods`, `deployments.apps`.
    pub fn parse(text: &str) -> Result<Self, ParseObjectError> {
        let (resource, group) = text.split_once('.').unwrap_or((text, ""));
        let is_resource = is_label(resource) && resource.len() <= MAX_RESOURCE;
        let is_core = !text.contains('.');
        if is_resource && (is_core || (group.len() <= MAX_SUBDOMAIN && group.split('.').all(is_label))) {
            Ok(Self { resource: resource.into(), group: group.into() })
        } else {
            Err(ParseObjectError::Resource(text.to_owned()))
        }
    }

    /// The plural name.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The API group; empty for the core group.
    pub fn group(&self) -> &str {
        &self.group
    }
}

/// Lower-case letters, digits and `-`, with a letter or digit at both ends.
fn is_label(text: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(|b| *b != b'-');
    let bytes = text.as_bytes();
    edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

impl fmt::Display for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resource)?;
        if self.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.group) }
    }
}

impl ObjectRef {
    /// An object in a namespace, or a cluster-scoped one. Kubernetes allows every path segment as a name.
    pub fn new(
        resource: GroupResource,
        namespace: Option<Namespace>,
        name: &str,
    ) -> Result<Self, ParseObjectError> {
        let is_name = (1..=MAX_SUBDOMAIN).contains(&name.len())
            && !matches!(name, "." | "..")
            && !name.contains(['/', '%']);
        if is_name {
            Ok(Self { resource, namespace, name: name.into() })
        } else {
            Err(ParseObjectError::Name(name.to_owned()))
        }
    }

    /// Its resource.
    pub fn resource(&self) -> &GroupResource {
        &self.resource
    }

    /// Its namespace; none for a cluster-scoped object.
    pub fn namespace(&self) -> Option<&Namespace> {
        self.namespace.as_ref()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.resource, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_read_and_printed_as_kubernetes_does() {
        for (text, resource, group) in [
            ("pods", "pods", ""),
            ("deployments.apps", "deployments", "apps"),
            ("ingresses.networking.k8s.io", "ingresses", "networking.k8s.io"),
        ] {
            let parsed = GroupResource::parse(text).unwrap();
            assert_eq!((parsed.resource(), parsed.group()), (resource, group));
            assert_eq!(parsed.to_string(), text);
        }
        let long = "a".repeat(64);
        for bad in ["", ".", "pods.", ".apps", "Pods", "pods/x", "pods.a..b", "-a", "a-", "é", "*", &long] {
            assert!(GroupResource::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_object_has_a_name_that_a_path_can_carry() {
        let pods = GroupResource::parse("pods").unwrap();
        let namespace = Namespace::parse("shop").unwrap();
        let pod = ObjectRef::new(pods.clone(), Some(namespace.clone()), "web-0").unwrap();
        assert_eq!(pod.to_string(), "pods/web-0");
        assert_eq!((pod.resource(), pod.namespace(), pod.name()), (&pods, Some(&namespace), "web-0"));
        for bad in ["", ".", "..", "a/b", "a%b", "a".repeat(254).as_str()] {
            assert!(ObjectRef::new(pods.clone(), None, bad).is_err(), "{bad}");
        }
        let role = ObjectRef::new(
            GroupResource::parse("clusterroles.rbac.authorization.k8s.io").unwrap(),
            None,
            "a:b",
        );
        assert_eq!(role.unwrap().to_string(), "clusterroles.rbac.authorization.k8s.io/a:b");
    }
}
