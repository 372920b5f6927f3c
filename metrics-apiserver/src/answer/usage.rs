//! The types of `metrics.k8s.io`: whose usage a request asks for, and the usage itself.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::metric::{FieldSelector, Namespace, Quantity, Selector};
use crate::objects::Object;

/// A request for the CPU and memory usage of pods or nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRequest {
    /// Pods or nodes.
    pub target: UsageTarget,
    /// The one object that is wanted; none for a list.
    pub name: Option<Arc<str>>,
    /// Which labels the objects of a list have.
    pub labels: Selector,
    /// Which names and namespaces they have.
    pub fields: FieldSelector,
}

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsageTarget {
    /// Nodes.
    Nodes,
    /// The pods of a namespace, or of all.
    Pods(Option<Namespace>),
}

/// The usage that one request gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageAnswer {
    /// Whether it is about pods, not nodes.
    pub is_of_pods: bool,
    /// Whether one object was asked for, not a list.
    pub is_single: bool,
    /// How long the usage was measured for.
    pub window: Duration,
    /// The objects that have usage, sorted by namespace and name; exactly one if one was asked for.
    pub items: Vec<ObjectUsage>,
}

/// The usage of one pod or node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectUsage {
    /// The pod or node.
    pub object: Arc<Object>,
    /// The time of its earliest sample.
    pub timestamp: Timestamp,
    /// The usage.
    pub used: Used,
}

/// The usage of a node, or of each container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Used {
    /// Of a node.
    Node(Usage),
    /// Of a pod's containers, sorted by name.
    Pod(Vec<ContainerUsage>),
}

/// The usage of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerUsage {
    /// The container; empty if its samples do not name it.
    pub name: Arc<str>,
    /// Its usage.
    pub usage: Usage,
}

/// CPU in cores, and memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// In cores.
    pub cpu: Quantity,
    /// In bytes.
    pub memory: Quantity,
}
