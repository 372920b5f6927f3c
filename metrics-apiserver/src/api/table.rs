//! `meta.k8s.io` Table: what `kubectl get` prints. Each API has its own columns; everything else is here.

use jiff::Timestamp;
use serde::Serialize;

use super::json::{self, Empty, ObjectMeta};

/// The version of the Table that a client asked for; the shape is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableVersion {
    /// `meta.k8s.io/v1`.
    V1,
    /// `meta.k8s.io/v1beta1`, which old versions of kubectl ask for.
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

/// A column of strings.
#[derive(Serialize)]
pub(super) struct Column {
    name: &'static str,
    #[serde(rename = "type")]
    of: &'static str,
    format: &'static str,
    description: &'static str,
    priority: i32,
}

impl Column {
    /// The column with the object's name.
    pub(super) const fn name(description: &'static str) -> Self {
        Self { format: "name", ..Self::new("Name", description) }
    }

    /// A column of values in a format that clients know.
    pub(super) const fn formatted(name: &'static str, format: &'static str) -> Self {
        Self { format, ..Self::new(name, "") }
    }

    /// Any other column.
    pub(super) const fn new(name: &'static str, description: &'static str) -> Self {
        Self { name, of: "string", format: "", description, priority: 0 }
    }
}

/// A row: one object with a cell for each column.
#[derive(Serialize)]
pub(super) struct Row<'a> {
    cells: Vec<String>,
    object: Object<'a>,
}

impl<'a> Row<'a> {
    /// kubectl takes the columns of namespace and labels from `metadata`.
    pub(super) fn new(version: TableVersion, metadata: ObjectMeta<'a>, cells: Vec<String>) -> Self {
        let object = Object { kind: "PartialObjectMetadata", api_version: version.api_version(), metadata };
        Self { cells, object }
    }
}

/// The JSON of a table.
pub(super) fn encode(version: TableVersion, columns: &'static [Column], rows: Vec<Row<'_>>) -> Vec<u8> {
    let table = Table {
        kind: "Table",
        api_version: version.api_version(),
        metadata: Empty {},
        column_definitions: columns,
        rows,
    };
    let mut body = Vec::new();
    json::write(&mut body, &table);
    body
}

/// `12s`, `5m`, `3h`. One unit is enough: a value older than seconds is a sign of trouble.
pub(super) fn age(then: Timestamp, now: Timestamp) -> String {
    match now.as_second() - then.as_second() {
        seconds @ ..120 => format!("{}s", seconds.max(0)),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds => format!("{}h", seconds / 3600),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Table<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    column_definitions: &'static [Column],
    rows: Vec<Row<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: ObjectMeta<'a>,
}
