//! `meta.k8s.io` Table: without it `kubectl get` cannot print a value list (contract §4.7).

use jiff::Timestamp;
use serde::Serialize;

use super::external::Empty;
use crate::metric::{Labels, Namespace, Value};

/// The version of the Table a client asked for; the shape is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableVersion {
    /// `meta.k8s.io/v1`.
    V1,
    /// `meta.k8s.io/v1beta1`, asked for by old kubectl.
    V1Beta1,
}

impl TableVersion {
    const fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// The JSON of `values` as a table; ages are counted from `now`.
pub fn table(
    version: TableVersion,
    metric: &str,
    namespace: &Namespace,
    values: &[Value],
    now: Timestamp,
) -> Vec<u8> {
    let rows = values.iter().map(|value| Row::new(version, metric, namespace.as_str(), value, now)).collect();
    let table = Table {
        kind: "Table",
        api_version: version.api_version(),
        metadata: Empty {},
        column_definitions: COLUMNS,
        rows,
    };
    let mut body = Vec::new();
    super::document::write_json(&mut body, &table);
    body
}

const COLUMNS: [Column; 4] = [
    Column::new("Name", "name", "The metric's name."),
    Column::new("Value", "", "The number the HorizontalPodAutoscaler reads, as a Kubernetes quantity."),
    Column::new("Labels", "", "The labels of the series."),
    Column::new("Age", "", "How long ago Prometheus evaluated the query."),
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Table<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    column_definitions: [Column; 4],
    rows: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Column {
    name: &'static str,
    #[serde(rename = "type")]
    of: &'static str,
    format: &'static str,
    description: &'static str,
    priority: i32,
}

impl Column {
    const fn new(name: &'static str, format: &'static str, description: &'static str) -> Self {
        Self { name, of: "string", format, description, priority: 0 }
    }
}

#[derive(Serialize)]
struct Row<'a> {
    cells: [String; 4],
    object: Object<'a>,
}

/// What kubectl takes the namespace column from.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: ObjectMeta<'a>,
}

#[derive(Serialize)]
struct ObjectMeta<'a> {
    name: &'a str,
    namespace: &'a str,
}

impl<'a> Row<'a> {
    fn new(
        version: TableVersion,
        metric: &'a str,
        namespace: &'a str,
        value: &Value,
        now: Timestamp,
    ) -> Self {
        Self {
            cells: [
                metric.to_owned(),
                value.quantity.to_string(),
                labels(&value.labels),
                age(value.timestamp, now),
            ],
            object: Object {
                kind: "PartialObjectMetadata",
                api_version: version.api_version(),
                metadata: ObjectMeta { name: metric, namespace },
            },
        }
    }
}

/// `a=b,c=d`, or what kubectl prints for none.
fn labels(labels: &Labels) -> String {
    if labels.is_empty() {
        return "<none>".to_owned();
    }
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(",")
}

/// `12s`, `5m`, `3h`: one unit is enough, a value is seconds old unless something is wrong.
fn age(then: Timestamp, now: Timestamp) -> String {
    match now.as_second() - then.as_second() {
        seconds @ ..120 => format!("{}s", seconds.max(0)),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds => format!("{}h", seconds / 3600),
    }
}
