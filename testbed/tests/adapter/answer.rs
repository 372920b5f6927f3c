//! An answer, without what must differ between two servers, and in short form.

use serde_json::{Map, Value};
use std::fmt::Write as _;

/// Fields with a time of serving or sampling.
const TIMES: [&str; 2] = ["timestamp", "creationTimestamp"];
/// Lists whose order means nothing, and the field that they are sorted by.
const SETS: [&str; 2] = ["containers", "resources"];

/// What a server answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: Body,
}

/// The body: times are replaced by `TIME`, sets are sorted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Json(Value),
    Text(String),
}

impl Answer {
    pub(crate) fn new(code: u16, body: &str) -> Self {
        let body = match serde_json::from_str(body) {
            Ok(mut json) => {
                normalise(&mut json);
                Body::Json(json)
            }
            Err(_) => Body::Text(body.to_owned()),
        };
        Self { code, body }
    }

    /// The body as text for a person.
    pub(crate) fn text(&self) -> String {
        match &self.body {
            Body::Json(json) => json.to_string(),
            Body::Text(text) => text.clone(),
        }
    }

    /// The code and what matters of the body, in one line:
    ///
    /// - a status: its reason and message;
    /// - values: `object=value` or `{label="value"}=value` each;
    /// - resource metrics: `object:` and `container cpu memory` each;
    /// - discovery: the names.
    pub(crate) fn summary(&self) -> String {
        let mut text = self.code.to_string();
        match &self.body {
            Body::Text(body) => {
                let _ = write!(text, " {}", body.trim_end().replace('\n', "\\n"));
            }
            Body::Json(json) => {
                for word in words(json) {
                    text.push(' ');
                    text += &word;
                }
            }
        }
        text
    }
}

fn normalise(json: &mut Value) {
    match json {
        Value::Array(items) => items.iter_mut().for_each(normalise),
        Value::Object(fields) => {
            for (name, value) in fields {
                normalise(value);
                match value {
                    Value::String(text) if TIMES.contains(&name.as_str()) && is_time(text) => *text = "TIME".into(),
                    Value::Array(items) if SETS.contains(&name.as_str()) => items.sort_by_key(|item| text(&item["name"])),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// Whole seconds in UTC, as Kubernetes writes times.
fn is_time(text: &str) -> bool {
    text.len() == "2006-01-02T15:04:05Z".len() && text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok()
}

fn words(json: &Value) -> Vec<String> {
    let items = |name: &str| json[name].as_array().cloned().unwrap_or_default();
    match json["kind"].as_str() {
        Some("Status") => vec![format!("{}: {}", text(&json["reason"]), text(&json["message"]))],
        Some("MetricValueList") => items("items").iter().map(custom).collect(),
        Some("ExternalMetricValueList") => items("items").iter().map(external).collect(),
        Some("PodMetricsList" | "NodeMetricsList") => items("items").iter().map(usage).collect(),
        Some("PodMetrics" | "NodeMetrics") => vec![usage(json)],
        Some("Table") => {
            let columns = items("columnDefinitions").iter().map(|column| text(&column["name"])).collect::<Vec<_>>();
            let rows = items("rows").into_iter().map(|row| row["cells"].to_string());
            std::iter::once(columns.join(",")).chain(rows).collect()
        }
        Some("APIResourceList") => items("resources").iter().map(|resource| text(&resource["name"])).collect(),
        _ => vec![json.to_string()],
    }
}

fn custom(item: &Value) -> String {
    format!("{}={}", text(&item["describedObject"]["name"]), text(&item["value"]))
}

fn external(item: &Value) -> String {
    format!("{}={}", labels(item["metricLabels"].as_object()), text(&item["value"]))
}

fn labels(labels: Option<&Map<String, Value>>) -> String {
    let Some(labels) = labels else { return "null".into() };
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{{{}}}", pairs.join(","))
}

fn usage(item: &Value) -> String {
    let amounts = |usage: &Value| format!("{} {}", text(&usage["cpu"]), text(&usage["memory"]));
    let name = text(&item["metadata"]["name"]);
    match item["containers"].as_array() {
        Some(containers) => {
            let each = |it: &Value| format!("{} {}", text(&it["name"]), amounts(&it["usage"]));
            format!("{name}({})", containers.iter().map(each).collect::<Vec<_>>().join("; "))
        }
        None => format!("{name}({})", amounts(&item["usage"])),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[test]
fn times_and_the_order_of_sets_do_not_count() {
    let one = r#"{"timestamp":"2024-01-02T03:04:05Z","containers":[{"name":"b"},{"name":"a"}]}"#;
    let other = r#"{"timestamp":"2025-01-02T03:04:05Z","containers":[{"name":"a"},{"name":"b"}]}"#;
    assert_eq!(Answer::new(200, one), Answer::new(200, other));
    let odd = r#"{"timestamp":"2025-01-02T03:04:05.5Z","containers":[{"name":"a"},{"name":"b"}]}"#;
    assert_ne!(Answer::new(200, odd), Answer::new(200, other));
}

#[test]
fn the_short_form_has_the_code_and_the_values() {
    let list = r#"{"kind":"ExternalMetricValueList","items":[{"metricLabels":{"a":"b"},"value":"1"},{"metricLabels":null,"value":"2"}]}"#;
    assert_eq!(Answer::new(200, list).summary(), r#"200 {a="b"}=1 null=2"#);
    let status = r#"{"kind":"Status","reason":"NotFound","message":"no such metric"}"#;
    assert_eq!(Answer::new(404, status).summary(), "404 NotFound: no such metric");
    assert_eq!(Answer::new(200, "ok\n").summary(), "200 ok");
}
