//! Names of metrics and namespaces.

use std::sync::Arc;

/// The name of an external metric, as the operator wrote it; equal without regard to case.
///
/// client-go lower-cases the resource segment of a path and the metric's name travels there, so names that differ
/// only by case are one name (contract §4.1).
#[derive(Debug, Clone)]
pub struct MetricName(Arc<str>);

/// The namespace a request is authorized for, which every query is bound to: a DNS-1123 label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Namespace(Arc<str>);

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseNameError {}
