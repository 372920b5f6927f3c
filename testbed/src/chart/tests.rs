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

fn component(name: &str) -> String {
    read(&workspace::root().join("manifests/components").join(name)).unwrap()
}

#[test]
fn every_alert_has_a_runbook_with_meaning_impact_diagnosis_and_mitigation() {
    let runbooks = read(&workspace::root().join("docs/runbooks.md")).unwrap();
    let alerts: Value = serde_saphyr::from_str(&component("monitoring/prometheus-rule.yaml")).unwrap();
    let alerts = alerts["spec"]["groups"][0]["rules"].as_array().unwrap();
    let names: Vec<&str> = alerts.iter().map(|alert| alert["alert"].as_str().unwrap()).collect();
    let sections: Vec<&str> = runbooks.split("\n## ").skip(1).collect();
    let titles: Vec<&str> = sections.iter().map(|section| section.lines().next().unwrap()).collect();
    assert_eq!(titles, names, "in this order");
    for section in sections {
        let parts = ["Meaning", "Impact", "Diagnosis", "Mitigation"];
        let found = section.lines().filter_map(|line| line.strip_prefix("**")?.split_once(".**"));
        assert_eq!(found.map(|(part, _)| part).collect::<Vec<_>>(), parts, "{section}");
    }
}

#[test]
fn every_metric_on_the_dashboard_is_documented_and_every_panel_says_what_it_shows() {
    let documentation = read(&workspace::root().join("docs/metrics.md")).unwrap();
    let dashboard: Value =
        serde_json::from_str(&component("grafana-dashboard/metrics-apiserver.json")).unwrap();
    assert_eq!(dashboard["uid"], "metrics-apiserver");
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let panels: Vec<&Value> = panels.filter(|panel| panel["type"] != "row").collect();
    assert!(panels.len() >= 15);
    for panel in panels {
        assert!(!panel["description"].as_str().unwrap().is_empty(), "{panel}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}");
        for target in panel["targets"].as_array().unwrap() {
            let expr = target["expr"].as_str().unwrap();
            let words = expr.split(|c: char| !c.is_alphanumeric() && c != '_');
            for metric in
                words.filter(|word| ["metrics_apiserver_", "process_"].iter().any(|it| word.starts_with(it)))
            {
                let metric = metric.strip_suffix("_bucket").unwrap_or(metric);
                assert!(documentation.contains(&format!("| `{metric}` |")), "{metric} in {}", panel["title"]);
            }
        }
    }
}
