//! A small cluster, and rules of prometheus-adapter for its objects, without a configuration.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::catalog::{Discovered, FilePart};
use crate::metric::{GroupResource, Labels, MetricId, MetricName, Namespace, ResourceInfo, Resources, Scope};
use crate::objects::{Object, Objects};
use crate::rules::adapter::{AdapterRule, Naming, Override, ResourceLabels, Template};
use crate::rules::{BackendName, Policies, Rule};

fn info(resource: &str, group: &str, kind: &str, scope: Scope) -> Arc<ResourceInfo> {
    Arc::new(ResourceInfo {
        resource: GroupResource { resource: resource.into(), group: group.into() },
        singular: kind.to_lowercase().into(),
        kind: kind.into(),
        version: "v1".into(),
        scope,
    })
}

fn object(namespace: Option<&str>, name: &str, labels: &[(&str, &str)]) -> Arc<Object> {
    Arc::new(Object {
        namespace: namespace.map(|namespace| Namespace::parse(namespace).unwrap()),
        name: name.into(),
        labels: labels.iter().copied().collect::<Labels>(),
    })
}

/// The namespace `shop` with the pods `till-1`, `till-2` (`app=till`) and `web` (`app=web`), and the node `worker`.
pub(crate) fn cluster() -> Objects {
    let pods = info("pods", "", "Pod", Scope::Namespaced);
    let nodes = info("nodes", "", "Node", Scope::Cluster);
    let namespaces = info("namespaces", "", "Namespace", Scope::Cluster);
    let deployments = info("deployments", "apps", "Deployment", Scope::Namespaced);
    let pod = |name, app| object(Some("shop"), name, &[("app", app)]);
    let objects = HashMap::from([
        (Arc::clone(&pods), vec![pod("till-1", "till"), pod("till-2", "till"), pod("web", "web")]),
        (Arc::clone(&nodes), vec![object(None, "worker", &[])]),
        (Arc::clone(&namespaces), vec![object(None, "shop", &[])]),
    ]);
    Objects::fixed(Resources::new(vec![namespaces, nodes, pods, deployments]), objects)
}

/// A rule whose labels have the names of resources.
pub(crate) fn adapter_rule(query: &str, policies: Policies) -> Arc<AdapterRule> {
    let label = |(name, group): (&str, &str)| Override {
        label: name.into(),
        resource: name.into(),
        group: group.into(),
    };
    let labels = [("namespace", ""), ("pod", ""), ("node", ""), ("deployment", "apps")];
    Arc::new(AdapterRule {
        series_query: "requests".into(),
        naming: Naming::parse(Vec::new(), "", "").unwrap(),
        resources: ResourceLabels::parse(labels.map(label).to_vec(), "").unwrap(),
        namespaced: true,
        query: Template::parse(query).unwrap(),
        backend: BackendName("default".into()),
        policies,
        max_age: Duration::from_secs(10),
        owner: Arc::default(),
    })
}

/// The catalog's part of a file with rules for custom and external metrics.
pub(crate) fn adapter_file() -> FilePart {
    FilePart { custom: true, external: true, ..FilePart::default() }
}

/// The metric `name` of pods, deployments, nodes and namespaces.
pub(crate) fn custom(name: &str) -> Discovered {
    let query = format!("{name}{{<<.LabelMatchers>>}} by (<<.GroupBy>>)");
    let name = MetricName::parse(name).unwrap();
    let rule = adapter_rule(&query, Policies::adapter());
    let rule = Arc::new(Rule::series(&rule, name.clone(), "requests".into()));
    let resources = [
        ("pods", "", Scope::Namespaced),
        ("deployments", "apps", Scope::Namespaced),
        ("nodes", "", Scope::Cluster),
        ("namespaces", "", Scope::Cluster),
    ];
    let metric = |(resource, group, scope): (&str, &str, Scope)| {
        let resource = GroupResource { resource: resource.into(), group: group.into() };
        (MetricId::Custom { resource, scope, name: name.clone() }, Arc::clone(&rule))
    };
    resources.map(metric).into()
}

/// The external metric `name`.
pub(crate) fn external(name: &str) -> Discovered {
    let query = format!("{name}{{<<.LabelMatchers>>}}");
    let name = MetricName::parse(name).unwrap();
    let rule = adapter_rule(&query, Policies::adapter_external());
    let rule = Arc::new(Rule::series(&rule, name.clone(), "requests".into()));
    [(MetricId::external(&name), rule)].into()
}
