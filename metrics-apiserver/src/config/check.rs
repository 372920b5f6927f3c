//! The file as written becomes the checked configuration, or the list of everything that is wrong with it.

use std::io;
use std::path::Path;

use super::backend::Backend;
use super::file::{self, MAX_FILE_BYTES, Value};
use super::fingerprint::Fingerprint;
use super::problem::{ConfigErrors, Place, Problem};
use super::rules::{NO_METRICS_HELP, check_metrics};
use super::section::{Field, Section};
use crate::rules::Rule;

/// A configuration that can be served. Made by [`check`] and [`load`](super::load) only.
#[derive(Debug, Clone)]
pub struct Config {
    /// The backends, with distinct names, in the file's order.
    pub backends: Vec<Backend>,
    /// The rules, with distinct names, each with a backend that exists, in the file's order.
    pub rules: Vec<Rule>,
    /// What is allowed but probably not meant.
    pub warnings: Vec<String>,
    /// Of the text that this was checked from.
    pub fingerprint: Fingerprint,
}

/// Says whether a file can be read: the real one, or a test's.
pub type Files<'a> = &'a dyn Fn(&Path) -> io::Result<()>;

/// Each has its own client and connections.
const MAX_BACKENDS: usize = 100;

/// Checks the text of a configuration file; `file` is its name for messages.
pub fn check(text: &str, file: &str, files: Files<'_>) -> Result<Config, ConfigErrors> {
    let errors = |problems| ConfigErrors::new(file, text, problems);
    if text.len() > MAX_FILE_BYTES {
        let message = format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20);
        return Err(errors(vec![Problem::new("", Place::default(), message)]));
    }
    let node = file::parse(text).map_err(|error| {
        errors(vec![Problem::new("", error.place.unwrap_or_default(), error.message).help(error.help)])
    })?;
    if matches!(node.value, Value::Null) {
        // Truncated, and not yet written again.
        let problem = Problem::new("", Place::default(), "the file is empty");
        return Err(errors(vec![problem.help(NO_METRICS_HELP)]));
    }
    let mut problems = Vec::new();
    let Some(root) = Section::open(&Field::root(&node), &["backends", "metrics"], &mut problems) else {
        return Err(errors(problems));
    };
    let (names, backends) = check_backends(&root, files, &mut problems);
    let rules = check_metrics(&root, names.as_deref(), text, &mut problems);
    if !problems.is_empty() {
        return Err(errors(problems));
    }
    let warnings = warnings(&backends, &rules);
    Ok(Config { backends, rules, warnings, fingerprint: Fingerprint::of(text) })
}

/// The names of all backends, of the broken ones too, so that a rule that names one isn't blamed, and none if they cannot
/// be known; and the good ones.
fn check_backends<'a>(
    root: &Section<'a>,
    files: Files<'_>,
    problems: &mut Vec<Problem>,
) -> (Option<Vec<&'a str>>, Vec<Backend>) {
    let Some(field) = root.get("backends") else { return (Some(Vec::new()), Vec::new()) };
    let Some(section) = Section::open_free(&field, problems) else { return (None, Vec::new()) };
    let names: Vec<_> = section.fields().map(|(name, _)| name).collect();
    if names.len() > MAX_BACKENDS {
        problems.push(field.problem(format!("more than {MAX_BACKENDS} backends")));
    }
    let backends =
        section.fields().filter_map(|(name, field)| Backend::check(name, &field, files, problems)).collect();
    (Some(names), backends)
}

/// Metrics named in a warning; a thousand would bury the others.
const NAMES_SHOWN: usize = 3;

/// What a hold does with a `Value` target, which only the HPA knows of: said once for all metrics that hold.
fn holds(rules: &[Rule]) -> Option<String> {
    let names: Vec<&str> =
        rules.iter().filter(|rule| rule.policies.hold()).map(|rule| rule.name.as_str()).collect();
    let shown = names.iter().take(NAMES_SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let more = match names.len().saturating_sub(NAMES_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!names.is_empty()).then(|| {
        format!(
            "`hold` serves old values for {shown}{more}: an HPA whose target is of type Value multiplies its size by \
             the same old ratio at every sync, up to its maximum or down to its minimum; use targets of type \
             AverageValue with them, or `error`, with which it keeps its size"
        )
    })
}

fn warnings(backends: &[Backend], rules: &[Rule]) -> Vec<String> {
    let mut warnings = Vec::new();
    if rules.is_empty() {
        warnings.push("no metrics are configured: every read will be answered 404".to_owned());
    }
    warnings.extend(holds(rules));
    for backend in backends {
        let name = &backend.name.0;
        if backend.exposes_credentials() {
            warnings.push(format!("the backend `{name}` gets credentials over http, readable for everybody on the way: use https"));
        }
        if !rules.iter().any(|rule| rule.backend == backend.name) {
            warnings.push(format!("the backend `{name}` is used by no metric"));
        }
    }
    warnings
}
