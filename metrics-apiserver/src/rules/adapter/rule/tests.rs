use super::super::resources::Override;
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
    let all = [
        ("namespaces", "namespace", ""),
        ("nodes", "node", ""),
        ("persistentvolumes", "persistentvolume", ""),
        ("pods", "pod", ""),
        ("jobs", "job", "batch"),
    ];
    Resources::new(all.map(|(resource, singular, group)| info(resource, singular, group)).to_vec())
}

fn rule(query: &str, overrides: &[(&str, &str)], template: &str) -> AdapterRule {
    let overrides = overrides.iter().map(|(label, resource)| Override {
        label: (*label).into(),
        resource: (*resource).into(),
        group: Arc::default(),
    });
    AdapterRule {
        series_query: "{__name__=~\".+\"}".into(),
        naming: Naming::parse(Vec::new(), "", "").unwrap(),
        resources: ResourceLabels::parse(overrides.collect(), template).unwrap(),
        namespaced: true,
        query: Template::parse(query).unwrap(),
        backend: BackendName("default".into()),
        policies: Policies::default(),
        max_age: Duration::from_secs(10),
        owner: Arc::default(),
    }
}

const USUAL: &str = "sum(rate(<<.Series>>{<<.LabelMatchers>>}[5m])) by (<<.GroupBy>>)";

