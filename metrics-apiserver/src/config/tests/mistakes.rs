//! Files with mistakes: what is reported, where, and with which advice.

use super::*;

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
  selector: {allow: [a b]}
  result: 5
externalRules: x
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
        "24:22 metrics[3].selector.allow[0]: \"a b\" is not a valid label name",
        "25:11 metrics[3].result: expected a string, found a number",
        "26:16 externalRules: expected a list, found a string",
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
        (">\n    up\n    + $app", 6, 7),
        ("\"up\\n + $app\"", 4, 18),
    ] {
        let errors = bad(&format!(
            "backends: {{default: {{url: 'http://p'}}}}\nmetrics:\n- name: m\n  query: {query}\n"
        ));
        assert_eq!(errors.problems()[0].place, Some(Place { line, column }), "{errors}");
    }
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
        (metric("  onNaN: {value: x}\n"), "5:18", "is not a valid quantity", ""),
        (metric("  onNaN: {value: .inf}\n"), "5:18", "is not a valid quantity", ""),
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
        ("metrics: []\nRules: []\n".into(), "2:1", "unknown key `Rules`", "did you mean `rules`?"),
        ("[]\n".into(), "1:1", "expected a mapping", ""),
        ("backends: {}\n".into(), "1:1", "the file has no metrics", "write `metrics: []`"),
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
fn exceeded_limits_have_their_own_messages() {
    for (text, place, message) in [
        ("metrics: []\n---\nmetrics: []\n", "3:1", "more than one document"),
        ("metrics: []\n---\na: 1\n---\nb: 1\n", "4:1", "more than one document"),
        ("metrics: []\n---\n---\n---\n", "", "more than one document"),
        ("metrics: &m [{name: *m}]\n", "1:21", "an alias refers to a node that contains it"),
        (&format!("a: {}{}\n", "[".repeat(40), "]".repeat(40)), "1:", "nested more than 16 levels deep"),
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
fn a_mistyped_key_is_answered_with_the_nearest_one_and_its_meaning() {
    let help = |keys: &str| bad(&metric(keys)).problems()[0].help.clone().unwrap();
    assert_eq!(help("  maxage: 10s\n"), "did you mean `maxAge`? (the maximum age of a reading)");
    assert!(help("  zzzzzzzz: 1\n").starts_with("valid keys are name, query, backend,"));
}
