//! Whole files, good and bad.

mod backends;
mod default_backend;
mod mistakes;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::yaml::MAX_FILE_BYTES;
use super::*;
use crate::backend::{Auth, NamespacedText};
use crate::metric::{Namespace, Resources, Selector};
use crate::rules::{Combine, Fallback, NamespaceMode, Partial, SelectorMode, Situation};
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
    assert_eq!(backend.headers[0], ("x-scope-orgid".to_owned(), NamespacedText::literal("team-a")));
    assert!(!format!("{backend:?}").contains("team-a"));
    assert_eq!(backend.parameters, [("dedup".to_owned(), NamespacedText::literal("true"))]);
    assert!(backend.server_name.is_some() && backend.proxy.is_some());
    let basic =
        Auth::Basic { username: "reader".into(), password: PathBuf::from("/secrets/password").into() };
    assert_eq!(backend.auth, basic);
    assert!(backend.identity.is_some() && backend.ca.is_some());
    let pair: Vec<_> = config.backends[2].1.urls.iter().map(BaseUrl::as_str).collect();
    assert_eq!(pair, ["http://prometheus-0.example:9090", "http://prometheus-1.example:9090"]);
    let rule = &config.rules[1];
    assert_eq!(
        *rule.native_query().unwrap().namespace(),
        NamespaceMode::Label("kubernetes_namespace".into())
    );
    assert_eq!(
        *rule.native_query().unwrap().selector(),
        SelectorMode::Allow(["model".to_owned(), "pod".to_owned()].into())
    );
    assert_eq!((rule.policies.result, rule.policies.allow_negative), (Combine::Sum, true));
    let value = |text: &str| Fallback::Value(text.parse().unwrap());
    assert_eq!(rule.policies.fallbacks, [value("0"), value("1500m"), value("-1.5"), Fallback::Error]);
    let hold = |then| Fallback::Hold { longest: Duration::from_secs(300), then };
    assert_eq!(config.rules[2].policies.on(Situation::NoData), hold(None));
    assert_eq!(config.rules[2].policies.on(Situation::Failure), hold(Some("0.5".parse().unwrap())));
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
    let (namespace, selector) = (Namespace::parse("shop").unwrap(), "app=web".parse::<Selector>().unwrap());
    let query = rule.external_plan(&namespace, &selector, &Resources::default()).unwrap().queries.remove(0);
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
        let fallback = config.rules[0].policies.on(Situation::NoData);
        assert!(matches!(fallback, Fallback::Value(v) if v.to_string() == quantity), "{written}");
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

#[track_caller]
fn one_problem(text: &str, place: &str, message: &str, help: &str) {
    let errors = bad(text);
    let [problem] = errors.problems() else { panic!("{text}{errors}") };
    let line = &listed(&errors)[0];
    assert!(line.starts_with(place) && line.contains(message), "{text}{line}");
    assert!(problem.help.as_deref().unwrap_or_default().contains(help), "{text}{errors}");
}

#[test]
fn an_explicitly_empty_list_of_metrics_is_served_with_a_warning() {
    let config = good("metrics: []\nbackends:\n");
    assert!(config.warnings[0].contains("no metrics"), "{:?}", config.warnings);
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
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(load(&path, None).unwrap_err().to_string()));
        let errors =
            receiver.recv_timeout(Duration::from_secs(20)).expect("opening does not wait for a writer");
        assert!(errors.contains("not a regular file"), "{errors}");
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
    let errors = load(&path, None).unwrap_err();
    assert_eq!(errors.problems()[0].place, Some(Place { line: 2, column: 19 }), "{errors}");
    assert!(errors.to_string().contains("not UTF-8"), "{errors}");
    fs::write(&path, [b"x".repeat(MAX_FILE_BYTES), "ä".into()].concat()).unwrap();
    assert!(load(&path, None).unwrap_err().to_string().contains("larger than"));
}

#[test]
fn probable_mistakes_are_warned_about() {
    let config = good(
        "metrics: [{name: m, query: up}]\n\
         backends: {default: {url: 'http://p', bearerTokenFile: /t}, spare: {url: 'http://p'}}\n",
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
fn one_warning_for_each_function_of_other_servers_names_the_metrics() {
    let rules = [0, 1, 2, 3].map(|i| format!("- {{name: m{i}, query: 'xrate(a[5m]) + lag(a[5m])'}}"));
    let config =
        good(&format!("backends: {{default: {{url: 'http://p'}}}}\nmetrics:\n{}\n", rules.join("\n")));
    let [lag, xrate] = &config.warnings[..] else { panic!("{:?}", config.warnings) };
    assert!(lag.starts_with("`m0`, `m1`, `m2` and 1 more: `lag` is MetricsQL"), "{lag}");
    assert!(xrate.ends_with("`xrate` is one of Thanos' extended functions"), "{xrate}");
}

#[test]
fn labels_of_opentelemetry_are_valid() {
    let config = good(
        "backends: {default: {url: 'http://p'}}\nmetrics:\n- name: m\n  query: a\n  namespace: {label: \
         k8s.namespace.name}\n  selector: {allow: [service.name, app.kubernetes.io/name]}\n",
    );
    let query = config.rules[0].native_query().unwrap();
    assert_eq!(query.namespace(), &NamespaceMode::Label("k8s.namespace.name".to_owned()));
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
    let found = listed(&load(&path, None).unwrap_err());
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].starts_with("5:13 backends.default.caFile: cannot read the file"), "{found:#?}");
    let errors = load(&dir.path().join("none.yaml"), None).unwrap_err().to_string();
    assert!(errors.contains("cannot read the configuration file") && errors.contains("--config"), "{errors}");
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
fn too_much_of_anything_is_refused() {
    let rules: String =
        (0..=10_000).map(|i| format!("- {{name: m{i}, query: up}}")).collect::<Vec<_>>().join("\n");
    let text = format!("backends: {{default: {{url: 'http://p'}}}}\nmetrics:\n{rules}");
    assert_eq!(listed(&bad(&text)), ["10003:3 metrics[10000]: more than 10000 metrics"]);
    let errors = bad(&format!("# {}", "x".repeat(9 << 20)));
    assert!(listed(&errors)[0].contains("larger than 8 MiB"), "{errors}");
}
