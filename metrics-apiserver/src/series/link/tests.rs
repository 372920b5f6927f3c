use super::*;
use crate::metric::{Resources, Scope};
use crate::rules::BackendName;
use crate::rules::adapter::Template;
use crate::testkit::{adapter_rule, adapter_rule_with, cluster, resource};

/// Series by name, each with sets of label names.
fn found(series: &[(&str, &[&[&str]])]) -> Arc<SeriesSummary> {
    let set = |labels: &&[&str]| labels.iter().map(|label| (*label).into()).collect();
    let metrics = series.iter().map(|(name, sets)| ((*name).into(), sets.iter().map(set).collect()));
    Arc::new(SeriesSummary { metrics: metrics.collect(), ..SeriesSummary::default() })
}

fn linked(rules: &Rules, found: &Arc<SeriesSummary>, resources: &Resources) -> Linked {
    link(rules, |_| Some(found), resources, &Catalog::default())
}

fn custom(rules: Vec<AdapterRule>) -> Rules {
    Rules { custom: rules.into_iter().map(Arc::new).collect(), external: Vec::new() }
}

fn external(rules: Vec<AdapterRule>) -> Rules {
    Rules { custom: Vec::new(), external: rules.into_iter().map(Arc::new).collect() }
}

/// The metrics as discovery shows them, with the series that each is made of.
fn shown(linked: &Linked) -> Vec<String> {
    let show = |(metric, rule): (&MetricId, &Arc<Rule>)| {
        let series = rule.series_of().unwrap().1;
        match metric {
            MetricId::External(_) => format!("{} of {series}", rule.name),
            MetricId::Custom { resource, scope: Scope::Namespaced, name } => {
                format!("{resource}/{name} of {series}")
            }
            MetricId::Custom { resource, scope: Scope::Cluster, name } => {
                format!("{resource}/{name} of {series}, cluster")
            }
        }
    };
    linked.metrics.iter().map(show).collect()
}

const POD: &[(&str, &str)] = &[("namespace", "namespace"), ("pod", "pod")];

#[test]
fn a_series_has_a_metric_for_each_resource_that_its_labels_name_and_they_share_a_rule() {
    let rule = adapter_rule_with("x", "^(.*)_total$", "", POD);
    let series = found(&[
        ("http_total", &[&["code", "namespace", "pod"]]),
        ("jobs_total", &[&["code"], &["namespace"]]),
        ("other", &[&["pod"]]),
        ("up_total", &[&["code"]]),
    ]);
    let linked = linked(&custom(vec![rule]), &series, &cluster());
    assert_eq!(
        shown(&linked),
        [
            "namespaces/http of http_total, cluster",
            "namespaces/jobs of jobs_total, cluster",
            "pods/http of http_total"
        ]
    );
    let rules: Vec<_> = linked.metrics.values().collect();
    assert!(Arc::ptr_eq(rules[0], rules[2]) && !Arc::ptr_eq(rules[0], rules[1]));
    assert!(linked.warnings.is_empty(), "{:?}", linked.warnings);
}

#[test]
fn the_later_rule_wins_and_within_a_rule_the_later_series() {
    let names = [("a", "same"), ("b", "same"), ("^c", "other")];
    let rules = names.map(|(matches, name)| adapter_rule_with("x", matches, name, POD));
    let labels: &[&[&str]] = &[&["pod"]];
    let series = found(&[("a1", labels), ("b1", labels), ("b2", labels), ("c1", labels)]);
    for rules in [custom(rules.to_vec()), external(rules.to_vec())] {
        let shown = shown(&linked(&rules, &series, &cluster())).join(";").replace("pods/", "");
        assert_eq!(shown, "other of c1;same of b2");
    }
}

#[test]
fn the_cluster_says_whether_objects_live_in_namespaces() {
    let claims = resource("claims", "claim", "example.com", Scope::Cluster);
    let resources = Resources::new([cluster().all(), &[claims]].concat());
    let labels = [("claim", "claim"), ("node", "node"), ("deployment", "deployments")];
    let series = found(&[("m", &[&["app", "claim", "deployment", "node"]])]);
    let linked = linked(&custom(vec![adapter_rule_with("x", "", "", &labels)]), &series, &resources);
    assert_eq!(
        shown(&linked),
        ["claims.example.com/m of m, cluster", "deployments.apps/m of m", "nodes/m of m, cluster"]
    );
}

