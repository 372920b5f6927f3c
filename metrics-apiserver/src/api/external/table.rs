//! External metrics as a Table.

use jiff::Timestamp;

use crate::api::json::ObjectMeta;
use crate::api::table::{Column, Row, TableVersion, age, encode};
use crate::metric::{Labels, Namespace, Value};

const COLUMNS: &[Column] = &[
    Column::name("The metric's name."),
    Column::new("Value", "The number the HorizontalPodAutoscaler reads, as a Kubernetes quantity."),
    Column::new("Labels", "The labels of the series."),
    Column::new("Age", "How long ago Prometheus evaluated the query."),
];

/// The JSON of `values` as a table; ages are counted from `now`.
pub(in crate::api) fn table(
    version: TableVersion,
    metric: &str,
    namespace: &Namespace,
    values: &[Value],
    now: Timestamp,
) -> Vec<u8> {
    let rows = values.iter().map(|value| {
        let (quantity, age) = (value.quantity.to_string(), age(value.timestamp, now));
        let cells = vec![metric.to_owned(), quantity, labels(&value.labels), age];
        let metadata =
            ObjectMeta { name: metric, namespace: Some(namespace.as_str()), ..ObjectMeta::default() };
        Row::new(version, metadata, cells)
    });
    encode(version, COLUMNS, rows.collect())
}

/// `a=b,c=d`, or what kubectl prints for none.
fn labels(labels: &Labels) -> String {
    if labels.is_empty() {
        return "<none>".to_owned();
    }
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(",")
}
