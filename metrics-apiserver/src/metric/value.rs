//! A sample is what Prometheus returns, a value what Kubernetes gets.

use jiff::Timestamp;

use super::labels::Labels;
use super::quantity::Quantity;

/// One element of the result of an instant query; its value may be NaN or infinite.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The series' labels, with `__name__` if the query keeps it.
    pub labels: Labels,
    /// The value as Prometheus sent it.
    pub value: f64,
    /// The evaluation time of the query.
    pub timestamp: Timestamp,
}

/// One item of an answer: a finite quantity within the rule's policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The number.
    pub quantity: Quantity,
    /// The sample's labels, or none.
    pub labels: Labels,
    /// When Prometheus evaluated the query.
    pub timestamp: Timestamp,
}
