//! Whole files, good and bad.

use std::fs;
use std::time::Duration;

use super::yaml::MAX_FILE_BYTES;
use super::*;
use crate::backend::Auth;
use crate::metric::{Namespace, Selector};
use crate::rules::{Combine, Fallback, NamespaceMode, Partial, SelectorMode};
use crate::syntax::BaseUrl;

fn checked(text: &str) -> Result<Checked, Problems> {
    check(Source::new("config.yaml", text))
}

fn good(text: &str) -> Config {
    checked(text).unwrap_or_else(|errors| panic!("{errors}")).config().clone()
}

fn bad(text: &str) -> Problems {
    checked(text).map(|config| panic!("{config:?}")).unwrap_err()
}

/// The problems as `line:column path: message`.
fn listed(errors: &Problems) -> Vec<String> {
    let place = |problem: &Problem| {
        problem.place.map_or_else(String::new, |place| format!("{}:{} ", place.line, place.column))
    };
    errors
        .problems()
        .iter()
        .map(|problem| format!("{}{}: {}", place(problem), problem.path, problem.message))
        .collect()
}

/// A file with one metric, `m`, and more keys for it.
fn metric(keys: &str) -> String {
    format!("backends: {{default: {{url: \"http://p\"}}}}\nmetrics:\n- name: m\n  query: up\n{keys}")
}

/// A file with one metric and this query.
fn query(query: &str) -> String {
    metric("").replace("up", query)
}

/// A file with one backend and more keys for it.
fn backend(keys: &str) -> String {
    format!("metrics: [{{name: m, query: up}}]\nbackends:\n  default:\n    url: https://p\n{keys}")
}

#[test]
fn every_key_is_parsed() {
    let config = good(include_str!("../../tests/it/full.yaml"));
    let (name, backend) = &config.backends[1];
    assert_eq!(&*name.0, "thanos");
    assert_eq!(
        (backend.urls[0].as_str(), backend.timeout),
        ("https://thanos.example:9090/prom", Duration::from_secs(5))
    );
    assert_eq!(backend.headers[0], ("x-scope-orgid".to_owned(), "team-a".to_owned()));
    assert!(!format!("{backend:?}").contains("team-a"));
    let basic = Auth::Basic { username: "reader".into(), password_file: "/secrets/password".into() };
    assert_eq!(backend.auth, basic);
    assert!(backend.identity.is_some() && backend.ca_file.is_some());
    let pair: Vec<_> = config.backends[2].1.urls.iter().map(BaseUrl::as_str).collect();
    assert_eq!(pair, ["http://prometheus-0.example:9090", "http://prometheus-1.example:9090"]);
    let rule = &config.rules[1];
    assert_eq!(rule.namespace, NamespaceMode::Label("kubernetes_namespace".into()));
    assert_eq!(rule.selector, SelectorMode::Allow(["model".to_owned(), "pod".to_owned()].into()));
    assert_eq!(rule.policies.result, Combine::Sum);
    assert_eq!(rule.policies.on_no_data, Fallback::Value("0".parse().unwrap()));
    assert_eq!(rule.policies.on_nan, Fallback::Value("1500m".parse().unwrap()));
    assert_eq!(rule.policies.on_infinite, Fallback::Value("-1.5".parse().unwrap()));
    let hold = |then| Fallback::Hold { longest: Duration::from_secs(300), then };
    assert_eq!((rule.policies.on_failure, rule.policies.allow_negative), (Fallback::Error, true));
    assert_eq!(config.rules[2].policies.on_no_data, hold(None));
    assert_eq!(config.rules[2].policies.on_failure, hold(Some("0.5".parse().unwrap())));
    assert_eq!(
        (rule.policies.on_partial, config.rules[2].policies.on_partial),
        (Partial::Error, Partial::Accept)
    );
    assert_eq!(rule.max_age, Duration::from_secs(30));
    let [warning] = &config.warnings[..] else { panic!("{:?}", config.warnings) };
    assert!(warning.contains("`nodes_ready`: an HPA with a target of type Value"), "{warning}");
}

