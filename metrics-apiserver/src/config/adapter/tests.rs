//! The files in `tests/adapter`: what is said about each, and what prometheus-adapter's own loader makes of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::*;
use crate::config::{Config, Groups, Place, Problems, Source, check};

/// Set to 1 by a run that must not need Go.
const FAST: &str = "METRICS_APISERVER_TEST_FAST";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The names of the files, sorted, and their texts.
fn files() -> Vec<(String, String)> {
    let folder = fs::read_dir(root().join("tests/adapter")).unwrap();
    let mut files: Vec<_> = folder
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
        .collect();
    files.sort();
    assert!(files.len() > 20, "the files were not found");
    files
}

fn checked(text: &str) -> Result<Config, Problems> {
    check(Source::new("c", text)).map(|checked| checked.config().clone())
}

fn good(text: &str) -> Config {
    checked(text).unwrap_or_else(|problems| panic!("{problems}"))
}

#[track_caller]
fn begins(file: &str, found: &[String], expected: &[&str]) {
    assert_eq!(found.len(), expected.len(), "{file}:\n{}", found.join("\n"));
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{file}:\nfound    {found}\nexpected {expected}");
    }
}

#[test]
fn each_file_has_the_problems_and_warnings_that_it_names() {
    for (file, text) in files() {
        let named = |kind: &str| -> Vec<&str> {
            text.lines()
                .filter_map(|line| line.strip_prefix("#! ")?.strip_prefix(kind))
                .map(str::trim)
                .collect()
        };
        match checked(&text) {
            Ok(config) => {
                assert!(file.starts_with("good-"), "{file} is good");
                begins(&file, &config.warnings, &named("warning"));
            }
            Err(problems) => {
                assert!(!file.starts_with("good-"), "{file}:\n{problems}");
                let line = |problem: &Problem| {
                    let Place { line, column } = problem.place.unwrap();
                    format!("{line}:{column} {}", problem.message)
                };
                let lines: Vec<_> = problems.problems().iter().map(line).collect();
                begins(&file, &lines, &named("problem"));
            }
        }
    }
}

/// What prometheus-adapter's own loader makes of each file; none if it refuses it, or if Go is not wanted.
fn ask_go(files: &[(String, String)]) -> Option<Vec<Option<Value>>> {
    if std::env::var_os(FAST).is_some_and(|value| value == "1") {
        println!("skipped, because {FAST}=1: it compares with a Go program");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("configuration");
    let source = root().join("../testbed/peer");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&program).arg("./configuration").current_dir(source);
    let build = build.output().unwrap_or_else(|error| {
        panic!("cannot run `go` ({error}); install Go (https://go.dev/dl), or set {FAST}=1 to skip this test")
    });
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    let paths = files.iter().map(|(name, _)| root().join("tests/adapter").join(name));
    let run = Command::new(&program).args(paths).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let lines = String::from_utf8(run.stdout).unwrap();
    let answers: Vec<_> = lines.lines().map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(answers.len(), files.len());
    Some(answers)
}

#[test]
fn prometheus_adapter_decodes_the_same_from_each_file() {
    let files = files();
    for ((file, text), decoded) in files.iter().zip(ask_go(&files).into_iter().flatten()) {
        assert_eq!(decoded.is_none(), file.starts_with("yaml-"), "{file}: {decoded:?}");
        let (Ok(config), Some(decoded)) = (checked(text), decoded) else { continue };
        compare(file, &config.adapter.custom, &decoded["rules"]);
        compare(file, &config.adapter.external, &decoded["externalRules"]);
    }
}

/// Compares the strings of rules with what was decoded; the JSON omits empty ones.
fn compare(file: &str, rules: &[Arc<AdapterRule>], decoded: &Value) {
    assert_eq!(decoded.as_array().map_or(0, Vec::len), rules.len(), "{file}");
    for (rule, decoded) in rules.iter().zip(decoded.as_array().into_iter().flatten()) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        assert_eq!(*rule.series_query, *text(&decoded["seriesQuery"]), "{file}");
        assert_eq!(rule.query.text(), text(&decoded["metricsQuery"]), "{file}");
        assert_eq!(rule.naming.matches().unwrap_or_default(), text(&decoded["name"]["matches"]), "{file}");
        let name = text(&decoded["name"]["as"]);
        assert!(name.is_empty() || rule.naming.template() == name, "{file}: {name}");
        let overrides = rule.resources.overrides();
        let of = &decoded["resources"]["overrides"];
        assert_eq!(of.as_object().map_or(0, serde_json::Map::len), overrides.len(), "{file}");
        for known in overrides {
            let of = &of[&*known.label];
            assert_eq!(*known.resource, *text(&of["resource"]), "{file}: {}", known.label);
            assert_eq!(*known.group, *text(&of["group"]), "{file}: {}", known.label);
        }
        if let Some(namespaced) = decoded["resources"]["namespaced"].as_bool() {
            assert!(rule.namespaced == namespaced || file.contains("rules["), "{file}");
        }
    }
}

