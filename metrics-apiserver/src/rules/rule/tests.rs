use std::collections::BTreeSet;

use super::super::native::{NamespaceMode, RuleError, SelectorMode};
use super::super::promql::QueryTemplate;
use super::*;

fn rule(query: &str, namespace: NamespaceMode, selector: SelectorMode) -> Result<Rule, RuleError> {
    let query = QueryTemplate::parse(query).unwrap();
    let query = NativeQuery::new(query, namespace, selector)?;
    Ok(Rule::native(MetricName::parse("m").unwrap(), BackendName("default".into()), query))
}

fn ask(rule: &Rule, selector: &str) -> Result<String, PlanError> {
    let plan = rule.external_plan(
        &Namespace::parse("ns").unwrap(),
        &selector.parse().unwrap(),
        &Resources::default(),
    )?;
    let [query] = &plan.queries[..] else { panic!("one query, not {plan:?}") };
    assert_eq!(plan.pick, Pick::All);
    assert_eq!(query.backend, BackendName("default".into()));
    Ok(query.promql.to_string())
}

fn plain(query: &str) -> Rule {
    rule(query, NamespaceMode::default(), SelectorMode::Inject).unwrap()
}

#[test]
fn the_namespace_goes_into_every_selector_beside_what_the_author_wrote() {
    assert_eq!(ask(&plain("up"), "").unwrap(), "up{namespace=\"ns\"}");
    let query = ask(&plain("a{namespace=\"other\"} / b"), "").unwrap();
    assert_eq!(query, "a{namespace=\"other\",namespace=\"ns\"} / b{namespace=\"ns\"}");
    assert_eq!(ask(&plain("vector(1)"), "a=b").unwrap(), "vector(1)");
}

#[test]
fn a_backend_that_is_told_the_namespace_has_a_query_for_each_one() {
    let mut whole = rule("up", NamespaceMode::None, SelectorMode::Inject).unwrap();
    let query = |rule: &Rule, namespace: &str| {
        let namespace = Namespace::parse(namespace).unwrap();
        rule.external_plan(&namespace, &Selector::default(), &Resources::default()).unwrap().queries.remove(0)
    };
    assert_eq!(query(&whole, "shop"), query(&whole, "other"), "one reading for all namespaces");
    let before = whole.clone();
    whole.tells_namespace = true;
    assert_ne!(query(&whole, "shop"), query(&whole, "other"), "never a reading of another namespace");
    assert_eq!(query(&whole, "shop").namespace, Namespace::parse("shop").ok());
    let all = Namespace::parse("*").unwrap();
    let told = whole.external_plan(&all, &Selector::default(), &Resources::default());
    assert_eq!(told.map(|_| ()), Err(PlanError::AllNamespaces), "no tenant");
    assert!(before.external_plan(&all, &Selector::default(), &Resources::default()).is_ok());
    let mut after = rule("up", NamespaceMode::None, SelectorMode::Inject).unwrap();
    after.tells_namespace = true;
    after.replace(&before);
    assert!(!Arc::ptr_eq(&after.owner, &before.owner), "other queries have another owner");
    after.replace(&whole);
    assert!(Arc::ptr_eq(&after.owner, &whole.owner));
}

#[test]
fn the_namespace_goes_into_the_second_argument_of_info_which_stays_a_list_of_matchers() {
    let bound = "a{namespace=\"ns\",x=\"y\"}";
    for (second, expected) in [
        ("{v=~\".+\"}", "{namespace=\"ns\",x=\"y\",v=~\".+\"}"),
        (
            "{__name__=\"build_info\",v=~\".+\"}",
            "{__name__=\"build_info\",namespace=\"ns\",x=\"y\",v=~\".+\"}",
        ),
    ] {
        let query = ask(&plain(&format!("info(a, {second})")), "x=y").unwrap();
        assert_eq!(query, format!("info({bound}, {expected})"));
    }
}

