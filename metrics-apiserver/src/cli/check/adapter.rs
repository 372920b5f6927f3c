//! What `check` says about the rules of prometheus-adapter: their queries for a sample request, and what is probably a
//! mistake in them.

use std::io::{self, Write};
use std::sync::Arc;

use super::resources::{common_resources, described, namespaces};
use super::series::{example_series, named_series};
use crate::config::AdapterRules;
use crate::metric::{MetricName, Namespace, Resources, Scope, Selector};
use crate::rules::adapter::{AdapterRule, Objects, QueryError, ResourceRule};
use crate::rules::{BackendName, Combine, ResultLabels, outline, with_large_stack};

/// Rules whose sample requests are shown unless all are wanted: more do not fit on a screen.
const SHOWN: usize = 10;

/// Rules named in one warning.
const NAMED: usize = 3;

/// The name of the object of a sample request.
const OBJECT: &str = "example";

/// The sample request of each rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) namespace: &'a Namespace,
    pub(super) selector: &'a Selector,
    /// Whether it is shown for every rule.
    pub(super) all: bool,
}

/// What is probably wrong, with the rules in which it is.
#[derive(Debug, Default)]
struct Warnings(Vec<(String, Vec<String>)>);

impl Warnings {
    fn add(&mut self, rule: &str, message: String) {
        match self.0.iter_mut().find(|(known, _)| *known == message) {
            Some((_, rules)) => rules.push(rule.to_owned()),
            None => self.0.push((message, vec![rule.to_owned()])),
        }
    }

    fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        self.0.iter().try_for_each(|(message, rules)| {
            let named = rules.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = match rules.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            writeln!(out, "warning: {named}{more}: {message}")
        })
    }
}

/// One sample request.
struct Sample {
    /// The metric, or what is asked for.
    metric: String,
    promql: Result<String, QueryError>,
    /// The label whose value is the name of the object, and the labels that have one value for one object.
    labels: Option<(Arc<str>, Vec<String>)>,
}

/// Shows the sample request of each rule, and then the warnings.
pub(super) fn show(rules: &AdapterRules, request: &Request<'_>, out: &mut dyn Write) -> io::Result<()> {
    let text = with_large_stack(|| {
        let mut text = Vec::new();
        write_all(rules, request, &mut text).map(|()| text)
    });
    out.write_all(&text.map_err(io::Error::other)??)
}

fn write_all(rules: &AdapterRules, request: &Request<'_>, out: &mut dyn Write) -> io::Result<()> {
    let (mut warnings, mut shown) = (Warnings::default(), 0);
    let custom = rules.custom.iter().enumerate().map(|(index, rule)| ("rules", index, rule));
    let external = rules.external.iter().enumerate().map(|(index, rule)| ("externalRules", index, rule));
    for (section, index, rule) in custom.chain(external) {
        let path = format!("{section}[{index}]");
        let series = example_series(rule);
        let sample = if section == "rules" {
            custom_sample(rule, &series, request)
        } else {
            external_sample(rule, &series, request)
        };
        judge(&path, rule, &sample, &mut warnings);
        if request.all || shown < SHOWN {
            shown += 1;
            writeln!(out, "{path}: {} (backend {})", sample.metric, rule.backend.0)?;
            show_text("series", &rule.series_query, out)?;
            show_promql(&sample.promql, out)?;
        }
    }
    let hidden = rules.custom.len() + rules.external.len() - shown;
    if hidden > 0 {
        writeln!(out, "and {hidden} more rules; --all shows them\n")?;
    }
    if let Some(resource) = &rules.resource {
        for (key, rule) in [("cpu", &resource.cpu), ("memory", &resource.memory)] {
            if let Some(rule) = rule {
                usage(key, rule, &resource.backend, request, &mut warnings, out)?;
            }
        }
    }
    warnings.show(out)
}

/// The external metrics whose names the file tells.
pub(super) fn external_names(rules: &AdapterRules) -> impl Iterator<Item = MetricName> {
    let names = rules.external.iter().filter_map(|rule| rule.metric_name(&named_series(rule)?));
    names.filter_map(|name| MetricName::parse(&name).ok())
}

fn show_text(what: &str, text: &str, out: &mut dyn Write) -> io::Result<()> {
    let lines = text.trim_end().lines().collect::<Vec<_>>().join("\n            ");
    writeln!(out, "    {what:<7} {lines}")
}

fn show_promql(promql: &Result<String, QueryError>, out: &mut dyn Write) -> io::Result<()> {
    match promql {
        Ok(promql) => show_text("query", promql, out)?,
        Err(error) => writeln!(out, "    the sample request would be refused: {error}")?,
    }
    writeln!(out)
}