#[test]
fn names_that_cannot_be_written_are_left_out_with_one_warning_for_each_rule() {
    let rules = external(vec![
        adapter_rule_with("x", "", "", POD),
        adapter_rule_with("x", "^good(.*)", "100%$1", POD),
    ]);
    let series =
        found(&[("a.b", &[&[]]), ("a-b", &[&[]]), ("é", &[&[]]), ("good", &[&[]]), ("good:2", &[&[]])]);
    let linked = linked(&rules, &series, &cluster());
    assert_eq!(shown(&linked), ["good of good", "good:2 of good:2"]);
    let warnings: Vec<_> = linked.warnings.iter().collect();
    let [first, second] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(first.starts_with("externalRules[0]: series whose names PromQL cannot write"), "{first}");
    assert!(second.starts_with("externalRules[1]:") && second.contains("\"100%\""), "{second}");
}

#[test]
fn a_series_whose_name_promql_cannot_write_is_served_if_the_query_does_not_name_it() {
    let query = Template::parse("sum(rate(y{<<.LabelMatchers>>}[5m]))").unwrap();
    let rule = AdapterRule { query, ..adapter_rule_with("x", "", "lag", POD) };
    assert_eq!(shown(&linked(&external(vec![rule]), &found(&[("a.b", &[&[]])]), &cluster())), ["lag of a.b"]);
    let query = Template::parse("sum({\"<<.Series>>\",<<.LabelMatchers>>})").unwrap();
    let rule = AdapterRule { query, ..adapter_rule_with("x", "", "lag", POD) };
    let linked = linked(&external(vec![rule]), &found(&[("a.b", &[&[]])]), &cluster());
    assert_eq!((shown(&linked), linked.warnings.len()), (vec!["lag of a.b".to_owned()], 0));
}

/// Whoever exposes metrics chooses their names, and could write a query over the series of other namespaces with them.
#[test]
fn a_series_whose_name_would_end_the_string_around_it_is_not_served() {
    let quoted = ["{\"<<.Series>>\",<<.LabelMatchers>>}", "{'<<.Series>>',<<.LabelMatchers>>}"];
    let hostile = ["a\"} or {\"b", "a'} or {'b", "a`} or {`b", "a\\", "a\nb", "a\u{7f}"];
    for query in quoted {
        let query = Template::parse(query).unwrap();
        let rule = AdapterRule { query, ..adapter_rule_with("x", "", "", POD) };
        let series: Vec<_> =
            hostile.iter().chain(&["a.b"]).map(|name| (*name, [&["namespace"][..]])).collect();
        let series: Vec<_> = series.iter().map(|(name, sets)| (*name, &sets[..])).collect();
        let linked = linked(&external(vec![rule]), &found(&series), &cluster());
        assert_eq!(shown(&linked), ["a.b of a.b"]);
        let warnings: Vec<_> = linked.warnings.iter().collect();
        let [warning] = &warnings[..] else { panic!("{warnings:?}") };
        assert!(warning.starts_with("externalRules[0]: series whose names"), "{warning}");
    }
}

#[test]
fn an_override_for_an_unknown_resource_is_a_warning_until_the_cluster_has_it() {
    let labels = [("pod", "pod"), ("claim", "claims")];
    let rules = custom(vec![adapter_rule_with("x", "", "", &labels)]);
    let series = found(&[("m", &[&["claim", "pod"]])]);
    let without = linked(&rules, &series, &cluster());
    assert_eq!(shown(&without), ["pods/m of m"]);
    let warning = without.warnings.first().unwrap();
    assert!(warning.contains("rules[0]") && warning.contains("\"claims\""), "{warning}");
    let claims = resource("claims", "claim", "", Scope::Namespaced);
    let with = linked(&rules, &series, &Resources::new([cluster().all(), &[claims]].concat()));
    assert_eq!(shown(&with), ["claims/m of m", "pods/m of m"]);
    assert!(with.warnings.is_empty() && !with.lacks_resources && without.lacks_resources);
    let unknown = linked(&rules, &series, &Resources::default());
    assert!(unknown.warnings.is_empty(), "no resource is known yet, so none is missing");
}