#[test]
fn a_query_that_reads_series_without_a_selector_needs_a_rule_without_a_namespace() {
    let hidden = |query| rule(query, NamespaceMode::default(), SelectorMode::Ignore).map(|_| ());
    assert_eq!(hidden("1 + info(a)"), Err(RuleError::HiddenSelector { position: 4 }));
    assert_eq!(hidden("info + info(a, {v=~\".+\"})"), Ok(()));
    let whole = rule("info(a)", NamespaceMode::None, SelectorMode::Inject).unwrap();
    assert_eq!(ask(&whole, "x=y").unwrap(), "info(a{x=\"y\"})");
}

#[test]
fn the_namespace_can_have_another_label_or_none() {
    let other =
        rule("up", NamespaceMode::Label("kubernetes_namespace".to_owned()), SelectorMode::Inject).unwrap();
    assert_eq!(ask(&other, "").unwrap(), "up{kubernetes_namespace=\"ns\"}");
    let none = rule("sum(up)", NamespaceMode::None, SelectorMode::Inject).unwrap();
    assert_eq!(ask(&none, "").unwrap(), "sum(up)");
    assert_eq!(ask(&none, "a=b").unwrap(), "sum(up{a=\"b\"})");
}

#[test]
fn each_requirement_becomes_its_matcher() {
    for (selector, matcher) in [
        ("a=b", "a=\"b\""),
        ("a!=b", "a!=\"b\""),
        ("a in (x,y.z)", "a=~\"x|y\\\\.z\""),
        ("a in (x)", "a=\"x\""),
        ("a in (,x)", "a=~\"|x\""),
        ("a notin (x)", "a!~\"x\""),
        ("a notin (x,y-z)", "a!~\"x|y-z\""),
        ("a", "a!=\"\""),
        ("!a", "a=\"\""),
    ] {
        assert_eq!(
            ask(&plain("up"), selector).unwrap(),
            format!("up{{namespace=\"ns\",{matcher}}}"),
            "{selector}"
        );
    }
}

#[test]
fn a_requirement_that_prometheus_cannot_match_is_the_client_s_error() {
    for selector in ["a>1", "a<1"] {
        assert_eq!(ask(&plain("up"), selector), Err(PlanError::Comparison { key: "a".to_owned() }));
    }
}

#[test]
fn names_that_promql_cannot_write_plainly_are_quoted() {
    for key in ["app.kubernetes.io/name", "service.name", "a-b", "1a"] {
        let query = ask(&plain("up"), &format!("{key} in (x,y)")).unwrap();
        assert_eq!(query, format!("up{{namespace=\"ns\",\"{key}\"=~\"x|y\"}}"));
    }
    let label = NamespaceMode::Label("k8s.namespace.name".to_owned());
    let allow = SelectorMode::Allow(BTreeSet::from(["service.name".to_owned()]));
    let rule = rule("{\"gen_ai.client.token.usage_sum\"}", label, allow).unwrap();
    assert_eq!(
        ask(&rule, "service.name=web").unwrap(),
        "{__name__=\"gen_ai.client.token.usage_sum\",\"k8s.namespace.name\"=\"ns\",\"service.name\"=\"web\"}"
    );
    assert!(ask(&rule, "service=web").is_err());
}

#[test]
fn a_selector_that_its_author_binds_to_the_namespace_gets_no_other_matcher_for_it() {
    let query = "a{exported_namespace=\"$namespace\"} / ignoring (exported_namespace) b";
    let bound = "a{exported_namespace=\"ns\"} / ignoring (exported_namespace) b{namespace=\"ns\"}";
    assert_eq!(ask(&plain(query), "").unwrap(), bound);
    assert_eq!(
        ask(&plain(query), "namespace=x").unwrap(),
        "a{exported_namespace=\"ns\",namespace=\"x\"} / ignoring (exported_namespace) \
         b{namespace=\"ns\",namespace=\"x\"}",
        "the parameter is not filled from the selector"
    );
    let whole = rule(query, NamespaceMode::None, SelectorMode::Ignore).unwrap();
    assert_eq!(ask(&whole, "").unwrap(), bound.replace("b{namespace=\"ns\"}", "b"));
    for matcher in ["x!=\"$namespace\"", "x=~\"$namespace\"", "x=\"$namespace-y\"", "__name__=\"$namespace\""]
    {
        let query = ask(&plain(&format!("{{a=\"b\",{matcher}}}")), "").unwrap();
        assert!(query.contains("namespace=\"ns\""), "{query}");
        assert!(query.contains(&matcher.replace("$namespace", "ns")), "{query}");
    }
}