#[test]
fn a_custom_query_is_what_the_adapter_asks() {
    let rule = rule(USUAL, &[("namespace", "namespace"), ("pod", "pod")], "");
    let pods = info("pods", "pod", "");
    let ask = |names: &[&str], selector: &str| {
        let objects = Objects { resource: &pods, namespace: Some("default"), names };
        rule.custom_query("http_total", &objects, &selector.parse().unwrap(), &cluster()).unwrap()
    };
    assert_eq!(ask(&["p"], ""), r#"sum(rate(http_total{namespace="default",pod="p"}[5m])) by (pod)"#);
    assert_eq!(
        ask(&["a", "b"], "verb!=GET,code in (500,503)"),
        r#"sum(rate(http_total{code=~"500|503",verb!="GET",namespace="default",pod=~"a|b"}[5m])) by (pod)"#
    );
    assert_eq!(rule.label_of(&pods, &cluster()).unwrap().as_ref(), "pod");
}

#[test]
fn an_object_outside_of_namespaces_has_no_namespace_matcher() {
    let rule = rule("<<.LabelMatchers>>;<<.LabelValuesByName>>;<<.GroupBySlice>>", &[], "kube_<<.Resource>>");
    let node = info("nodes", "node", "");
    let objects = Objects { resource: &node, namespace: None, names: &["n1"] };
    let query = rule.custom_query("", &objects, &Selector::default(), &cluster()).unwrap();
    assert_eq!(query, r#"kube_node="n1";map[kube_node:n1];[kube_node]"#);
}

#[test]
fn a_namespace_itself_has_one_matcher() {
    let rule = rule(USUAL, &[("ns", "namespace")], "");
    let namespace = info("namespaces", "namespace", "");
    let objects = Objects { resource: &namespace, namespace: None, names: &["a"] };
    let query = rule.custom_query("x", &objects, &Selector::default(), &cluster()).unwrap();
    assert_eq!(query, r#"sum(rate(x{ns="a"}[5m])) by (ns)"#);
}

#[test]
fn an_external_query_has_no_labels_to_group_by() {
    let mut rule = rule(
        "<<.Series>>{<<.LabelMatchers>>} by (<<.GroupBy>>)<<.GroupBySlice>>",
        &[("ns", "namespace")],
        "",
    );
    let ask = |rule: &AdapterRule| {
        rule.external_query("q", "default", &"a=b".parse().unwrap(), &Resources::default()).unwrap()
    };
    assert_eq!(ask(&rule), r#"q{a="b",ns="default"} by ()[]"#);
    rule.namespaced = false;
    assert_eq!(ask(&rule), r#"q{a="b"} by ()[]"#);
}

#[test]
fn an_external_rule_without_a_namespace_label_is_an_error() {
    let rule = rule(USUAL, &[], "");
    let error = rule.external_query("q", "default", &Selector::default(), &cluster()).unwrap_err();
    assert_eq!(error, QueryError::NoLabel { resource: "namespaces".to_owned() });
}

#[test]
fn a_query_that_renders_nothing_is_an_error() {
    let ask = |query: &str| {
        let rule = AdapterRule { namespaced: false, ..rule(query, &[], "") };
        rule.external_query("q", "default", &Selector::default(), &cluster()).unwrap_err()
    };
    assert_eq!(ask(""), QueryError::Empty);
    assert_eq!(ask("<<if false>>x<<end>>"), QueryError::Empty);
    assert!(matches!(ask("<<.Serie>>"), QueryError::Template(_)));
}

fn associations(rule: &AdapterRule, labels: &[&str]) -> (Vec<String>, bool) {
    let (found, namespaced) = rule.associations(labels.iter().copied(), &cluster());
    (found.iter().map(|info| info.resource.to_string()).collect(), namespaced)
}

#[test]
fn a_series_describes_the_resources_of_its_labels() {
    let by_override = rule(USUAL, &[("namespace", "namespace"), ("pod", "pod"), ("pod_name", "pod")], "");
    let found = associations(&by_override, &["__name__", "namespace", "pod", "pod_name", "code"]);
    assert_eq!(found, (vec!["namespaces".to_owned(), "pods".to_owned()], true));
    let by_template = rule(USUAL, &[], "<<.Resource>>");
    assert_eq!(associations(&by_template, &["job", "code"]), (vec!["jobs.batch".to_owned()], true));
}

#[test]
fn only_labels_of_namespaces_nodes_and_volumes_make_a_series_root_scoped() {
    let by_template = rule(USUAL, &[], "<<.Resource>>");
    let root = ["__name__", "namespace", "node", "persistentvolume", "code"];
    let (found, namespaced) = associations(&by_template, &root);
    assert_eq!((found.len(), namespaced), (3, false), "a label that could be a resource is skipped");
    let by_override = rule(USUAL, &[("node", "node")], "");
    assert_eq!(associations(&by_override, &["node"]), (vec!["nodes".to_owned()], false));
    assert_eq!(associations(&by_override, &["node", "code"]), (vec!["nodes".to_owned()], true));
}

#[test]
fn rules_are_equal_by_what_was_configured() {
    let (one, mut other) = (rule(USUAL, &[], ""), rule(USUAL, &[], ""));
    assert_eq!(one, other);
    other.query = Template::parse("x").unwrap();
    assert_ne!(one, other);
}

#[test]
fn a_query_that_has_the_series_in_strings_only_can_read_any_name() {
    for (query, expected) in [
        ("sum({\"<<.Series>>\",<<.LabelMatchers>>}) by (<<.GroupBy>>)", true),
        ("sum({__name__='<<.Series>>',a=\"\\\"\",<<.LabelMatchers>>})", true),
        ("sum({<<printf \"%q\" .Series>>,<<.LabelMatchers>>})", true),
        ("sum(<<.Series>>{<<.LabelMatchers>>})", false),
        ("sum({\"<<.Series>>\"}) / sum(<<.Series>>)", false),
        ("sum({a=\"\\\\\",<<.Series>>=\"\"})", false),
        ("sum(<<slice .Series 0 3>>{<<.LabelMatchers>>})", false),
        ("sum(<<printf \"%.3s\" .Series>>{<<.LabelMatchers>>})", false),
        ("# it's a comment\nsum(<<.Series>>{<<.LabelMatchers>>})", false),
        ("# it's a comment\nsum({'<<.Series>>',<<.LabelMatchers>>})", true),
    ] {
        assert_eq!(rule(query, &[], "").quotes_series(), expected, "{query}");
    }
}

#[test]
fn the_name_of_a_series_is_literal_in_a_regular_expression() {
    for (query, series, expected) in [
        (r#"{__name__=~"<<.Series>>_total",a="b"}"#, "a|b", r#"{__name__=~"a\\|b_total",a="b"}"#),
        (r"{__name__=~'^<<.Series>>$'}", "a.b.c", r"{__name__=~'^a\\.b\\.c$'}"),
        ("{__name__ !~ `<<.Series>>`}", "a(b)", r"{__name__ !~ `a\(b\)`}"),
        ("{__name__=~ # it's\n\"<<.Series>>\"}", "a.b", "{__name__=~ # it's\n\"a\\\\.b\"}"),
        // Elsewhere it is literal as it is.
        (
            r#"{__name__="<<.Series>>"} or {"<<.Series>>",a=~"x|y"}"#,
            "a.b",
            r#"{__name__="a.b"} or {"a.b",a=~"x|y"}"#,
        ),
        (r#"{x=~"\"",__name__="<<.Series>>"}"#, "a.b", r#"{x=~"\"",__name__="a.b"}"#),
        (r#"{__name__=~"<<.Series>>_total"}"#, "legacy:name_1", r#"{__name__=~"legacy:name_1_total"}"#),
        // What a function makes of it is left alone.
        (r#"{__name__=~"<<slice .Series 0 2>>.+"}"#, "a.b", r#"{__name__=~"a..+"}"#),
    ] {
        let rule = AdapterRule { namespaced: false, ..rule(query, &[], "") };
        let rendered = rule.external_query(series, "default", &Selector::default(), &cluster()).unwrap();
        assert_eq!(rendered, expected, "{query} with {series}");
    }
}