#[test]
fn the_rules_of_before_are_kept_even_if_another_rule_has_some_of_their_metrics() {
    let rules = Rules { custom: vec![adapter_rule("x")], external: vec![adapter_rule("x")] };
    let other = adapter_rule_with("x", "^m$", "m", &[("namespace", "namespace")]);
    let more = Rules { custom: vec![Arc::clone(&rules.custom[0]), Arc::new(other)], ..rules.clone() };
    for rules in [rules, more] {
        let series = found(&[("m", &[&["namespace", "pod"]]), ("n", &[&["pod"]])]);
        let first = linked(&rules, &series, &cluster()).metrics;
        let before = Catalog::merge(Arc::default(), first.clone());
        let second = link(&rules, |_| Some(&series), &cluster(), &before).metrics;
        assert!(first.keys().eq(second.keys()));
        assert!(first.values().zip(second.values()).all(|(one, two)| Arc::ptr_eq(one, two)));
    }
}

#[test]
fn a_rule_whose_series_are_not_known_has_no_metrics() {
    let rules = external(vec![adapter_rule_with("x", "", "", POD), adapter_rule_with("y", "", "", POD)]);
    let series = found(&[("m", &[&[]])]);
    let of_y = |rule: &AdapterRule| (*rule.series_query == *"y").then_some(&series);
    assert_eq!(shown(&link(&rules, of_y, &cluster(), &Catalog::default())), ["m of m"]);
}

#[test]
fn an_external_metric_of_one_name_and_no_namespace_needs_no_series() {
    let rule = |series_query: &str, name: &str, query: &str| AdapterRule {
        namespaced: false,
        query: Template::parse(query).unwrap(),
        ..adapter_rule_with(series_query, "", name, &[])
    };
    let by_series = "sum(<<.Series>>{<<.LabelMatchers>>})";
    let shown = |rule| shown(&link(&external(vec![rule]), |_| None, &cluster(), &Catalog::default()));
    assert_eq!(shown(rule("backlog{queue!=\"\"}", "depth", by_series)), ["depth of backlog"]);
    assert_eq!(shown(rule("{__name__=\"backlog\",queue!=\"\"}", "depth", by_series)), ["depth of backlog"]);
    assert_eq!(shown(rule("{__name__=~\"back.*\"}", "depth", "sum(backlog)")), ["depth of "]);
    for other in [
        rule("{__name__=~\"back.*\"}", "depth", by_series),
        rule("backlog", "$0", by_series),
        AdapterRule { namespaced: true, ..rule("backlog", "depth", by_series) },
    ] {
        assert_eq!(shown(other), [""; 0]);
    }
}

#[test]
fn the_number_of_metrics_is_bounded_and_the_earlier_rules_keep_theirs() {
    let names: Vec<String> = (0..METRICS_MAX + 10).map(|number| format!("m{number:06}")).collect();
    let metrics = names.iter().map(|name| (name.as_str().into(), Box::default())).collect();
    let many = Arc::new(SeriesSummary { metrics, ..SeriesSummary::default() });
    let few = found(&[("m000000", &[&[]]), ("zzz", &[&[]])]);
    let all = adapter_rule_with("many", "^(.*)$", "", POD);
    let more =
        AdapterRule { backend: BackendName("other".into()), ..adapter_rule_with("few", "^(.*)$", "", POD) };
    let found = |rule: &AdapterRule| Some(if *rule.series_query == *"many" { &many } else { &few });
    let linked = link(&external(vec![all, more]), found, &cluster(), &Catalog::default());
    assert_eq!(linked.metrics.len(), METRICS_MAX);
    let names: Vec<_> = linked.metrics.values().map(|rule| rule.name.as_str()).collect();
    assert_eq!((names[0], names[METRICS_MAX - 1]), ("m000000", "m099999"));
    assert_eq!(&*linked.metrics.values().next().unwrap().backend.0, "other", "known metrics still change");
    assert_eq!(linked.warnings.len(), 1);
    assert!(linked.warnings.first().unwrap().starts_with("externalRules[0]: more than 100000"));
}