#[test]
fn a_parameter_is_a_literal_part_of_a_value() {
    let rule = plain("a{service=~\"$service@.*\",model=\"meta-llama/$model\",x!~\".*/${model}\"}");
    assert_eq!(
        ask(&rule, "service=a.b,model=Llama-3.1-8B").unwrap(),
        "a{model=\"meta-llama/Llama-3.1-8B\",service=~\"a\\\\.b@.*\",namespace=\"ns\",\
         x!~\".*/Llama-3\\\\.1-8B\"}"
    );
    assert!(ask(&rule, "service=a").is_err());
}

#[test]
fn the_selector_mode_says_what_a_client_may_select() {
    let ignoring = rule("up", NamespaceMode::default(), SelectorMode::Ignore).unwrap();
    assert_eq!(ask(&ignoring, "a=b,x/y>1").unwrap(), "up{namespace=\"ns\"}");
    let allowed = SelectorMode::Allow(BTreeSet::from(["pod".to_owned(), "model".to_owned()]));
    let allowing = rule("up{x=\"$app\"}", NamespaceMode::default(), allowed).unwrap();
    assert_eq!(ask(&allowing, "pod=p,app=y").unwrap(), "up{namespace=\"ns\",pod=\"p\",x=\"y\"}");
    let error = ask(&allowing, "namespace=x,app=y").unwrap_err();
    assert!(error.to_string().contains("app, model, pod"), "{error}");
}

#[test]
fn a_parameter_takes_the_selector_s_value_which_is_then_not_injected() {
    let rule = plain("a{x=\"$app\"} / b{y!=\"$app\"}");
    for selector in ["app=v", "app==v", "app in (v)", "app in (v,v)"] {
        let query = ask(&rule, selector).unwrap();
        assert_eq!(query, "a{namespace=\"ns\",x=\"v\"} / b{namespace=\"ns\",y!=\"v\"}", "{selector}");
    }
    assert!(ask(&rule, "app=v,z=w").unwrap().contains("z=\"w\""));
    for selector in
        ["", "b=c", "app", "!app", "app!=v", "app in (v,w)", "app notin (v)", "app=", "app=v,app=w", "app>1"]
    {
        assert_eq!(ask(&rule, selector), Err(PlanError::Parameter { name: "app".to_owned() }), "{selector}");
    }
}

#[test]
fn a_rule_with_invalid_label_names_is_refused() {
    for label in ["", "a b", "a\n", "__name__", "\u{fffd}"] {
        let namespace = NamespaceMode::Label(label.to_owned());
        assert!(rule("up", namespace, SelectorMode::Inject).is_err(), "{label}");
        let allow = SelectorMode::Allow(BTreeSet::from([label.to_owned()]));
        assert!(rule("up", NamespaceMode::None, allow).is_err(), "{label}");
    }
}

#[test]
fn the_length_of_a_query_is_bounded() {
    let rule = plain(&format!("a{}", "+a".repeat(300)));
    let values = (0..120).map(|n| format!("{n:060}")).collect::<Vec<_>>().join(",");
    let error = ask(&rule, &format!("a in ({values})"));
    assert_eq!(error, Err(PlanError::TooLong { limit: 256 * 1024 }));
    assert!(ask(&rule, "a=b").is_ok());
}

mod series {
    use super::super::super::adapter::{Naming, Override, ResourceLabels, Template};
    use super::super::super::policy::Combine;
    use super::*;
    use crate::metric::{GroupResource, Scope};

    fn info(resource: &str, singular: &str, scope: Scope) -> Arc<ResourceInfo> {
        Arc::new(ResourceInfo {
            resource: GroupResource { resource: resource.into(), group: "".into() },
            singular: singular.into(),
            kind: singular.into(),
            version: "v1".into(),
            scope,
        })
    }

