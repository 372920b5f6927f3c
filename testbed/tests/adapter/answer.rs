//! An answer, without what must differ between two servers, and in short form.

use serde_json::{Map, Value};
use std::fmt::Write as _;

/// Fields with a time of serving or sampling.
const TIMES: [&str; 2] = ["timestamp", "creationTimestamp"];
/// A field with the server's port.
const ADDRESS: &str = "serverAddress";
/// What an object in Kubernetes' form of protobuf begins with.
const PROTOBUF: &str = "k8s\0";
/// The usual type of a body, which the short form leaves out.
const JSON: &str = "application/json";
/// Lists whose order means nothing, and the field that they are sorted by.
const SETS: [&str; 3] = ["containers", "resources", "groups"];
/// A field of what a server says about its own build.
const BUILD: &str = "gitVersion";
/// A field that clients do not need, and that only the adapter writes.
const ADDRESSES: &str = "serverAddressByClientCIDRs";

/// What a server answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    /// The media type without parameters.
    media_type: String,
    body: Body,
    /// The body as it came.
    pub(crate) text: String,
}

/// The body: times and addresses are replaced, sets are sorted.
#[derive(Clone, Debug, PartialEq)]
enum Body {
    /// JSON or YAML.
    Structured(Value),
    Text(String),
    Protobuf,
}

impl PartialEq for Answer {
    fn eq(&self, other: &Self) -> bool {
        (self.code, &self.media_type, &self.body) == (other.code, &other.media_type, &other.body)
    }
}

impl Answer {
    pub(crate) fn new(code: u16, content_type: &str, text: String) -> Self {
        let media_type = content_type.split(';').next().unwrap_or_default().to_owned();
        let structured = serde_json::from_str::<Value>(&text).ok();
        let structured = structured.or_else(|| serde_saphyr::from_str(&text).ok().filter(Value::is_object));
        let body = match structured {
            _ if text.starts_with(PROTOBUF) => Body::Protobuf,
            Some(mut value) => {
                normalise(&mut value);
                Body::Structured(value)
            }
            None => Body::Text(text.clone()),
        };
        Self { code, media_type, body, text }
    }

    /// The code and what matters of the body, in one line:
    ///
    /// - a status: its reason and message;
    /// - values: `object=value` or `{label="value"}=value` each;
    /// - resource metrics: `object:` and `container cpu memory` each;
    /// - discovery: the names;
    /// - anything else: the names of the fields.
    pub(crate) fn summary(&self) -> String {
        let mut text = self.code.to_string();
        if self.media_type != JSON {
            let _ = write!(text, " {}", self.media_type);
        }
        match &self.body {
            Body::Protobuf => {}
            Body::Text(body) => {
                let _ = write!(text, " {}", body.trim_end().replace('\n', "\\n"));
            }
            Body::Structured(value) => {
                for word in words(value) {
                    text.push(' ');
                    text += &word;
                }
            }
        }
        text.trim_end().to_owned()
    }
}

fn normalise(json: &mut Value) {
    match json {
        Value::Array(items) => items.iter_mut().for_each(normalise),
        Value::Object(fields) if fields.contains_key(BUILD) => {
            fields.values_mut().for_each(|value| *value = Value::Null);
        }
        Value::Object(fields) => {
            fields.remove(ADDRESSES);
            for (name, value) in fields {
                normalise(value);
                match value {
                    Value::String(text) if TIMES.contains(&name.as_str()) && is_time(text) => {
                        *text = "TIME".into();
                    }
                    Value::String(text) if name == ADDRESS => *text = "ADDRESS".into(),
                    Value::Array(items) if SETS.contains(&name.as_str()) => {
                        items.sort_by_key(|item| text(&item["name"]));
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// Whole seconds in UTC, as Kubernetes writes times.
fn is_time(text: &str) -> bool {
    text.len() == "2006-01-02T15:04:05Z".len()
        && text.ends_with('Z')
        && text.parse::<jiff::Timestamp>().is_ok()
}

fn words(json: &Value) -> Vec<String> {
    let items = |name: &str| json[name].as_array().cloned().unwrap_or_default();
    match json["kind"].as_str() {
        Some("Status") => {
            vec![format!("{}: {}", text(&json["reason"]), text(&json["message"]).replace('\n', "\\n"))]
        }
        Some("MetricValueList") => items("items").iter().map(custom).collect(),
        Some("ExternalMetricValueList") => items("items").iter().map(external).collect(),
        Some("PodMetricsList" | "NodeMetricsList") => items("items").iter().map(usage).collect(),
        Some("PodMetrics" | "NodeMetrics") => vec![usage(json)],
        Some("Table") => {
            let columns =
                items("columnDefinitions").iter().map(|column| text(&column["name"])).collect::<Vec<_>>();
            let rows = items("rows").into_iter().map(|row| row["cells"].to_string());
            std::iter::once(columns.join(",")).chain(rows).collect()
        }
        Some("APIResourceList") => {
            items("resources").iter().map(|resource| text(&resource["name"])).collect()
        }
        Some("APIGroupList") => items("groups").iter().map(|group| text(&group["name"])).collect(),
        Some("APIGroupDiscoveryList") => {
            items("items").iter().map(|it| text(&it["metadata"]["name"])).collect()
        }
        Some("APIGroup") => items("versions").iter().map(|version| text(&version["groupVersion"])).collect(),
        _ => json.as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn json(code: u16, text: &str) -> Answer {
        Answer::new(code, "application/json", text.to_owned())
    }

    #[test]
    fn times_and_the_order_of_sets_do_not_count() {
        let one = r#"{"timestamp":"2024-01-02T03:04:05Z","containers":[{"name":"b"},{"name":"a"}]}"#;
        let other = r#"{"timestamp":"2025-01-02T03:04:05Z","containers":[{"name":"a"},{"name":"b"}]}"#;
        assert_eq!(json(200, one), json(200, other));
        let odd = r#"{"timestamp":"2025-01-02T03:04:05.5Z","containers":[{"name":"a"},{"name":"b"}]}"#;
        assert_ne!(json(200, odd), json(200, other));
    }

    #[test]
    fn the_media_type_counts() {
        let yaml = Answer::new(200, "application/yaml", "kind: Status\nreason: a\nmessage: b\n".into());
        let same = json(200, r#"{"kind":"Status","reason":"a","message":"b"}"#);
        assert_ne!(yaml, same);
        assert_eq!((yaml.summary(), same.summary()), ("200 application/yaml a: b".into(), "200 a: b".into()));
    }

    #[test]
    fn the_short_form_has_the_code_and_the_values() {
        let one = r#"{"metricLabels":{"a":"b"},"value":"1"}"#;
        let list = format!(
            r#"{{"kind":"ExternalMetricValueList","items":[{one},{{"metricLabels":null,"value":"2"}}]}}"#
        );
        assert_eq!(json(200, &list).summary(), r#"200 {a="b"}=1 null=2"#);
        let status = r#"{"kind":"Status","reason":"NotFound","message":"no such metric"}"#;
        assert_eq!(json(404, status).summary(), "404 NotFound: no such metric");
        assert_eq!(
            Answer::new(200, "text/plain; charset=utf-8", "ok\n".into()).summary(),
            "200 text/plain ok"
        );
    }
}