#[test]
fn omitted_keys_have_their_default() {
    let config = good("backends: {default: {url: 'http://p:9090'}}\nmetrics: [{name: m, query: up}]\n");
    let rule = &config.rules[0];
    assert_eq!(config.backends[0].1.timeout, Duration::from_secs(10));
    assert_eq!(rule.max_age, Duration::from_secs(10));
    assert_eq!(rule.policies, crate::rules::Policies::default());
    let query =
        rule.query(&Namespace::parse("shop").unwrap(), &"app=web".parse::<Selector>().unwrap()).unwrap();
    assert!(
        query.promql.contains(r#"namespace="shop""#) && query.promql.contains(r#"app="web""#),
        "{}",
        query.promql
    );
}

#[test]
fn a_duration_of_zero_needs_neither_unit_nor_quotes() {
    for zero in ["0", "'0'", "0s"] {
        let config = good(&metric(&format!("  maxAge: {zero}\n")));
        assert_eq!(config.rules[0].max_age, Duration::ZERO, "{zero}");
    }
}

#[test]
fn a_number_is_the_quantity_as_written() {
    for (written, quantity) in [
        ("9007199254740993", "9007199254740993"),
        ("-9007199254740993", "-9007199254740993"),
        ("9223372036854775", "9223372036854775"),
        ("0x20000000000001", "9007199254740993"),
        ("1_000", "1k"),
        ("0.1", "100m"),
        ("-0.1", "-100m"),
        ("1.1", "1100m"),
        ("0.0001", "1m"),
        ("1e-70", "1m"),
        ("4503599627370.497", "4503599627370497m"),
        ("9.1e15", "9100T"),
        ("-0.0", "0"),
    ] {
        let config = good(&metric(&format!("  allowNegative: true\n  onNoData: {{value: {written}}}\n")));
        let Fallback::Value(value) = config.rules[0].policies.on_no_data else { panic!("{written}") };
        assert_eq!(value.to_string(), quantity, "{written}");
    }
}

#[test]
fn ten_mistakes_are_listed_at_once_each_in_its_line() {
    let text = "backends:
  default:
    url: http://user:secret@p
    bearerTokenFile: /token
    basicAuth: {username: u, passwordFile: /pw}
  other:
    url: https://p
    timeout: 10
    certFile: /crt
metrics:
- name: requests
  query: |
    sum(rate(a[1m]))
    / sum(rate(b[1m])
  nmae: x
- name: Requests
  query: up
  maxAge: -1s
- query: up
  backend: othr
- name: third
  query: up
  onNoData: {hold: 2h}
  selector: {allow: [a-b]}
  result: 5
rules: []
";
    let errors = bad(text);
    let found = listed(&errors);
    for expected in [
        "3:10 backends.default.url: the URL must not contain credentials",
        "5:5 backends.default.basicAuth: `bearerTokenFile` and `basicAuth` are mutually exclusive",
        "8:14 backends.other.timeout: a duration needs a unit, for example 10s",
        "9:5 backends.other.certFile: `keyFile` is missing",
        "15:3 metrics[0].nmae: unknown key `nmae`",
        "16:9 metrics[1].name: duplicate metric `Requests`",
        "18:11 metrics[1].maxAge: the duration must not be negative",
        "19:3 metrics[2]: `name` is missing",
        "20:12 metrics[2].backend: there is no backend `othr`",
        "23:20 metrics[3].onNoData.hold: `hold` must be from 1s to 1h",
        "24:22 metrics[3].selector.allow[0]: \"a-b\" is not a valid label name",
        "25:11 metrics[3].result: expected a string, found a number",
        "26:1 rules: `rules` is not supported",
    ] {
        assert!(
            found.iter().any(|line| line.starts_with(expected)),
            "{expected}\nnot in\n{}",
            found.join("\n")
        );
    }
    assert!(found.iter().any(|line| line.contains("metrics[0].query")), "{found:#?}");
    assert_eq!(found.len(), 14, "{found:#?}");
    assert!(errors.to_string().ends_with("config.yaml: 14 problems"));
    assert!(!errors.to_string().contains("secret@"), "{errors}");
}

#[test]
fn a_duplicate_shows_both_places() {
    let text = metric("- name: M\n  query: up\n");
    let shown = bad(&text).to_string();
    assert!(
        shown.contains("--> config.yaml:5:9") && shown.contains("::: config.yaml:3:9 first given here"),
        "{shown}"
    );
    let shown = bad("metrics: []\nbackends: {}\nmetrics: []\n").to_string();
    assert!(shown.contains("duplicate key `metrics`") && shown.contains("::: config.yaml:1:1"), "{shown}");
}

#[test]
fn a_mistake_in_a_query_is_shown_at_its_place() {
    for (query, line, column) in [
        ("|\n    up\n    + $app", 6, 7),
        ("|-\n      up + $app", 5, 12),
        ("up + $app", 4, 15),
        ("\"up + $app\"", 4, 16),
        // Positions in folded and escaped strings are unknown: the whole query is shown.
        (">\n    up\n    + $app", 5, 5),
        ("\"up\\n + $app\"", 4, 10),
    ] {
        let errors = bad(&format!(
            "backends: {{default: {{url: 'http://p'}}}}\nmetrics:\n- name: m\n  query: {query}\n"
        ));
        assert_eq!(errors.problems()[0].place, Some(Place { line, column }), "{errors}");
    }
}

#[test]
fn a_hidden_selector_is_allowed_only_without_a_namespace() {
    let file = |query: &str, more: &str| {
        format!("backends: {{default: {{url: 'http://p'}}}}\nmetrics:\n- name: m\n  query: {query}\n{more}")
    };
    for (query, place) in [
        ("info(a)", "4:10 "),
        ("sum(info (rate(a[1m])))", "4:14 "),
        ("a{x='info(b)'} + info(a, {x=~'.+'}) * on (info) info(b)", "4:58 "),
        ("topk(scalar(info(b)), a)", "4:22 "),
        ("info(info(a), {x=~'.+'})", "4:15 "),
        ("|\n    sum by (info) (info) # info(a)\n    + info # of b\n    (b)", "6:7 "),
    ] {
        let message = "`info` reads target_info of every namespace unless its second argument is a selector";
        one_problem(&file(query, ""), place, message, "info(v, {version=~\".+\"})");
        one_problem(&file(query, "  namespace: {label: ns}\n"), place, message, "`namespace: none`");
        good(&file(query, "  namespace: none\n"));
    }
    good(&file("info + info(a, {__name__='build_info', version=~'.+'})", ""));
}

#[test]
fn one_mistake_in_a_rule_gives_one_problem_that_says_what_to_do() {
    for (text, place, message, help) in [
        (metric("  maxAge: 1d\n"), "5:11", "write 24h for a day", ""),
        (metric("  maxAge: 2h\n"), "5:11", "at most 1h", ""),
        (metric("  maxAge: 10\n"), "5:11", "needs a unit, for example 10s", ""),
        (metric("  maxAge: 1.5\n"), "5:11", "needs a unit", ""),
        (metric("  maxAge: -1\n"), "5:11", "must not be negative", ""),
        (metric("  maxAge: .nan\n"), "5:11", "not a duration", ""),
        (metric("  maxAge: yes\n"), "5:11", "not a duration", ""),
        (metric("  maxAge: true\n"), "5:11", "expected a string, found a boolean", ""),
        (metric("  namespace: ns\n"), "5:14", "expected `none` or a label", "{label:"),
        (metric("  namespace: {label: __name__}\n"), "5:22", "is not a valid label name", ""),
        (
            metric("  namespace: {label: x, lable: y}\n"),
            "5:25",
            "unknown key `lable`",
            "did you mean `label`?",
        ),
        (metric("  selector: none\n"), "5:13", "expected `inject`", "allow"),
        (metric("  selector: {allow: x}\n"), "5:21", "expected a list", ""),
        (metric("  onNaN: {value: -1}\n"), "5:18", "needs `allowNegative: true`", "maximum"),
        (metric("  onNaN: {value: x}\n"), "5:18", "no quantity", ""),
        (metric("  onNaN: {value: .inf}\n"), "5:18", "no quantity", ""),
        (metric("  onNaN: {value: 1e30}\n"), "5:18", "out of range", ""),
        (metric("  onNaN: {value: 1e300}\n"), "5:18", "out of range", ""),
        (metric("  onNaN: {value: 9223372036854776}\n"), "5:18", "\"9223372036854776\" is out of range", ""),
        (metric("  onNaN: {value: 18446744073709551617}\n"), "5:18", "out of range", ""),
        (metric("  onNaN: {value: -9223372036854775809}\n"), "5:18", "out of range", ""),
        (metric("  onNaN: {value: 9007199254740993.0}\n"), "5:18", "more digits than", "quotes"),
        (metric("  onNaN: 0\n"), "5:10", "expected `error`, a value or a hold", "{hold: 5m}"),
        (metric("  allowNegative: yes\n"), "5:18", "expected true or false", ""),
        (metric("  result: average\n"), "5:11", "expected single, items", ""),
        (metric("  backend: prod\n"), "5:12", "there is no backend `prod`", "default"),
        (metric("- name: a/b\n  query: up\n"), "5:9", "", ""),
        (metric("- 5\n"), "5:3", "expected a mapping, found a number", ""),
        (metric("- name: 5\n  query: up\n"), "5:9", "expected a string", "quotes"),
        (metric("- name: n\n  query: up\n  query: up\n"), "7:3", "duplicate key `query`", "keep one"),
        (metric("- name: n\n  query:\n"), "5:3", "`query` is missing", ""),
        (metric("- name: n\n  query: 'sum('\n"), "6:", "", ""),
        (metric("- name: n\n  query: 'up + $x'\n"), "6:", "$", ""),
    ] {
        one_problem(&text, place, message, help);
    }
}

#[test]
fn one_mistake_outside_the_rules_gives_one_problem() {
    for (text, place, message, help) in [
        (backend("    bearerToken: abc\n"), "5:5", "unknown key `bearerToken`", "bearerTokenFile"),
        (backend("    basicAuth: {username: 'a:b', passwordFile: /f}\n"), "5:27", "contain a colon", ""),
        (backend("    basicAuth: {username: a}\n"), "5:5", "`passwordFile` is missing", ""),
        (
            backend("    headers: {Authorization: x}\n"),
            "5:15",
            "credentials are read from files only",
            "bearerTokenFile",
        ),
        (backend("    headers: {Host: x}\n"), "5:15", "the server sets it", ""),
        (backend("    headers: {Traceparent: x}\n"), "5:15", "the server sets it", ""),
        (backend("    headers: {x-y: a, x-y: b}\n"), "5:23", "duplicate key `x-y`", "keep one"),
        (backend("    headers: {x-y: a, X-Y: b}\n"), "5:23", "duplicate header `x-y`", "keep one"),
        (backend("    headers: {'a b': x}\n"), "5:15", "not a valid header name", ""),
        (backend("    headers: {x: \"a\\nb\"}\n"), "5:18", "visible ASCII", ""),
        (backend("    timeout: 0s\n"), "5:14", "from 1ms to 5m", ""),
        (backend("    timeout: 0\n"), "5:14", "from 1ms to 5m", ""),
        (backend("    keyFile: /k\n"), "5:5", "`certFile` is missing", ""),
        (backend("  plain:\n    url: http://p\n    caFile: /ca\n"), "7:13", "has no effect", "https"),
        (backend("  'a b':\n    url: http://p\n"), "5:3", "is not a valid backend name", ""),
        ("metrics:\n- {name: m, query: up}\n".into(), "2:3", "no backend `default`", "backends:"),
        ("metrics: {}\n".into(), "1:10", "expected a list", ""),
        ("metrics: []\nexternalRules: []\n".into(), "2:1", "`externalRules` is not supported", "`metrics`"),
        ("metrics: []\nrules: []\n".into(), "2:1", "`rules` is not supported", "External metric in the HPA"),
        ("metrics: []\nresourceRules: {}\n".into(), "2:1", "is not supported", "metrics-server"),
        ("[]\n".into(), "1:1", "expected a mapping", ""),
        ("backends: {}\n".into(), "1:1", "`metrics` is missing", "write `metrics: []`"),
        ("backends: {}\nmetrics:\n".into(), "2:1", "expected a list, found nothing", "write `metrics: []`"),
        ("a: [1\nb: 2\n".into(), "", "", "not valid YAML"),
        ("metrics: []\nbackends: [{url: 'http://p'}]\n".into(), "2:11", "found a list", "without `- `"),
        (query("{a=\"b\"}"), "4:10", "found a mapping", "needs quotes"),
        (query("sum(up) by a"), "4:10", "not understood", "paste the query into Prometheus"),
        (query("sum(a{<<.LabelMatchers>>})"), "4:10", "not understood", "From prometheus-adapter"),
    ] {
        one_problem(&text, place, message, help);
    }
}

#[track_caller]
fn one_problem(text: &str, place: &str, message: &str, help: &str) {
    let errors = bad(text);
    let [problem] = errors.problems() else { panic!("{text}{errors}") };
    let line = &listed(&errors)[0];
    assert!(line.starts_with(place) && line.contains(message), "{text}{line}");
    assert!(problem.help.as_deref().unwrap_or_default().contains(help), "{text}{errors}");
}

#[test]
fn the_addresses_of_a_pair_fit_together() {
    for (text, place, message, help) in [
        (
            backend("  pair:\n    urls: [https://a, https://b]\n    url: https://a\n"),
            "6:5",
            "mutually exclusive",
            "keep one",
        ),
        (backend("  pair:\n    urls: []\n"), "6:11", "1 to 5 items", ""),
        (backend("  pair:\n    urls: [h://a, https://b]\n"), "6:12", "must begin with http", ""),
        (backend("  pair:\n    urls: [https://a, https://a/]\n"), "6:23", "duplicate URL", "keep one"),
        (backend("  pair:\n    urls: [https://a, http://b]\n"), "6:23", "are mixed", "one scheme"),
        (backend("  pair:\n    urls: https://a\n"), "6:11", "expected a list", "- "),
        (
            backend("  pair:\n    urls: [http://a, http://b]\n    caFile: /ca\n"),
            "7:13",
            "has no effect",
            "https",
        ),
        (backend("  pair: {timeout: 1s}\n"), "5:3", "`url` is missing", "urls"),
    ] {
        one_problem(&text, place, message, help);
    }
}

#[test]
fn one_mistake_in_a_fallback_gives_one_problem_that_says_what_to_do() {
    for (text, place, message, help) in [
        (metric("  onNaN: {}\n"), "5:3", "`value` is missing", ""),
        (metric("  onNaN: {hold: 0}\n"), "5:17", "from 1s to 1h", ""),
        (metric("  onNaN: {hold: 5}\n"), "5:17", "needs a unit", ""),
        (metric("  onNaN: {hold: 0s}\n"), "5:17", "from 1s to 1h", ""),
        (metric("  onNaN: {hold: 1d}\n"), "5:17", "write 24h for a day", ""),
        (metric("  onNaN: {hold: 5m, value: 1}\n"), "5:28", "mutually exclusive", "then: {value: 0}"),
        (metric("  onNaN: {then: error}\n"), "5:17", "`then` needs `hold`", "hold: 5m"),
        (metric("  onNaN: {hold: 5m, then: 1}\n"), "5:27", "expected `error` or a value", "{value: 0}"),
        (metric("  onNaN: {hold: 5m, then: {hold: 5m}}\n"), "5:28", "unknown key `hold`", "value"),
        (metric("  onNaN: {hold: 5m, then: {value: -1}}\n"), "5:35", "needs `allowNegative: true`", ""),
        (metric("  onNaN: {hodl: 5m}\n"), "5:11", "unknown key `hodl`", "did you mean `hold`?"),
        (metric("  onPartial: ignore\n"), "5:14", "expected error or accept", ""),
        (metric("  onPartial: {hold: 5m}\n"), "5:14", "expected a string", ""),
    ] {
        one_problem(&text, place, message, help);
    }
}

#[test]
fn an_explicitly_empty_list_of_metrics_is_served_with_a_warning() {
    let config = good("metrics: []\nbackends:\n");
    assert!(config.warnings[0].contains("no metrics"), "{:?}", config.warnings);
}

#[test]
fn exceeded_limits_have_their_own_messages() {
    for (text, place, message) in [
        ("metrics: []\n---\nmetrics: []\n", "3:1", "more than one document"),
        ("metrics: []\n---\na: 1\n---\nb: 1\n", "4:1", "more than one document"),
        ("metrics: []\n---\n---\n---\n", "", "more than one document"),
        ("metrics: &m [{name: *m}]\n", "1:21", "an alias refers to a node that contains it"),
        (&format!("a: {}{}\n", "[".repeat(40), "]".repeat(40)), "1:", "nested deeper than 16"),
        (&format!("a: &a x\nb: [{}]\n", "*a, ".repeat(60_000)), "2:", "too many aliases"),
    ] {
        let errors = bad(text);
        let [problem] = errors.problems() else { panic!("{errors}") };
        let line = &listed(&errors)[0];
        assert!(line.starts_with(place) && line.contains(message), "{message}: {line}");
        assert!(!problem.help.as_deref().unwrap_or_default().contains("not valid YAML"), "{errors}");
    }
}

#[test]
fn an_empty_trailing_document_is_ignored() {
    assert!(good("metrics: []\n---\n").rules.is_empty());
    assert!(good("---\nmetrics: []\n---\n# nothing\n").rules.is_empty());
}

#[test]
fn only_regular_files_are_read_so_that_a_pipe_does_not_block() {
    let dir = tempfile::tempdir().unwrap();
    let (pipe, file) = (dir.path().join("pipe"), dir.path().join("config.yaml"));
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::write(&file, backend(&format!("    bearerTokenFile: {}\n", pipe.display()))).unwrap();
    for path in [pipe, file] {
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || tell.send(load(&path).unwrap_err().to_string()));
        let errors = told.recv_timeout(Duration::from_secs(20)).expect("opening does not wait for a writer");
        assert!(errors.contains("is not a regular file"), "{errors}");
    }
}

#[test]
fn an_empty_file_is_a_mistake_because_it_would_remove_every_metric() {
    for text in ["", "# nothing\n", "---\n", "null"] {
        let shown = bad(text).to_string();
        assert!(shown.contains("config.yaml:1:1") && shown.contains("write `metrics: []`"), "{shown}");
    }
}

#[test]
fn a_file_that_is_not_utf8_is_reported_with_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    fs::write(&path, b"# \xc3\xa4\nmetrics: [{name: a\xff, query: up}]\n").unwrap();
    let errors = load(&path).unwrap_err();
    assert_eq!(errors.problems()[0].place, Some(Place { line: 2, column: 19 }), "{errors}");
    assert!(errors.to_string().contains("not UTF-8"), "{errors}");
    fs::write(&path, [b"x".repeat(MAX_FILE_BYTES), "ä".into()].concat()).unwrap();
    assert!(load(&path).unwrap_err().to_string().contains("larger than"));
}

