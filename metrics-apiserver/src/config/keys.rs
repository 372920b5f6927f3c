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
pub const ROOT_KEYS: &[Key] = &[
    key("backends", "the backends by name"),
    key("metrics", "the list of metrics"),
    key("rules", "prometheus-adapter's rules for custom.metrics.k8s.io"),
    key("externalRules", "prometheus-adapter's rules for external.metrics.k8s.io"),
    key("resourceRules", "prometheus-adapter's rules for metrics.k8s.io"),
];

/// The keys of a backend.
pub const BACKEND_KEYS: &[Key] = &[
    key("url", "the base URL"),
    key("urls", "the base URLs of an HA pair"),
    key("timeout", "the timeout of a query"),
    key("headers", "headers sent with every query"),
    key("queryParameters", "parameters sent with every query"),
    key("bearerTokenFile", "the file with the bearer token"),
    key("basicAuth", "the credentials of HTTP basic authentication"),
    key("caFile", "the CA bundle for the server certificate"),
    key("serverName", "the name that the server certificate must have"),
    key("insecureSkipTLSVerify", "whether any server certificate is accepted"),
    key("certFile", "the client certificate"),
    key("keyFile", "the key of the client certificate"),
    key("proxyUrl", "the URL of the proxy"),
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

/// The keys of an adapter rule, in `rules` and `externalRules`. All but the first five are not of prometheus-adapter.
pub const ADAPTER_RULE_KEYS: &[Key] = &[
    key("seriesQuery", "the selector of the series that are discovered"),
    key("seriesFilters", "regular expressions for the names of the series"),
    key("resources", "which labels name Kubernetes resources"),
    key("name", "how the name of a series becomes that of a metric"),
    key("metricsQuery", "the template of the query"),
    key("backend", "the backend to query"),
    key("result", "how several series become one answer"),
    key("onNoData", "the fallback when the query returns no series"),
    key("onNaN", "the fallback for NaN"),
    key("onInfinite", "the fallback for infinite values"),
    key("onFailure", "the fallback when the query fails"),
    key("onPartial", "whether a partial answer is accepted"),
    key("allowNegative", "whether negative values are served"),
    key("maxAge", "the maximum age of a reading"),
];

/// The keys of an item of `seriesFilters`.
pub const SERIES_FILTER_KEYS: &[Key] =
    &[key("is", "what the name must match"), key("isNot", "what the name must not match")];

/// The keys of `resources`.
pub const RESOURCES_KEYS: &[Key] = &[
    key("overrides", "resources by label"),
    key("template", "the template of the label of any other resource"),
    key("namespaced", "whether queries are restricted to the namespace of a request"),
];

/// The keys of a label in `overrides`.
pub const OVERRIDE_KEYS: &[Key] =
    &[key("group", "the API group of the resource"), key("resource", "the name of the resource")];

/// The keys of `name` in an adapter rule.
pub const NAME_KEYS: &[Key] = &[
    key("matches", "a regular expression for the name of the series"),
    key("as", "the name of the metric, with `$1` for a group"),
];

/// The keys of `resourceRules`.
pub const RESOURCE_RULES_KEYS: &[Key] = &[
    key("cpu", "the queries for CPU"),
    key("memory", "the queries for memory"),
    key("window", "the window of the queries, as it is displayed"),
    key("backend", "the backend to query"),
    key("maxAge", "the maximum age of a reading"),
];

/// The keys of `cpu` and `memory`.
pub const USAGE_KEYS: &[Key] = &[
    key("containerQuery", "the template of the query for containers"),
    key("nodeQuery", "the template of the query for nodes"),
    key("resources", "which labels name Kubernetes resources"),
    key("containerLabel", "the label that names the container"),
];
