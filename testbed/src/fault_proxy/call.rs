//! A recorded call.

/// What a client asked of Prometheus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The path without parameters, such as `/api/v1/query`.
    pub path: String,
    /// The parameters of the URL, then those of the body, decoded.
    pub parameters: Vec<(String, String)>,
}

impl Call {
    /// The value of the first parameter with this name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find_map(|(key, value)| (key == name).then_some(value.as_str()))
    }
}
