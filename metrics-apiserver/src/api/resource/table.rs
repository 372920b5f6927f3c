//! Usage as a Table: what `kubectl get podmetrics` and `kubectl get nodemetrics` print.

use jiff::Timestamp;

use super::encode::metadata;
use crate::answer::{ObjectUsage, Usage, UsageAnswer, Used};
use crate::api::table::{Column, Row, TableVersion, encode};
use crate::syntax::format_duration;

/// The columns of metrics-server.
const COLUMNS: &[Column] = &[
    Column::name("Name of the resource"),
    Column::formatted("cpu", "quantity"),
    Column::formatted("memory", "quantity"),
    Column::formatted("Window", "duration"),
];

/// The JSON of an answer as a table. A pod's usage is that of its containers together.
pub(in crate::api) fn table(version: TableVersion, answer: &UsageAnswer, now: Timestamp) -> Vec<u8> {
    let window = format_duration(answer.window);
    let rows = answer.items.iter().map(|usage| {
        let ObjectUsage { object, used, .. } = usage;
        let total = match used {
            Used::Node(usage) => *usage,
            Used::Pod(containers) => {
                containers.iter().map(|container| container.usage).fold(Usage::default(), |sum, usage| {
                    Usage { cpu: usage.cpu.plus(sum.cpu), memory: usage.memory.plus(sum.memory) }
                })
            }
        };
        let cells =
            vec![object.name.to_string(), total.cpu.to_string(), total.memory.to_string(), window.clone()];
        Row::new(version, metadata(usage, now), cells)
    });
    encode(version, COLUMNS, rows.collect())
}
