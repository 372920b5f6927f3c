//! The Helm chart's schema against the keys of the configuration file: what one of them accepts, the other must, too.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use metrics_apiserver::config::{self, Key};
use serde_json::Value;

fn schema() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/metrics-apiserver/values.schema.json");
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// The schema at a path of keys, which leads through references.
fn at<'a>(schema: &'a Value, path: &str) -> &'a Value {
    path.split('/').fold(schema, |value, key| {
        let found = value.get(key).unwrap_or_else(|| panic!("{path}: there is no {key}"));
        match found.get("$ref").and_then(Value::as_str) {
            Some(reference) => at(schema, reference.trim_start_matches("#/")),
            None => found,
        }
    })
}

#[test]
fn the_schema_of_the_chart_has_the_keys_of_the_configuration_and_no_other() {
    let schema = schema();
    for (path, keys) in [
        ("properties/metrics/items", config::RULE_KEYS),
        ("properties/backends/additionalProperties", config::BACKEND_KEYS),
        ("properties/rules/properties/custom/items", config::ADAPTER_RULE_KEYS),
        ("properties/rules/properties/external/items", config::ADAPTER_RULE_KEYS),
        ("properties/rules/properties/resource", config::RESOURCE_RULES_KEYS),
        ("properties/rules/properties/resource/properties/cpu", config::USAGE_KEYS),
        ("properties/rules/properties/resource/properties/memory", config::USAGE_KEYS),
        ("definitions/rule/properties/seriesFilters/items", config::SERIES_FILTER_KEYS),
        ("definitions/rule/properties/resources", config::RESOURCES_KEYS),
        (
            "definitions/rule/properties/resources/properties/overrides/additionalProperties",
            config::OVERRIDE_KEYS,
        ),
        ("definitions/rule/properties/name", config::NAME_KEYS),
    ] {
        let object = at(&schema, path);
        assert_eq!(object["additionalProperties"], false, "{path} accepts any key");
        let found: BTreeSet<&str> =
            object["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let expected: BTreeSet<&str> = keys.iter().map(|Key { name, .. }| *name).collect();
        assert_eq!(found, expected, "{path}");
    }
}
