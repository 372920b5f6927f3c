//! The rules for CPU and memory of pods and nodes: prometheus-adapter's `resourceRules`.

use std::sync::Arc;
use std::time::Duration;

use super::core::{NAMESPACES, NODES, PODS};
use super::error::QueryError;
use super::matchers::Matchers;
use super::resources::ResourceLabels;
use super::rule::render;
use super::template::Template;
use crate::metric::Resources;
use crate::rules::plan::BackendName;

/// How CPU and memory are asked for.
#[derive(Debug, Clone)]
pub struct ResourceRules {
    /// CPU. Without it every answer is empty.
    pub cpu: Option<ResourceRule>,
    /// Memory. Without it every answer is empty.
    pub memory: Option<ResourceRule>,
    /// The time that a value covers, as answers say it.
    pub window: Duration,
    /// Where the queries are sent.
    pub backend: BackendName,
    /// The greatest age of a reading that answers a read.
    pub max_age: Duration,
    /// Alive while the rules are served: the cache prefetches for nobody else.
    pub owner: Arc<()>,
}

/// By what was configured.
impl PartialEq for ResourceRules {
    fn eq(&self, other: &Self) -> bool {
        self.cpu == other.cpu
            && self.memory == other.memory
            && self.window == other.window
            && self.backend == other.backend
            && self.max_age == other.max_age
    }
}

impl Eq for ResourceRules {}

/// How one of them is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceRule {
    /// The query for the containers of pods.
    pub container_query: Template,
    /// The query for nodes.
    pub node_query: Template,
    /// Which labels name namespaces, pods and nodes.
    pub resources: ResourceLabels,
    /// The label that names a container.
    pub container_label: Arc<str>,
}

/// The labels that say whose a sample of a pod query is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodLabels {
    /// The pod's namespace.
    pub namespace: Arc<str>,
    /// The pod.
    pub pod: Arc<str>,
    /// The container.
    pub container: Arc<str>,
}

impl ResourceRule {
    /// The labels of the samples of a pod query.
    pub fn pod_labels(&self, resources: &Resources) -> Result<PodLabels, QueryError> {
        Ok(PodLabels {
            namespace: self.resources.need_label(&NAMESPACES, resources)?,
            pod: self.resources.need_label(&PODS, resources)?,
            container: Arc::clone(&self.container_label),
        })
    }

    /// The label that names the node of a sample of a node query.
    pub fn node_label(&self, resources: &Resources) -> Result<Arc<str>, QueryError> {
        self.resources.need_label(&NODES, resources)
    }

    /// The query for the containers of pods of these names, or of all pods if there are none.
    ///
    /// For one namespace it is what prometheus-adapter asks. For several, or for all if there are none, the samples
    /// are grouped by the namespace, too.
    pub fn pod_query(
        &self,
        namespaces: &[&str],
        pods: &[&str],
        resources: &Resources,
    ) -> Result<String, QueryError> {
        let PodLabels { namespace, pod, container } = self.pod_labels(resources)?;
        let mut matchers = Matchers::default();
        matchers.add_names(&namespace, namespaces);
        matchers.add_names(&pod, pods);
        let mut group_by = vec![pod.to_string(), container.to_string()];
        if namespaces.len() != 1 {
            group_by.insert(0, namespace.to_string());
        }
        render(&self.container_query, "", matchers, group_by)
    }

    /// The query for nodes of these names, or for all nodes if there are none.
    pub fn node_query(&self, nodes: &[&str], resources: &Resources) -> Result<String, QueryError> {
        let node = self.node_label(resources)?;
        let mut matchers = Matchers::default();
        matchers.add_names(&node, nodes);
        render(&self.node_query, "", matchers, vec![node.to_string()])
    }
}

#[cfg(test)]
mod tests {
    use super::super::resources::Override;
    use super::*;

    fn rule() -> ResourceRule {
        let labels =
            [("namespace", "namespace"), ("pod", "pod"), ("instance", "node")].map(|(label, resource)| {
                Override { label: label.into(), resource: resource.into(), group: Arc::default() }
            });
        ResourceRule {
            container_query: Template::parse("sum(rate(c{<<.LabelMatchers>>}[5m])) by (<<.GroupBy>>)")
                .unwrap(),
            node_query: Template::parse("sum(rate(c{<<.LabelMatchers>>, id='/'}[5m])) by (<<.GroupBy>>)")
                .unwrap(),
            resources: ResourceLabels::parse(labels.into(), "").unwrap(),
            container_label: "container".into(),
        }
    }

    fn pods(namespaces: &[&str], names: &[&str]) -> String {
        rule().pod_query(namespaces, names, &Resources::default()).unwrap()
    }

    #[test]
    fn pods_of_one_namespace_are_asked_for_as_the_adapter_does() {
        assert_eq!(
            pods(&["ns"], &["p1", "p2"]),
            r#"sum(rate(c{namespace="ns",pod=~"p1|p2"}[5m])) by (pod,container)"#
        );
        assert_eq!(pods(&["ns"], &["p1"]), r#"sum(rate(c{namespace="ns",pod="p1"}[5m])) by (pod,container)"#);
    }

    #[test]
    fn pods_of_several_namespaces_are_asked_for_at_once() {
        assert_eq!(
            pods(&["a", "b"], &[]),
            r#"sum(rate(c{namespace=~"a|b",pod!=""}[5m])) by (namespace,pod,container)"#
        );
        assert_eq!(pods(&[], &[]), r#"sum(rate(c{namespace!="",pod!=""}[5m])) by (namespace,pod,container)"#);
    }

    #[test]
    fn nodes_are_asked_for_as_the_adapter_does() {
        let nodes = |names: &[&str]| rule().node_query(names, &Resources::default()).unwrap();
        assert_eq!(
            nodes(&["n1.x", "n2"]),
            r#"sum(rate(c{instance=~"n1\\.x|n2", id='/'}[5m])) by (instance)"#
        );
        assert_eq!(nodes(&["n1"]), r#"sum(rate(c{instance="n1", id='/'}[5m])) by (instance)"#);
        assert_eq!(nodes(&[]), r#"sum(rate(c{instance!="", id='/'}[5m])) by (instance)"#);
    }

    #[test]
    fn a_rule_without_a_label_for_nodes_says_so() {
        let rule = ResourceRule { resources: ResourceLabels::default(), ..rule() };
        let error = rule.node_query(&["n"], &Resources::default()).unwrap_err();
        assert_eq!(error, QueryError::NoLabel { resource: "nodes".to_owned() });
    }
}
