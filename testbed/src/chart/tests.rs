//! The chart against what it is made from, without Helm.

use super::*;
use std::collections::BTreeSet;

fn file(name: &str) -> String {
    read(&dir().join(name)).unwrap()
}

fn defaults() -> Value {
    serde_saphyr::from_str(&file("values.yaml")).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&file("values.schema.json")).unwrap()
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_readme_the_alerts_and_the_dashboard_of_the_chart_are_up_to_date() {
    for (file, text) in copies().unwrap() {
        assert!(read(&file).unwrap() == text, "{} is stale: run `cargo xtask chart`", file.display());
    }
}

#[test]
fn a_comment_describes_the_key_right_below_it() {
    let found = described("# About the file.\n\n# A.\n# And B.\na:\n  # C.\n  c: 1\n  d: 2\ne: 3\n");
    let expected = [("a", "A. And B."), ("a.c", "C.")]
        .map(|(path, text)| Described { path: path.into(), text: text.into() });
    assert_eq!(found, expected);
}

#[test]
fn every_value_has_a_description_of_its_own_or_of_a_map_around_it() {
    fn visit(value: &Value, path: &str, described: &[String], missing: &mut Vec<String>) {
        if described.iter().any(|it| it == path) {
            return;
        }
        match value.as_object().filter(|map| !map.is_empty()) {
            Some(map) => map.iter().for_each(|(key, value)| {
                visit(value, format!("{path}.{key}").trim_start_matches('.'), described, missing);
            }),
            None => missing.push(path.to_owned()),
        }
    }
    let described: Vec<String> = described(&file("values.yaml")).into_iter().map(|it| it.path).collect();
    let mut missing = Vec::new();
    visit(&defaults(), "", &described, &mut missing);
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_schema_and_the_list_of_known_values_have_every_value() {
    let values = keys(&defaults());
    let schema = keys(&schema()["properties"]);
    let helper = file("templates/_validate.tpl");
    let (_, rest) = helper.split_once("define \"metrics-apiserver.knownValues\" -}}").unwrap();
    let known: BTreeSet<String> =
        rest.split("{{-").next().unwrap().split_whitespace().map(str::to_owned).collect();
    assert_eq!(schema, known);
    let mut with_global = values;
    // Helm adds it.
    with_global.insert("global".into());
    assert_eq!(with_global, known);
}

#[test]
fn the_schema_has_the_keys_of_every_map_of_the_values() {
    fn visit(value: &Value, schema: &Value, path: &str) {
        let (Some(map), Some(properties)) = (value.as_object(), schema.get("properties")) else { return };
        for (key, value) in map {
            let property = properties.get(key).unwrap_or_else(|| panic!("the schema has no {path}.{key}"));
            visit(value, property, &format!("{path}.{key}"));
        }
    }
    visit(&defaults(), &schema(), "");
}

#[test]
fn the_version_of_the_chart_is_that_of_the_server() {
    let chart: Value = serde_saphyr::from_str(&file("Chart.yaml")).unwrap();
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
}