#[test]
fn probable_mistakes_are_warned_about() {
    let config = good(
        "metrics: [{name: m, query: up}]\nbackends: {default: {url: 'http://p', bearerTokenFile: /t}, spare: {url: 'http://p'}}\n",
    );
    assert!(config.warnings[0].contains("use https"), "{:?}", config.warnings);
    assert!(config.warnings[1].contains("`spare` is not used by any metric"), "{:?}", config.warnings);
}

#[test]
fn one_warning_names_the_metrics_that_hold() {
    let rules = [0, 1, 2, 3, 4].map(|i| format!("- {{name: m{i}, query: up, onNaN: {{hold: 1m}}}}"));
    let config =
        good(&format!("backends: {{default: {{url: 'http://p'}}}}\nmetrics:\n{}\n", rules.join("\n")));
    let [warning] = &config.warnings[..] else { panic!("{:?}", config.warnings) };
    assert!(warning.contains("for `m0`, `m1`, `m2` and 2 more: an HPA"), "{warning}");
}

#[test]
fn files_that_cannot_be_read_are_problems_of_their_keys() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    let missing = dir.path().join("missing.pem");
    let present = dir.path().join("token");
    fs::write(&present, "t").unwrap();
    let lines = format!(
        "    caFile: {}\n    bearerTokenFile: {}\n    certFile: {2}\n    keyFile: {2}\n",
        missing.display(),
        present.display(),
        dir.path().display()
    );
    fs::write(&path, backend(&lines)).unwrap();
    let found = listed(&load(&path).unwrap_err());
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].starts_with("5:13 backends.default.caFile: cannot read the file"), "{found:#?}");
    let errors = load(&dir.path().join("none.yaml")).unwrap_err().to_string();
    assert!(errors.contains("cannot read the configuration file") && errors.contains("--config"), "{errors}");
}

