//! The name of a Service with its namespace.

use std::fmt;
use std::str::FromStr;

/// The longest name that Kubernetes allows for namespaces and Services.
const NAME_CHARS_MAX: usize = 63;

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceName {
    namespace: String,
    name: String,
}

/// Why a text does not name a Service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be NAMESPACE/NAME, such as metrics-apiserver/metrics-apiserver")]
pub struct ServiceNameError;

impl ServiceName {
    /// The name that kube-apiserver verifies in the serving certificate.
    pub fn host(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace)
    }

    /// Whether it is this Service.
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }
}

impl FromStr for ServiceName {
    type Err = ServiceNameError;

    fn from_str(text: &str) -> Result<Self, ServiceNameError> {
        let (namespace, name) = text.split_once('/').ok_or(ServiceNameError)?;
        if is_label(namespace) && is_label(name) {
            Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
        } else {
            Err(ServiceNameError)
        }
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Whether it is a label of RFC 1123.
fn is_label(text: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=NAME_CHARS_MAX).contains(&text.len())
        && text.chars().all(|c| is_alphanumeric(c) || c == '-')
        && text.starts_with(is_alphanumeric)
        && text.ends_with(is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_named_with_its_namespace() {
        let service: ServiceName = "monitoring/prometheus-adapter".parse().unwrap();
        assert_eq!(service.host(), "prometheus-adapter.monitoring.svc");
        assert_eq!(service.to_string(), "monitoring/prometheus-adapter");
        assert!(service.is("monitoring", "prometheus-adapter"));
        for text in ["", "name", "/name", "ns/", "ns/a/b", "Ns/name", "ns/-a", "$(POD_NAMESPACE)/name"] {
            assert_eq!(text.parse::<ServiceName>(), Err(ServiceNameError), "{text}");
        }
    }
}
