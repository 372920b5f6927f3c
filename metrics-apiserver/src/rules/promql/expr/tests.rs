//! Rendered queries are parsed again, and every selector is checked.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::rules::{QueryTemplate, fuzzing};

/// Selectors in every place where one can stand, and forms that are hard to print.
const QUERIES: &[&str] = &[
    "up",
    "up{}",
    "{__name__=~\".+\"}",
    "{\"utf8.metric\", \"utf8.label\"=\"x\"}",
    "up{job=\"a\",instance!~\"b.*\"}",
    "up{namespace=\"other\"}",
    "up{namespace=~\".*\"} or up",
    "sum(rate(a_sum[1m])) / (sum(rate(a_count[1m])) > 0) or sum(rate(a_count[1m])) * 0",
    "histogram_quantile(0.99, sum by (le) (rate(a_bucket{job='x'}[5m])))",
    "max_over_time(rate(a[1m])[10m:30s])",
    "max_over_time(rate(a[1m])[10m:] offset 5m)",
    "a offset 5m",
    "a offset -5m",
    "a @ start()",
    "rate(a[5m] @ 1609746000 offset 1m)",
    "topk(scalar(b), a)",
    "quantile(scalar(b{x=\"y\"}), sum without (pod) (a))",
    "count_values(\"version\", build)",
    "a * on (pod) group_left (node) b",
    "a / ignoring (x) group_right () b",
    "a and b unless c or d",
    "-a ^ -b",
    "2 ^ -(a)",
    "-(a + b) * 3",
    "a > bool 1",
    "a == b",
    "absent(a{job=\"x\"})",
    "absent_over_time(a[1h])",
    "label_replace(a{x=\"y\"}, \"dst\", \"$1-${2}\", \"src\", \"(.*)-(.*)\")",
    "label_join(a, \"dst\", \",\", \"x\", \"y\")",
    "info(a, {data=\"x\"})",
    "clamp_min(a - b, 0)",
    "predict_linear(a[1h], 4 * 3600)",
    "vector(scalar(a))",
    "scalar(sum(a)) + 1",
    "vector(1)",
    "1 + 2",
    "time() - a",
    "sum(a) # a comment with \"quotes' and {",
    "a{x=`raw \\ \"string\"`, y=~`\\d+\\.`, z=`\\`}",
    "a{x='single \"quoted\" \\' string'}",
    "a{x=\"tab\\tnewline\\nback\\\\slash \\u00e9 😀\"}",
    "a{x=\"slot_0_\", y=\"slot_0_=\\\"slot_0_\\\"\"}",
    "a{x=\"$app\"} / ignoring (x) b{y!=\"$app\", z=\"$other\"}",
    "limitk(3, a)",
    "avg_over_time((a / b)[5m:1m])",
    "a atan2 b",
    "sort_by_label(a, \"pod\")",
    "a{x=~\"[\\\\w-.]+\", y!~'\\\\Q.\\\\E(', z=~`\\pN{1000}`, v=~\"\"}",
    "info(a, {x=~\".*\", y!~\".*\"})",
    "a{or =\"x\", Or # ,\n != 'y'}",
    "a{x=\"$namespace\"} / b{x!=\"$namespace\", y=~\"$namespace\", z=\"${namespace}-x\"}",
    "rate(a{x=\"y\"}[5m] anchored offset 1m) / ignoring (x) (b smoothed)",
    "a + fill (NaN) b - on (x) group_left () fill_left (1) c",
    "xrate(increase(a[5m] smoothed)[5m:1m])",
    "histogram_count(a{x=~\"</\"} </ 5 > 3) or a >/ on (x) group_left () (b <bool 5)",
    "xrate(a{x=~\"y\"}[5m]) + holt_winters(a[5m], 0.5, 0.1)",
    "sum(keep_last_value(union(a, scalar(b), label_set(c, \"x\", \"y\"), rand()))) by (x)",
    "median_over_time(rate(a[1m])[10m:30s] offset 5m)",
    "{__name__=\"$namespace\"} + b{\"k8s.x\"=\"${namespace}\", y=\"$a-$b\", z=~\"$a@.*|($ab)+\"}",
];

fn matcher(operator: Comparison, label: &str, value: &str) -> Matcher<'static> {
    Matcher { label: label.to_owned().into(), operator, value: value.to_owned().into() }
}

static TEMPLATES: LazyLock<Vec<QueryTemplate>> = LazyLock::new(|| {
    let parse = |text: &&str| QueryTemplate::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    QUERIES.iter().map(parse).collect()
});

