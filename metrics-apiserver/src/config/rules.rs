//! The check of `metrics`, which become rules.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use super::adapter::ADAPTER_SECTIONS;
use super::common::{BackendNames, max_age};
use super::keys::{NAMESPACE_KEYS, RULE_KEYS, SELECTOR_KEYS};
use super::locate::in_text;
use super::policies::policies;
use super::problem::{ENOUGH, Place, Problem};
use super::section::{Field, Section};
use super::yaml::Value;
use crate::metric::{MetricId, MetricName};
use crate::rules::{
    NamespaceMode, NativeQuery, Policies, PromqlError, QueryTemplate, Rule, RuleError, SelectorMode,
    is_label_name, with_large_stack,
};

/// Discovery and the cache are measured up to this number.
const MAX_RULES: usize = 10_000;

/// To serve nothing has to be requested explicitly.
pub(super) const NO_METRICS_HELP: &str = "to serve no metrics, write `metrics: []`";

/// Checks the `metrics` list; `source` is the text of the file.
pub(super) fn check_metrics(
    root: &Section<'_>,
    backends: &mut BackendNames<'_>,
    source: &str,
    problems: &mut Vec<Problem>,
) -> Vec<Rule> {
    let items = items(root, problems);
    if let Some(one_too_many) = items.get(MAX_RULES) {
        problems.push(one_too_many.problem(format!("more than {MAX_RULES} metrics")));
        return Vec::new();
    }
    let checked = with_large_stack(|| {
        let mut seen = Seen::new();
        let mut around = Around { backends, source, seen: &mut seen };
        let mut rules = Vec::with_capacity(items.len());
        for item in &items {
            if problems.len() >= ENOUGH {
                break;
            }
            rules.extend(check_rule(item, &mut around, problems));
        }
        rules
    });
    checked.unwrap_or_else(|error| {
        problems.push(root.problem(format!("the queries cannot be parsed: {error}")));
        Vec::new()
    })
}

/// The `metrics` list. A missing list is a mistake of a template or of an interrupted write, unless the file has rules
/// of prometheus-adapter: it would remove every metric.
fn items<'a>(root: &Section<'a>, problems: &mut Vec<Problem>) -> Vec<Field<'a>> {
    let problem = match root.fields().find(|(key, _)| *key == "metrics") {
        Some((_, field)) if !matches!(field.node.value, Value::Null) => {
            return field.items(problems).unwrap_or_default();
        }
        Some((_, field)) => Problem::new(field.path, field.key_place, "expected a list, found nothing"),
        None if ADAPTER_SECTIONS.iter().any(|key| root.get(key).is_some()) => return Vec::new(),
        None => root.problem(
            "the file has no metrics: none of `metrics`, `rules`, `externalRules` and `resourceRules`",
        ),
    };
    problems.push(problem.help(NO_METRICS_HELP));
    Vec::new()
}

/// The metrics so far, and the place of each.
type Seen = HashMap<MetricId, Place>;

/// The context of a rule.
struct Around<'a, 'b> {
    backends: &'a mut BackendNames<'b>,
    source: &'a str,
    seen: &'a mut Seen,
}

fn check_rule(item: &Field<'_>, around: &mut Around<'_, '_>, problems: &mut Vec<Problem>) -> Option<Rule> {
    let section = Section::open(item, RULE_KEYS, problems)?;
    let name = section.required("name", problems).and_then(|field| name(&field, around.seen, problems));
    let text = section.required("query", problems);
    let query = text.as_ref().and_then(|field| query(field, around.source, problems));
    let backend = around.backends.of(&section, problems);
    let namespace =
        section.get("namespace").and_then(|field| namespace(&field, problems)).unwrap_or_default();
    let selector = section.get("selector").and_then(|field| selector(&field, problems)).unwrap_or_default();
    let policies = policies(&section, Policies::default(), problems);
    let max_age = max_age(&section, problems);
    let tells_namespace = around.backends.is_told_namespace(&backend);
    let (name, query) = (name?, query?);
    let query = NativeQuery::new(query, namespace, selector);
    let note = |error| problems.push(no_rule(&error, &section, text.as_ref(), around.source));
    let mut rule = Rule::native(name, backend, query.map_err(note).ok()?);
    rule.policies = policies;
    rule.tells_namespace = tells_namespace;
    rule.max_age = max_age.unwrap_or(rule.max_age);
    Some(rule)
}

