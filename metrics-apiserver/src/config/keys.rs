//! The keys of the configuration file. The check of keys, the suggestion for a mistyped key and the test of the
//! documentation all use these tables.

/// One key of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The key as written.
    pub name: &'static str,
    /// What it sets, for messages.
    pub meaning: &'static str,
}

const fn key(name: &'static str, meaning: &'static str) -> Key {
    Key { name, meaning }
}

/// The keys of the file.
pub(super) const ROOT_KEYS: &[Key] =
    &[key("backends", "the backends by name"), key("metrics", "the list of metrics")];

/// The keys of a backend.
pub const BACKEND_KEYS: &[Key] = &[
    key("url", "the base URL"),
    key("urls", "the base URLs of an HA pair"),
    key("timeout", "the timeout of a query"),
    key("headers", "headers sent with every query"),
    key("bearerTokenFile", "the file with the bearer token"),
    key("basicAuth", "the credentials of HTTP basic authentication"),
    key("caFile", "the CA bundle for the server certificate"),
    key("certFile", "the client certificate"),
    key("keyFile", "the key of the client certificate"),
];

/// The keys of `basicAuth`.
pub(super) const BASIC_AUTH_KEYS: &[Key] =
    &[key("username", "the user name"), key("passwordFile", "the file with the password")];

/// The keys of a metric.
pub const RULE_KEYS: &[Key] = &[
    key("name", "the name of the metric"),
    key("query", "the PromQL query"),
    key("backend", "the backend to query"),
    key("namespace", "how the namespace of a request is applied"),
    key("selector", "how the label selector of a request is applied"),
    key("result", "how several series become one answer"),
    key("onNoData", "the fallback when the query returns no series"),
    key("onNaN", "the fallback for NaN"),
    key("onInfinite", "the fallback for infinite values"),
    key("onFailure", "the fallback when the query fails"),
    key("onPartial", "whether a partial answer is accepted"),
    key("allowNegative", "whether negative values are served"),
    key("maxAge", "the maximum age of a reading"),
];

/// The keys of `namespace`, if it is a mapping.
pub(super) const NAMESPACE_KEYS: &[Key] = &[key("label", "the label that holds the namespace")];

/// The keys of `selector`, if it is a mapping.
pub(super) const SELECTOR_KEYS: &[Key] = &[key("allow", "the labels that a request may select by")];

/// The keys of a fallback, if it is a mapping.
pub(super) const FALLBACK_KEYS: &[Key] = &[
    key("value", "the value to serve"),
    key("hold", "how long the last good reading is served"),
    key("then", "what follows the hold"),
];

/// The keys of `then`, if it is a mapping.
pub(super) const THEN_KEYS: &[Key] = &[key("value", "the value to serve")];