fn carries(index: usize, added: &[Matcher<'static>], value: &str) {
    let namespace = matcher(Comparison::Equal, "k8s.namespace.name", value);
    fuzzing::carries(QUERIES[index], &TEMPLATES[index], None, added, value);
    fuzzing::carries(QUERIES[index], &TEMPLATES[index], Some(&namespace), added, value);
}

#[test]
fn every_selector_of_every_query_carries_what_was_added() {
    let namespace = matcher(Comparison::Equal, "namespace", "default");
    let regex = matcher(Comparison::Regex, "app", "x|y\\.z");
    for query in 0..QUERIES.len() {
        carries(query, &[], "plain");
        carries(query, std::slice::from_ref(&namespace), "plain");
        carries(query, &[namespace.clone(), regex.clone()], "pl\"ain");
    }
}

#[test]
fn regular_expressions_are_left_to_prometheus() {
    for (query, printed) in [
        ("a{b=~\"[\\\\w-.]+\"}", "a{b=~\"[\\\\w-.]+\"}"),
        ("a{b=~`[\\w-.]+`,c!~'\\\\C(?i)x{2}'}", "a{b=~\"[\\\\w-.]+\",c!~\"\\\\C(?i)x{2}\"}"),
        ("{b!~\".*\"}", "{b!~\".*\"}"),
        ("a{b=~\"(\"}", "a{b=~\"(\"}"),
        ("a{b=~\"x62\", c=\"x62\"} # =~ \"x\"", "a{b=~\"x62\",c=\"x62\"}"),
    ] {
        let template = QueryTemplate::parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(template.render(None, &[], &BTreeMap::new()).unwrap(), printed);
    }
}

#[test]
fn functions_of_other_servers_are_passed_on_with_a_note() {
    for (query, notes) in [
        ("rate(a[5m])", vec![]),
        ("xrate(a[5m])", vec!["Thanos"]),
        ("holt_winters(a[5m], 0.5, 0.1)", vec!["double_exponential_smoothing"]),
        ("keep_last_value(sum(union(a, b)))", vec!["`last_over_time(a[5m])`", "`a or b`"]),
        ("now()", vec!["`time()`"]),
    ] {
        let template = QueryTemplate::parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(template.render(None, &[], &BTreeMap::new()).unwrap(), query);
        assert_eq!(template.notes().len(), notes.len(), "{query}");
        for (note, expected) in template.notes().iter().zip(notes) {
            assert!(note.contains(expected), "{query}: {note}");
        }
    }
    for query in [
        "label_replace(alias, \"a\", \"$1\", \"any\", \"(.*)\")",
        "sum by (lag) (any)",
        "__call(\"rate\", a)",
    ] {
        assert!(
            QueryTemplate::parse(query).is_ok_and(|query| query.notes().is_empty())
                || query.starts_with("__")
        );
    }
}

#[test]
fn forms_of_metricsql_are_told_apart_with_the_form_of_promql() {
    for (query, advice) in [
        ("rate(a)", "write `rate(a[5m])`"),
        ("sum(increase(a)) by (b)", "write `increase(a[5m])`"),
        ("with (x = a) x / 2", "recording rules"),
        ("WITH (x = a) x", "recording rules"),
        ("sum(a) default 0", "`a or b`"),
        ("a if b", "`a and b`"),
        ("a ifnot b", "`a unless b`"),
        ("rate(a[5m]) keep_metric_names", "leave it out"),
        ("sum(a) by (b) limit 5", "`limitk(5, a)`"),
        ("rate(a[5i])", "write a time"),
        ("median(a) by (b)", "`quantile(0.5, a)`"),
        ("xrat(a[5m])", "any other could read series"),
        ("http.requests", "in quotes"),
        ("a{service.name=\"x\"}", "in quotes"),
        ("sum(", "docs/configuration.md"),
        ("sum(default", "docs/configuration.md"),
    ] {
        let error = QueryTemplate::parse(query).unwrap_err();
        assert!(error.help.as_ref().is_some_and(|help| help.contains(advice)), "{query}: {error:?}");
    }
}

#[test]
fn every_selector_is_found() {
    for (query, count) in [
        ("topk(scalar(b), a)", 2),
        ("max_over_time(rate(a[1m])[10m:30s])", 1),
        ("-a ^ -(b)", 2),
        ("info(a, {x=\"y\"})", 2),
        ("union(a, xrate(b[5m]), scalar(c))", 3),
        ("vector(1)", 0),
    ] {
        assert_eq!(Expr::parse(query).unwrap().selectors().len(), count, "{query}");
    }
}

#[test]
fn a_query_that_is_not_promql_or_returns_no_numbers_is_refused() {
    for (query, hint) in [
        ("\"text\"", "string"),
        ("a[5m]", "matrix"),
        ("a[5m:1m]", "matrix"),
        ("{a=\"x\" or b=\"y\"}", "or"),
        ("sum(", "not understood by the server's PromQL parser: "),
        ("", "not understood by the server's PromQL parser: "),
        ("a @ -5", "reproduce"),
        ("{}", "not understood by the server's PromQL parser: "),
        ("{a=\"\",b!=\"x\"}", "a selector without a name"),
        ("a{x=\"\\xff\"}", "escapes"),
        ("a{x=\"\\377\"}", "escapes"),
        ("a{x=\"open}", "not closed"),
    ] {
        let error = QueryTemplate::parse(query).unwrap_err();
        assert!(error.to_string().contains(hint), "{query}: {error}");
    }
}

#[test]
fn valid_promql_that_the_server_cannot_parse_or_print_is_not_called_invalid() {
    for (query, hint) in [
        ("a - ignoring() group_left c", "cannot reproduce this query exactly"),
        ("a offset 0s", "not understood by the server's PromQL parser: "),
        ("rate(a[0.0001])", "cannot reproduce this query exactly"),
        ("rate(a[1m + 1m])", "not understood by the server's PromQL parser: "),
    ] {
        let message = QueryTemplate::parse(query).unwrap_err().to_string();
        assert!(message.contains(hint) && !message.contains("valid PromQL"), "{query}: {message}");
    }
}

#[test]
fn an_empty_grouping_is_dropped_where_it_means_nothing() {
    let template = QueryTemplate::parse("sum by () (a)").unwrap();
    assert_eq!(template.render(None, &[], &BTreeMap::new()).unwrap(), "sum(a)");
    let template = QueryTemplate::parse("sum without () (a)").unwrap();
    assert_eq!(template.render(None, &[], &BTreeMap::new()).unwrap(), "sum without () (a)");
    for (query, printed) in [("a + ignoring () b", "a + b"), ("a and ignoring () b", "a and b")] {
        let template = QueryTemplate::parse(query).unwrap();
        assert_eq!(template.render(None, &[], &BTreeMap::new()).unwrap(), printed);
    }
    let template = QueryTemplate::parse("a + on () b").unwrap();
    assert_eq!(template.render(None, &[], &BTreeMap::new()).unwrap(), "a + on () b");
}

#[test]
fn a_number_that_the_parser_would_misread_is_refused_where_it_stands() {
    for (query, position, hint) in [
        ("rate(a[1h4294967296ms])", 7, "write 4294967296ms in larger units"),
        ("rate(a[99999999999m1s])", 7, "larger units"),
        ("a offset 1h4294967296ms", 9, "larger units"),
        ("a + 1h4294967296s", 4, "larger units"),
        ("max_over_time(a[1h :1m4294967296ms])", 20, "larger units"),
        ("max_over_time(a[1h4294967296ms:1m])", 16, "larger units"),
        ("max_over_time(a[1h:1m4294967296ms])", 19, "larger units"),
        ("avg(x) / 1e309", 9, "write Inf"),
        ("avg(x) / -1E+309", 10, "write Inf"),
        ("avg(x) / .1e310", 9, "write Inf"),
        ("a @ 1e309", 4, "write Inf"),
        (&format!("a * {}", "9".repeat(400)), 4, "write Inf"),
    ] {
        let error = QueryTemplate::parse(query).unwrap_err();
        assert_eq!(error.position, Some(position), "{query}: {error}");
        assert!(error.to_string().contains(hint), "{query}: {error}");
    }
    for query in [
        "rate(a[1h4294967295ms])",
        "a / inf + Inf - iNF",
        "a / 1.7e308 * 1e-400 + 0x1e+309",
        "a > 4294967296",
        "a{x=\"1h4294967296ms\"} # 1e309",
        "job:4294967296ms:sum / :4294967296ms",
        "rate(a1e309[5m])",
    ] {
        QueryTemplate::parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    }
}

#[test]
fn a_parameter_stands_in_the_value_of_a_matcher_and_nowhere_else() {
    let template = QueryTemplate::parse(
        "a{x=\"$app\", y!=\"pre-$other_1\", z=~\"^b$|$c.*\", w=\"5$\", v=\"$5\", u=\"${a.b/c}\", t=\"$namespace\"}",
    );
    let template = template.unwrap();
    assert_eq!(template.parameters().iter().collect::<Vec<_>>(), ["a.b/c", "app", "c", "other_1"]);
    for query in ["a{x=$app}", "$app", "count_values(\"$app\", a)", "a{x=~\"a{$n}\"}", "a{$app=\"x\"}"] {
        assert!(QueryTemplate::parse(query).is_err(), "{query}");
    }
    let error = QueryTemplate::parse("a + $app").unwrap_err();
    assert_eq!(error.position, Some(4));
}

#[test]
fn deep_nesting_is_refused_and_the_deepest_allowed_needs_no_stack_of_the_caller() {
    let shapes: [fn(usize) -> String; 8] = [
        |n| format!("{}a{}", "(".repeat(n), ")".repeat(n)),
        |n| format!("{}a{}", "abs(".repeat(n), ")".repeat(n)),
        |n| format!("{}a", "-".repeat(n)),
        |n| format!("a{}", "+a".repeat(n)),
        |n| format!("a{}", "^a".repeat(n)),
        |n| format!("a{}", " or a".repeat(n)),
        |n| format!("a{}", " UNLESS a".repeat(n)),
        |n| format!("a{}", "[1m:1m]".repeat(n)),
    ];
    for shape in shapes {
        let deepest = std::thread::Builder::new().stack_size(64 * 1024);
        deepest.spawn(move || drop(QueryTemplate::parse(&shape(400)))).unwrap().join().unwrap();
        let error = QueryTemplate::parse(&shape(1200)).unwrap_err();
        assert!(error.to_string().contains("more than 400 brackets and operators"), "{error}");
        assert!(error.position.is_some());
    }
    assert!(QueryTemplate::parse(&"(".repeat(20_000)).unwrap_err().to_string().contains("bytes"));
    assert!(QueryTemplate::parse(&shapes[3](400)).is_ok());
}

#[test]
fn brackets_in_strings_comments_and_selectors_do_not_count() {
    let many = "(".repeat(1000);
    for query in [
        format!("a{{x=\"{many}\"}}"),
        format!("a # {many}"),
        format!("a # it's\n + b{{x='\\'{many}'}}"),
        format!("a{{{}}}", "x=\"y\",".repeat(1000)),
    ] {
        QueryTemplate::parse(&query).unwrap_or_else(|error| panic!("{error}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_label_value_escapes_from_its_matcher(
        index in 0..QUERIES.len(),
        namespace in "[a-z]{1,5}",
        value in "[\"'`\\\\{}()$,=~|.#\n\r\t\u{0}\u{7f}\u{fffd}é😀a\\PC]{0,24}",
        equal in any::<bool>(),
    ) {
        let operator = if equal { Comparison::Equal } else { Comparison::NotEqual };
        let added = [matcher(Comparison::Equal, "namespace", &namespace), matcher(operator, "label", &value)];
        carries(index, &added, &format!("p{value}"));
    }

    #[test]
    fn no_text_makes_the_reader_panic(
        query in "(up|\\(|\\)|\\{|\\}|\\[5m\\]|\\[5m:1m\\]|\"|'|`|\\\\|=|=~|!|,|\\$|#| or |sum|rate|-|\\^|@|\
                  offset |1|\\PC){0,30}",
    ) {
        let _ = QueryTemplate::parse(&query);
    }
}

#[test]
fn the_labels_of_a_result_are_known_where_the_query_names_them() {
    let only = |labels: &[&str]| ResultLabels::Only(labels.iter().map(|label| (*label).to_owned()).collect());
    for (query, expected) in [
        ("sum(a) by (pod)", only(&["pod"])),
        ("(sum by (pod, x) (rate(a[5m])) * 100)", only(&["pod", "x"])),
        ("sum(a)", only(&[])),
        ("sum(a) by ()", only(&[])),
        ("1 - avg by (node) (a) / avg by (node) (b)", only(&["node"])),
        ("histogram_quantile(0.9, sum by (le, pod) (rate(a[5m])))", only(&["pod"])),
        ("round(sum by (pod) (a), 0.1)", only(&["pod"])),
        ("vector(1)", only(&[])),
        ("time()", only(&[])),
        ("a", ResultLabels::AllOfSeries),
        ("rate(a[5m])", ResultLabels::AllOfSeries),
        ("max_over_time(a[5m]) > 0", ResultLabels::AllOfSeries),
        ("topk(3, a)", ResultLabels::Unknown),
        ("sum without (pod) (a)", ResultLabels::Unknown),
        ("a * on (x) group_left b", ResultLabels::Unknown),
    ] {
        assert_eq!(Expr::parse(query).unwrap().outline().labels, expected, "{query}");
    }
}

#[test]
fn a_selector_is_told_from_other_queries() {
    for (query, expected) in
        [("a", true), ("{__name__=~\"a.*\",b!=\"\"}", true), ("a-b{c=\"d\"}", false), ("sum(a)", false)]
    {
        assert_eq!(Expr::parse(query).unwrap().outline().is_selector, expected, "{query}");
    }
}