    fn cluster() -> Resources {
        let namespaces = info("namespaces", "namespace", Scope::Cluster);
        Resources::new(vec![namespaces, info("pods", "pod", Scope::Namespaced)])
    }

    fn adapter_rule(query: &str) -> Arc<AdapterRule> {
        let label = |name: &str| Override { label: name.into(), resource: name.into(), group: "".into() };
        Arc::new(AdapterRule {
            series_query: "http_requests_total".into(),
            naming: Naming::parse(Vec::new(), "", "").unwrap(),
            resources: ResourceLabels::parse(vec![label("namespace"), label("pod")], "").unwrap(),
            namespaced: true,
            query: Template::parse(query).unwrap(),
            backend: BackendName("b".into()),
            policies: Policies::adapter(),
            max_age: Duration::from_secs(7),
            owner: Arc::default(),
        })
    }

    fn metric(rule: &Arc<AdapterRule>) -> Rule {
        Rule::series(rule, MetricName::parse("http_requests").unwrap(), "http_requests_total".into())
    }

    fn target(names: &[&str]) -> CustomTarget {
        CustomTarget {
            resource: info("pods", "pod", Scope::Namespaced),
            namespace: Some(Namespace::parse("shop").unwrap()),
            names: names.iter().map(|name| (*name).into()).collect(),
        }
    }

    const QUERY: &str = "sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)";

    #[test]
    fn the_metric_of_a_series_has_what_its_rule_has() {
        let rule = adapter_rule(QUERY);
        let metric = metric(&rule);
        assert_eq!((metric.max_age, &metric.backend), (rule.max_age, &rule.backend));
        assert_eq!(metric.policies.result, Combine::Last);
        assert!(Arc::ptr_eq(&metric.owner, &rule.owner));
        assert!(metric.native_query().is_none() && Arc::ptr_eq(metric.series_of().unwrap().0, &rule));
    }

    #[test]
    fn the_plan_of_a_custom_metric_asks_for_all_objects_at_once_and_gives_each_its_samples() {
        let plan = metric(&adapter_rule(QUERY));
        let plan = plan.custom_plan(&target(&["a", "b"]), &"verb=GET".parse().unwrap(), &cluster()).unwrap();
        let promql = r#"sum(rate(http_requests_total{verb="GET",namespace="shop",pod=~"a|b"}[2m])) by (pod)"#;
        assert_eq!(plan.queries, [Query::new(BackendName("b".into()), promql)]);
        let Pick::ByLabel { label, objects } = plan.pick else { panic!("the samples are told apart") };
        let names: Vec<_> =
            objects.iter().map(|object| (&*object.resource.resource, &*object.name)).collect();
        assert_eq!((&*label, names), ("pod", vec![("pods", "a"), ("pods", "b")]));
    }

    #[test]
    fn the_plan_of_an_external_metric_takes_all_samples() {
        let plan = metric(&adapter_rule(QUERY));
        let plan = plan.external_plan(&Namespace::parse("shop").unwrap(), &Selector::default(), &cluster());
        let plan = plan.unwrap();
        let promql = r#"sum(rate(http_requests_total{namespace="shop"}[2m])) by ()"#;
        assert_eq!((&*plan.queries[0].promql, plan.pick), (promql, Pick::All));
    }

    #[test]
    fn a_rule_that_makes_no_query_says_why() {
        let custom = |rule: &Rule, target: &CustomTarget, selector: &str| {
            rule.custom_plan(target, &selector.parse().unwrap(), &cluster()).unwrap_err()
        };
        let (metric, pods) = (metric(&adapter_rule(QUERY)), target(&["a"]));
        assert!(matches!(custom(&metric, &pods, "a>1"), PlanError::Adapter(_)));
        let nodes = CustomTarget { resource: info("nodes", "node", Scope::Cluster), ..pods.clone() };
        assert!(matches!(custom(&metric, &nodes, ""), PlanError::Adapter(_)), "no label is for nodes");
        let native = rule("queue", NamespaceMode::default(), SelectorMode::default()).unwrap();
        assert_eq!(custom(&native, &pods, ""), PlanError::NotCustom);
    }
}