#[test]
fn unreadable_files_are_listed_together_with_the_other_problems() {
    let text = backend("    timeout: 0\n    bearerTokenFile: /nowhere/token\n");
    assert_eq!(listed(&bad(&text)).len(), 1, "the check opens no file");
    let found = listed(&link(checked(&text)).unwrap_err());
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found[0].contains("timeout") && found[1].contains("cannot read the file /nowhere/token"),
        "{found:#?}"
    );
}

#[test]
fn every_key_of_the_tables_is_read_by_the_check() {
    for key in RULE_KEYS.iter().filter(|key| !["name", "query"].contains(&key.name)) {
        let found = listed(&bad(&metric(&format!("  {}: [[]]\n", key.name))));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains(&format!(" metrics[0].{}", key.name)), "{found:#?}");
    }
    for key in BACKEND_KEYS.iter().filter(|key| !["url", "urls"].contains(&key.name)) {
        let found = listed(&bad(&backend(&format!("    {}: [[]]\n", key.name))));
        assert!(
            found.iter().any(|line| line.contains(&format!(" backends.default.{}", key.name))),
            "{found:#?}"
        );
    }
}

#[test]
fn a_mistyped_key_is_answered_with_the_nearest_one_and_its_meaning() {
    let help = |keys: &str| bad(&metric(keys)).problems()[0].help.clone().unwrap();
    assert_eq!(help("  maxage: 10s\n"), "did you mean `maxAge`? (the maximum age of a reading)");
    assert!(help("  zzzzzzzz: 1\n").starts_with("valid keys are name, query, backend,"));
}

#[test]
fn too_much_of_anything_is_refused() {
    let rules: String =
        (0..=10_000).map(|i| format!("- {{name: m{i}, query: up}}")).collect::<Vec<_>>().join("\n");
    let text = format!("backends: {{default: {{url: 'http://p'}}}}\nmetrics:\n{rules}");
    assert_eq!(listed(&bad(&text)), ["10003:3 metrics[10000]: more than 10000 metrics"]);
    let errors = bad(&format!("# {}", "x".repeat(9 << 20)));
    assert!(listed(&errors)[0].contains("larger than 8 MiB"), "{errors}");
}
