use super::*;
use crate::metric::{GroupResource, Scope};

fn info(resource: &str, singular: &str, group: &str) -> Arc<ResourceInfo> {
    Arc::new(ResourceInfo {
        resource: GroupResource { resource: resource.into(), group: group.into() },
        singular: singular.into(),
        kind: singular.into(),
        version: "v1".into(),
        scope: Scope::Namespaced,
    })
}

fn cluster() -> Resources {
    Resources::new(vec![
        info("namespaces", "namespace", ""),
        info("pods", "pod", ""),
        info("services", "service", ""),
        info("deployments", "deployment", "apps"),
        info("jobs", "job", "batch"),
        info("ingresses", "ingress", "networking.k8s.io"),
    ])
}

fn known(label: &str, resource: &str, group: &str) -> Override {
    Override { label: label.into(), resource: resource.into(), group: group.into() }
}

fn labels(overrides: &[(&str, &str, &str)], template: &str) -> ResourceLabels {
    let overrides = overrides.iter().map(|(label, resource, group)| known(label, resource, group));
    ResourceLabels::parse(overrides.collect(), template).unwrap()
}

fn resource_of(labels: &ResourceLabels, label: &str) -> Option<String> {
    labels.resource_of(label, &cluster()).map(|info| info.resource.to_string())
}

fn label_of(labels: &ResourceLabels, info: &ResourceInfo) -> Option<String> {
    labels.label_of(info, &cluster()).unwrap().map(|label| label.to_string())
}

#[test]
fn an_override_means_its_resource_both_ways() {
    let labels = labels(&[("kubernetes_namespace", "namespaces", ""), ("svc", "Service", "")], "");
    assert_eq!(resource_of(&labels, "kubernetes_namespace").as_deref(), Some("namespaces"));
    assert_eq!(resource_of(&labels, "svc").as_deref(), Some("services"));
    assert_eq!(resource_of(&labels, "pod"), None);
    assert_eq!(label_of(&labels, &info("services", "service", "")).as_deref(), Some("svc"));
    assert_eq!(label_of(&labels, &info("pods", "pod", "")), None);
}

#[test]
fn a_template_names_every_other_resource() {
    let labels = labels(&[("ns", "namespace", "")], "kube_<<.Resource>>");
    assert_eq!(resource_of(&labels, "kube_pod").as_deref(), Some("pods"));
    assert_eq!(resource_of(&labels, "kube_jobs").as_deref(), Some("jobs.batch"));
    assert_eq!(resource_of(&labels, "ns").as_deref(), Some("namespaces"));
    assert_eq!(labels.meaning("kube_code", &cluster()), Meaning::Unknown);
    assert_eq!(labels.meaning("code", &cluster()), Meaning::Nothing);
    assert_eq!(
        label_of(&labels, &info("deployments", "deployment", "apps")).as_deref(),
        Some("kube_deployment")
    );
    assert_eq!(label_of(&labels, &info("namespaces", "namespace", "")).as_deref(), Some("ns"));
}

#[test]
fn a_group_in_a_template_is_written_with_underscores_and_read_as_it_is() {
    let labels = labels(&[], "<<.Group>>_<<.Resource>>");
    assert_eq!(
        label_of(&labels, &info("ingresses", "ingress", "networking.k8s.io")).as_deref(),
        Some("networking_k8s_io_ingress")
    );
    assert_eq!(resource_of(&labels, "apps_deployment").as_deref(), Some("deployments.apps"));
    assert_eq!(labels.meaning("networking_k8s_io_ingress", &cluster()), Meaning::Unknown);
}

#[test]
fn the_text_around_the_fields_is_a_regular_expression() {
    let labels = labels(&[], "(?:kube|k8s)_<<.Resource>>");
    assert_eq!(resource_of(&labels, "k8s_pod").as_deref(), Some("pods"));
    assert_eq!(resource_of(&labels, "xk8s_pod"), None);
}

#[test]
fn a_template_that_names_no_resource_is_refused() {
    let parse = |text: &str| ResourceLabels::parse(Vec::new(), text).unwrap_err();
    assert_eq!(parse("label"), AdapterError::NoResource);
    assert_eq!(parse("<<.Group>>"), AdapterError::NoResource);
    assert_eq!(parse("<</* */>>"), AdapterError::NoResource);
    assert!(matches!(parse("<<.Resource"), AdapterError::LabelTemplate(_)));
    assert!(matches!(parse("<<.Series>>"), AdapterError::LabelTemplate(_)));
    assert!(matches!(parse("(<<.Resource>>"), AdapterError::LabelRegex(_)));
}

#[test]
fn of_two_overrides_for_one_resource_the_first_is_asked_with() {
    let labels = labels(&[("b", "pods", ""), ("a", "pod", "")], "");
    assert_eq!(label_of(&labels, &info("pods", "pod", "")).as_deref(), Some("b"));
    assert_eq!(resource_of(&labels, "a").as_deref(), Some("pods"));
}

#[test]
fn an_override_that_cannot_be_resolved_is_listed() {
    let labels = labels(
        &[("ns", "namespace", ""), ("gpu", "gpus", "example.com"), ("d", "deployment", "ap")],
        "<<.Resource>>",
    );
    let unresolved: Vec<_> = labels.unresolved(&cluster()).map(|known| &*known.label).collect();
    assert_eq!(unresolved, ["gpu"]);
    assert_eq!(labels.meaning("gpu", &cluster()), Meaning::Unknown);
    assert_eq!(resource_of(&labels, "d").as_deref(), Some("deployments.apps"));
}

#[test]
fn the_label_of_a_namespace_is_known_without_the_cluster() {
    let none = Resources::default();
    let info = info("namespaces", "namespace", "");
    for labels in
        [labels(&[("ns", "Namespace", "")], ""), labels(&[("ns", "namespaces", "")], "x_<<.Resource>>")]
    {
        assert_eq!(labels.label_of(&info, &none).unwrap().as_deref(), Some("ns"));
    }
    assert_eq!(
        labels(&[], "x_<<.Resource>>").label_of(&info, &none).unwrap().as_deref(),
        Some("x_namespace")
    );
}
