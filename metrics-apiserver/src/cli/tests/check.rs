//! What `check` says about files of prometheus-adapter.

use super::checked;

const PODS: &str = "resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}";

/// A file with one rule for pods and this query.
fn rule(query: &str) -> String {
    format!("rules:\n- seriesQuery: http_requests_total{{pod!=\"\"}}\n  {PODS}\n  metricsQuery: {query:?}\n")
}

/// A file with one external rule and this query.
fn external(query: &str) -> String {
    rule(query).replace("rules:", "externalRules:").replace("overrides", "namespaced: false, overrides")
}

/// The output for a valid file.
#[track_caller]
fn good(file: &str, args: &[&str]) -> String {
    let (is_valid, text) = checked(file, args);
    assert!(is_valid, "{text}");
    text
}

/// The warnings for a valid file.
#[track_caller]
fn warnings(file: &str) -> Vec<String> {
    let text = good(file, &[]);
    text.lines().filter_map(|line| line.strip_prefix("warning: ")).map(str::to_owned).collect()
}

const AGGREGATED: &str = "sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)";

#[test]
fn each_rule_is_shown_with_the_query_of_a_sample_request() {
    let file = rule(AGGREGATED) + "  name: {matches: '^(.*)_total$', as: '${1}_per_second'}\n";
    let text = good(&file, &["--namespace=shop", "--selector=app in (a,b)"]);
    for part in [
        "rules[0]: pods/http_requests_per_second (backend default)\n",
        "    series  http_requests_total{pod!=\"\"}\n",
        "    query   sum(rate(http_requests_total{app=~\"a|b\",namespace=\"shop\",pod=\"example\"}[2m])) by (pod)\n",
        "no problems, 0 metrics, 1 rule, 1 backend",
    ] {
        assert!(text.contains(part), "{part}\nnot in\n{text}");
    }
    assert!(!text.contains("warning"), "{text}");
    let text = good(&external("max(<<.Series>>{<<.LabelMatchers>>})"), &["--selector=app=a"]);
    assert!(text.contains("externalRules[0]: http_requests_total (backend default)\n"), "{text}");
    assert!(text.contains("    query   max(http_requests_total{app=\"a\"})\n"), "{text}");
}

#[test]
fn objects_of_any_resource_are_shown_as_they_are_requested() {
    for (resources, expected) in [
        ("{node: {resource: nodes}}", "nodes/m\n    series  m\n    query   sum(m{node=\"example\"})"),
        ("{ns: {resource: Namespace}}", "namespaces/m\n    series  m\n    query   sum(m{ns=\"default\"})"),
        (
            "{d: {group: apps, resource: deployment}, ns: {resource: namespace}}",
            "deployments.apps/m\n    series  m\n    query   sum(m{ns=\"default\",d=\"example\"})",
        ),
    ] {
        let file = format!(
            "rules:\n- seriesQuery: m\n  resources: {{overrides: {resources}}}\n  metricsQuery: \
             sum(<<.Series>>{{<<.LabelMatchers>>}})\n"
        );
        let text = good(&file, &[]).replace(" (backend default)", "");
        assert!(text.contains(expected), "{expected}\nnot in\n{text}");
    }
}

#[test]
fn the_queries_of_resource_rules_are_shown() {
    let usage = format!(
        "{{containerQuery: '{0} by (<<.GroupBy>>)', nodeQuery: '{0}[5m]', containerLabel: c, {PODS}}}",
        "c{<<.LabelMatchers>>}"
    );
    let text = good(&format!("resourceRules: {{cpu: {usage}, memory: {usage}}}\n"), &["--namespace=shop"]);
    assert!(text.contains("resourceRules.cpu (backend default)\n"), "{text}");
    assert!(text.contains("query   c{namespace=\"shop\",pod=\"example\"} by (pod,c)\n"), "{text}");
    assert!(
        text.contains("resourceRules.memory: a read would be refused: the rule has no label for nodes"),
        "{text}"
    );
    assert!(text.contains("resourceRules.cpu, resourceRules.memory: not understood"), "{text}");
}

#[test]
fn what_is_probably_a_mistake_is_a_warning_with_the_correction() {
    for (file, expected) in [
        (rule("sum(a{<<.LabelMatchers>>}) by (namespace)"), "the answer has no label `pod`"),
        (
            rule("sum(a{<<.LabelMatchers>>}) by (namespace, pod, model)"),
            "of the series of one object that differ in `model` only the last one counts; aggregate `by \
             (<<.GroupBy>>)` alone",
        ),
        (
            rule("rate(a{<<.LabelMatchers>>}[5m])"),
            "the query does not aggregate: of several series of one object",
        ),
        (external("a{b=\"c\",<<.LabelMatchers>>}"), "the query does not aggregate: every series is an item"),
        (
            external("sum(a{<<.LabelMatchers>>,x=\"y\"})"),
            "the query has `{,`, which Prometheus refuses; write fixed",
        ),
        (rule("a{<<.LabelMatchers>>}[5m]"), "the query returns a matrix"),
        (rule("sum(a{<<.LabelMatchers>>}"), "not understood by the server's PromQL parser"),
        (rule("<<.Nothing>>"), "the sample request would be refused"),
        (rule(""), "the sample request would be refused: the query is empty"),
        (
            rule(AGGREGATED).replace("http_requests_total", "http-requests"),
            "`seriesQuery` is no selector of series: `http-requests{pod!=\"\"}`; a name with other characters",
        ),
    ] {
        let warnings = warnings(&file);
        assert!(warnings.iter().any(|line| line.contains(expected)), "{expected}\nnot in\n{warnings:#?}");
    }
}

#[test]
fn what_may_be_right_is_no_warning() {
    for file in [
        rule(AGGREGATED),
        rule("sum(a{<<.LabelMatchers>>}) by (namespace, pod)"),
        rule("sum(a{<<.LabelMatchers>>}) without (x)"),
        rule("rate(a{<<.LabelMatchers>>}[5m])") + "  result: max\n",
        external("sum(a{<<.LabelMatchers>>}) by (<<.GroupBy>>)"),
        external("sum(a{<<.LabelMatchers>>}) by (queue)"),
        external("max_over_time(a{<<.LabelMatchers>>}[1m])") + "  result: sum\n",
    ] {
        assert_eq!(warnings(&file), [""; 0], "{file}");
    }
}

#[test]
fn the_output_stays_short_for_many_rules() {
    let one = rule("rate(a{<<.LabelMatchers>>}[5m])");
    let (_, item) = one.split_once('\n').unwrap();
    let file = format!("rules:\n{}", item.repeat(300));
    let text = good(&file, &[]);
    assert!(text.lines().count() < 60, "{text}");
    assert!(text.contains("and 290 more rules; --all shows them"), "{text}");
    assert!(
        text.contains("warning: rules[0], rules[1], rules[2] and 297 more: the query does not aggregate"),
        "{text}"
    );
    assert!(good(&file, &["--all"]).contains("rules[299]: pods/http_requests_total"));
}

#[test]
fn the_namespace_that_a_backend_is_told_is_shown() {
    let file = "backends: {default: {url: 'http://p', queryParameters: {namespace: $namespace}}}\n\
                metrics: [{name: m, query: up, namespace: none}]\n";
    let text = good(file, &["--namespace=shop"]);
    assert!(text.contains("m (backend default, $namespace shop)\n    up\n"), "{text}");
}
