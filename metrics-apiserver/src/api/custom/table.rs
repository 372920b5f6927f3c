//! Custom metrics as a Table.

use crate::answer::{CustomAnswer, CustomRequest};
use crate::api::json::ObjectMeta;
use crate::api::table::{Column, Row, TableVersion, encode};
use crate::metric::Namespace;

const COLUMNS: &[Column] = &[
    Column::name("The object's name."),
    Column::new("Kind", "The object's kind."),
    Column::new("Metric", "The metric's name."),
    Column::new("Value", "The number the HorizontalPodAutoscaler reads, as a Kubernetes quantity."),
];

/// The JSON of the values as a table.
pub(in crate::api) fn table(
    version: TableVersion,
    request: &CustomRequest,
    answer: &CustomAnswer,
) -> Vec<u8> {
    let rows = answer.values.iter().map(|(object, value)| {
        let (kind, metric) = (answer.resource.kind.to_string(), request.metric.to_string());
        let cells = vec![object.name.to_string(), kind, metric, value.quantity.to_string()];
        let namespace = object.namespace.as_ref().map(Namespace::as_str);
        Row::new(version, ObjectMeta { name: &object.name, namespace, ..ObjectMeta::default() }, cells)
    });
    encode(version, COLUMNS, rows.collect())
}