const RULE: &str =
    "- seriesQuery: a\n  resources: {template: <<.Resource>>}\n  metricsQuery: a{<<.LabelMatchers>>}\n";

#[test]
fn an_adapter_rule_has_the_defaults_of_prometheus_adapter_and_may_have_other_policies() {
    let config = good(&format!("rules:\n{RULE}"));
    let [rule] = &config.adapter.custom[..] else { panic!("one rule") };
    assert_eq!(rule.policies, crate::rules::Policies::adapter());
    assert_eq!((&*rule.backend.0, rule.max_age.as_secs()), ("default", 10));
    assert!(rule.policies.allow_negative);
    let more =
        "  backend: other\n  result: sum\n  onNoData: {value: 0}\n  allowNegative: false\n  maxAge: 30s\n";
    let config = good(&format!("externalRules:\n{RULE}{more}backends: {{other: {{url: 'http://p'}}}}\n"));
    let [rule] = &config.adapter.external[..] else { panic!("one rule") };
    assert_eq!((&*rule.backend.0, rule.max_age.as_secs()), ("other", 30));
    assert_eq!(rule.policies.result, crate::rules::Combine::Sum);
    assert_eq!(rule.policies.fallbacks[0], crate::rules::Fallback::Value("0".parse().unwrap()));
    assert!(!rule.policies.allow_negative);
}

#[test]
fn a_group_is_served_if_the_file_has_rules_for_it() {
    let groups = |text: &str| {
        let Groups { custom, external, resource } = good(text).groups;
        [custom, external, resource]
    };
    assert_eq!(groups("metrics: []\n"), [false, true, false]);
    assert_eq!(groups(&format!("rules:\n{RULE}")), [true, false, false]);
    assert_eq!(groups(&format!("rules: []\nexternalRules:\n{RULE}")), [false, true, false]);
    assert_eq!(groups("resourceRules: {}\nexternalRules:\n"), [false, false, true]);
    assert_eq!(groups("rules: []\n"), [false, false, false]);
}

#[test]
fn a_file_whose_sections_have_no_value_is_half_written() {
    for text in ["rules:\n", "rules:\nexternalRules: ~\nresourceRules:\n", "{}\n", "backends: {}\nrules:\n"] {
        let problems = checked(text).unwrap_err();
        assert!(problems.to_string().contains("none of `metrics`, `rules`"), "{problems}");
    }
    assert!(checked(&format!("rules:\n{RULE}metrics:\n")).is_err());
}

#[test]
fn a_rule_that_did_not_change_stays_the_same_rule() {
    let before = good(&format!("rules:\n{RULE}- seriesQuery: b\nresourceRules: {{window: 5m}}\n")).adapter;
    let mut after =
        good(&format!("rules:\n- seriesQuery: b\n{RULE}- seriesQuery: c\nresourceRules: {{window: 5m}}\n"));
    after.adapter.replace(&before);
    let is_kept =
        |index: usize, other: usize| Arc::ptr_eq(&after.adapter.custom[index], &before.custom[other]);
    assert!(is_kept(0, 1) && is_kept(1, 0) && !is_kept(2, 0) && !is_kept(2, 1));
    assert!(Arc::ptr_eq(after.adapter.resource.as_ref().unwrap(), before.resource.as_ref().unwrap()));
    let mut other = good("resourceRules: {window: 1m}\n").adapter;
    other.replace(&before);
    assert!(!Arc::ptr_eq(other.resource.as_ref().unwrap(), before.resource.as_ref().unwrap()));
}

#[test]
fn rules_use_the_backend_of_the_flags_unless_the_file_has_a_default() {
    let config = good(&format!("rules:\n{RULE}"));
    assert_eq!(config.backends.len(), 1);
    assert_eq!(config.backends[0].1.urls[0].as_str(), "https://localhost");
    let config = good(&format!("rules:\n{RULE}backends: {{default: {{url: 'http://p'}}}}\n"));
    assert_eq!(config.backends[0].1.urls[0].as_str(), "http://p");
    let problems =
        checked(&format!("rules:\n{RULE}  backend: othr\nbackends: {{other: {{url: 'http://p'}}}}\n"));
    assert!(problems.unwrap_err().to_string().contains("did you mean `other`?"));
}

#[test]
fn warnings_of_one_kind_are_counted_beyond_the_first_few() {
    let rules =
        "- {seriesQuery: a, resources: {template: <<.Resource>>}, metricsQuery: sum(a)}\n".repeat(300);
    let warnings = good(&format!("rules:\n{rules}")).warnings;
    assert_eq!(warnings.len(), 6, "{warnings:#?}");
    assert_eq!(warnings[5], "295 more rules have a query without `<<.LabelMatchers>>`");
}

#[test]
fn too_many_rules_are_refused() {
    let text = format!("externalRules: [{}]\n", "{},".repeat(10_001));
    assert!(checked(&text).unwrap_err().to_string().contains("more than 10000 rules"));
}