fn name(field: &Field<'_>, seen: &mut Seen, problems: &mut Vec<Problem>) -> Option<MetricName> {
    let name = field.parsed(problems, MetricName::parse)?;
    let metric = MetricId::external(&name);
    if let Some(first) = seen.get(&metric) {
        let message = format!("duplicate metric `{}`: metric names are case-insensitive", name.as_str());
        problems.push(
            field.problem(message).related(*first, "first given here").help("rename or remove one of them"),
        );
        return None;
    }
    seen.insert(metric, field.node.place);
    Some(name)
}

fn query(field: &Field<'_>, source: &str, problems: &mut Vec<Problem>) -> Option<QueryTemplate> {
    let text = field.text(problems)?;
    let note = |error: PromqlError| {
        let help = error.help.map(Cow::into_owned);
        problems.push(Problem { help, ..in_text(field, source, error.message, error.position) });
    };
    QueryTemplate::parse(text).map_err(note).ok()
}

/// Why a query, a namespace mode and a selector mode do not make a rule together.
fn no_rule(error: &RuleError, section: &Section<'_>, query: Option<&Field<'_>>, source: &str) -> Problem {
    match (error, query) {
        (RuleError::HiddenSelector { position }, Some(query)) => {
            let problem = in_text(query, source, error.to_string(), Some(*position));
            problem.help("name the labels it adds: `info(v, {version=~\".+\"})`; or use `namespace: none`")
        }
        _ => section.problem(error.to_string()),
    }
}

fn namespace(field: &Field<'_>, problems: &mut Vec<Problem>) -> Option<NamespaceMode> {
    match &field.node.value {
        Value::Text(text) if text == "none" => Some(NamespaceMode::None),
        Value::Map(_) => {
            let section = Section::open(field, NAMESPACE_KEYS, problems)?;
            section
                .required("label", problems)
                .and_then(|field| label(&field, problems))
                .map(NamespaceMode::Label)
        }
        _ => {
            problems.push(
                field
                    .problem("expected `none` or a label")
                    .help("use `namespace: none` or `namespace: {label: kubernetes_namespace}`"),
            );
            None
        }
    }
}

fn selector(field: &Field<'_>, problems: &mut Vec<Problem>) -> Option<SelectorMode> {
    match &field.node.value {
        Value::Text(text) if text == "inject" => Some(SelectorMode::Inject),
        Value::Text(text) if text == "ignore" => Some(SelectorMode::Ignore),
        Value::Map(_) => {
            let section = Section::open(field, SELECTOR_KEYS, problems)?;
            let items = section.required("allow", problems)?.items(problems)?;
            let labels: BTreeSet<_> = items.iter().filter_map(|item| label(item, problems)).collect();
            Some(SelectorMode::Allow(labels))
        }
        _ => {
            problems.push(
                field
                    .problem("expected `inject`, `ignore` or a list of allowed labels")
                    .help("use `selector: {allow: [pod, model]}` for a list"),
            );
            None
        }
    }
}

/// The name of a label that a request can be restricted to.
fn label(field: &Field<'_>, problems: &mut Vec<Problem>) -> Option<String> {
    field.parsed(problems, |name| {
        if is_label_name(name) { Ok(name.to_owned()) } else { Err(RuleError::Label(name.to_owned())) }
    })
}

#[cfg(test)]
mod tests {
    use crate::config::{Source, check};

    #[test]
    fn one_mistake_about_backends_is_one_problem_however_many_metrics_there_are() {
        let metrics = "metrics:\n- {name: a, query: up}\n- {name: b, query: up}\n- {name: c, query: up}\n";
        for (backends, message, count) in [
            ("", "no backend `default`", 1),
            ("backend: {default: {url: 'http://p'}}", "did you mean `backends`?", 2),
            ("backends: [{default: {url: 'http://p'}}]", "expected a mapping, found a list", 1),
        ] {
            let errors = check(Source::new("c", format!("{metrics}{backends}\n"))).unwrap_err();
            assert!(errors.to_string().contains(message), "{errors}");
            assert_eq!(errors.problems().len(), count, "{errors}");
        }
    }
}
