//! What Prometheus says (a sample) and what Kubernetes gets (a value).

use jiff::Timestamp;

use super::{Labels, Quantity};

/// One element of Prometheus' answer to an instant query; its value may be NaN or infinite.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The series' labels without `__name__`, which a query may keep but is no label of what it measures.
    pub labels: Labels,
    /// The value as Prometheus sent it.
    pub value: f64,
    /// The evaluation time of the query.
    pub timestamp: Timestamp,
}

/// One item of an answer: a finite quantity that a rule let pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The number.
    pub quantity: Quantity,
    /// The sample's labels, or none.
    pub labels: Labels,
    /// When Prometheus evaluated the query.
    pub timestamp: Timestamp,
}