/// The request for an object of the first resource that is no namespace, or else for the namespace.
fn custom_sample(rule: &AdapterRule, series: &str, request: &Request<'_>) -> Sample {
    let resources = common_resources();
    let info = described(rule, &resources);
    let resource = info.resource.to_string();
    let (namespace, name) = match info.scope {
        Scope::Namespaced => (Some(request.namespace.as_str()), OBJECT),
        Scope::Cluster if *info.resource.resource == *"namespaces" => (None, request.namespace.as_str()),
        Scope::Cluster => (None, OBJECT),
    };
    let objects = Objects { resource: &info, namespace, names: &[name] };
    let promql = rule.custom_query(series, &objects, request.selector, &resources);
    let fixed = rule.label_of(&namespaces(), &resources).ok().filter(|_| namespace.is_some());
    let label = rule.label_of(&info, &resources).ok();
    let labels = label.map(|label| (label, fixed.iter().map(ToString::to_string).collect()));
    Sample { metric: format!("{resource}/{}", metric(rule, series)), promql, labels }
}

fn external_sample(rule: &AdapterRule, series: &str, request: &Request<'_>) -> Sample {
    let promql =
        rule.external_query(series, request.namespace.as_str(), request.selector, &Resources::default());
    Sample { metric: metric(rule, series), promql, labels: None }
}

fn metric(rule: &AdapterRule, series: &str) -> String {
    rule.metric_name(series).unwrap_or_else(|| "metrics named after their series".to_owned())
}

/// Warns about a rule that has another effect than its author probably meant.
fn judge(path: &str, rule: &AdapterRule, sample: &Sample, warnings: &mut Warnings) {
    if !rule.series_query.is_empty() {
        match outline(&rule.series_query) {
            Ok(outline) if !outline.is_selector => warnings.add(
                path,
                format!("`seriesQuery` is no selector of series: `{}`; a name with other characters than letters, \
                         digits, `_` and `:` is written `{{__name__=\"…\"}}`", rule.series_query),
            ),
            Err(error) => warnings.add(path, format!("`seriesQuery`: {}", error.message)),
            Ok(_) => {}
        }
    }
    let promql = match &sample.promql {
        Ok(promql) => promql,
        Err(error) => return warnings.add(path, format!("the sample request would be refused: {error}")),
    };
    if has_leading_comma(promql) {
        let message = "without a selector the query has `{,`, which Prometheus refuses; write fixed matchers first, as \
                       in `{a=\"b\",<<.LabelMatchers>>}`";
        return warnings.add(path, message.to_owned());
    }
    let several = matches!(rule.policies.result, Combine::Last | Combine::Items);
    match outline(promql) {
        Err(error) => warnings.add(path, error.message),
        Ok(outline) => {
            if let Some(message) = judge_labels(&outline.labels, sample.labels.as_ref(), several) {
                warnings.add(path, message);
            }
        }
    }
}

/// What is wrong with the labels of an answer. `several` is whether nothing combines several series of one object.
fn judge_labels(
    labels: &ResultLabels,
    object: Option<&(Arc<str>, Vec<String>)>,
    several: bool,
) -> Option<String> {
    match (labels, object) {
        (ResultLabels::Only(labels), Some((label, _))) if labels.iter().all(|other| **other != **label) => Some(format!(
            "the answer has no label `{label}`, and no object has a value; aggregate `by (<<.GroupBy>>)`"
        )),
        (ResultLabels::Only(labels), Some((label, fixed))) if several => {
            let others = labels.iter().filter(|other| ***other != **label && !fixed.contains(other));
            let others: Vec<_> = others.map(|other| format!("`{other}`")).collect();
            (!others.is_empty()).then(|| {
                let others = others.join(", ");
                format!(
                    "of the series of one object that differ in {others} only the last one counts; aggregate \
                     `by (<<.GroupBy>>)` alone, or set `result`"
                )
            })
        }
        (ResultLabels::AllOfSeries, Some(_)) if several => Some(
            "the query does not aggregate: of several series of one object only the last one counts; write \
             `sum(…) by (<<.GroupBy>>)`, or set `result`"
                .to_owned(),
        ),
        (ResultLabels::AllOfSeries, None) if several => Some(
            "the query does not aggregate: every series is an item, and the HPA adds them up; write `sum(…)` or \
             `max(…)`, or set `result`"
                .to_owned(),
        ),
        _ => None,
    }
}

fn has_leading_comma(promql: &str) -> bool {
    promql.split('{').skip(1).any(|behind| behind.trim_start().starts_with(','))
}

/// Shows the queries for CPU or memory.
fn usage(
    key: &str,
    rule: &ResourceRule,
    backend: &BackendName,
    request: &Request<'_>,
    warnings: &mut Warnings,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (path, resources) = (format!("resourceRules.{key}"), Resources::default());
    writeln!(out, "{path} (backend {})", backend.0)?;
    let pods = rule.pod_query(&[request.namespace.as_str()], &[OBJECT], &resources);
    for promql in [pods, rule.node_query(&[OBJECT], &resources)] {
        match &promql {
            Ok(promql) => {
                if let Err(error) = outline(promql) {
                    warnings.add(&path, error.message);
                }
                show_text("query", promql, out)?;
            }
            Err(error) => {
                warnings.add(&path, format!("a read would be refused: {error}"));
                show_text("query", &format!("none: {error}"), out)?;
            }
        }
    }
    writeln!(out)
}
