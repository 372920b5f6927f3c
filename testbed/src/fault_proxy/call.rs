//! A recorded call.

/// What a client asked of Prometheus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Such as `GET`.
    pub method: String,
    /// The path without parameters, such as `/api/v1/query`.
    pub path: String,
    /// The parameters of the URL, then those of the body, decoded.
    pub parameters: Vec<(String, String)>,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Call {
    /// The value of the first parameter with this name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        first(&self.parameters, name)
    }

    /// The value of the first header with this name, which is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }
}

fn first<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find_map(|(key, value)| (key == name).then_some(value.as_str()))
}
