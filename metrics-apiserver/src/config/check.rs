//! The check of a configuration: from the text to a configuration without mistakes, or to everything wrong with it.
//!
//! Pure: whether the files that it names can be read is for [`link`](super::link) to find out.

use std::collections::{BTreeMap, BTreeSet};

use super::adapter::{AdapterRules, check_adapter};
use super::backend::check_backend;
use super::common::BackendNames;
use super::default_backend::DefaultBackend;
use super::keys::ROOT_KEYS;
use super::problem::{NamedFile, Place, Problem, Problems};
use super::rules::{NO_METRICS_HELP, check_metrics};
use super::section::{Field, Section};
use super::source::{Fingerprint, Source};
use super::yaml::{self, MAX_FILE_BYTES, Value};
use crate::backend::{self, NamespacedText};
use crate::rules::{BackendName, NativeQuery, Rule};

/// A configuration that can be served.
#[derive(Debug, Clone)]
pub struct Config {
    /// The backends, with distinct names, in the order of the file.
    pub backends: Vec<(BackendName, backend::Options)>,
    /// The native rules, with distinct names, each with a backend that exists, in the order of the file.
    pub rules: Vec<Rule>,
    /// The rules of prometheus-adapter's sections, each with a backend that exists.
    pub adapter: AdapterRules,
    /// The API groups that the file has rules for.
    pub groups: Groups,
    /// What is valid but probably a mistake.
    pub warnings: Vec<String>,
    /// The fingerprint of the text.
    pub fingerprint: Fingerprint,
}

/// Which API groups are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Groups {
    /// custom.metrics.k8s.io: there are `rules`.
    pub custom: bool,
    /// external.metrics.k8s.io: there is a list of `metrics`, which may be empty, or there are `externalRules`.
    pub external: bool,
    /// metrics.k8s.io: there are `resourceRules`.
    pub resource: bool,
}

/// A configuration without mistakes, whose files have not been opened yet.
#[derive(Debug, Clone)]
pub struct Checked {
    pub(super) config: Config,
    pub(super) source: Source,
    pub(super) files: Vec<NamedFile>,
}

impl Checked {
    /// What it will be when linked.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

/// Each has its own client and connections.
const MAX_BACKENDS: usize = 100;

/// Checks the text of a configuration file by itself. Rules of prometheus-adapter that name no backend have the one
/// that they have there without flags.
pub fn check(source: Source) -> Result<Checked, Problems> {
    check_with(source, DefaultBackend::without_flags().as_ref())
}

/// Checks the text of a configuration file beside the backend that flags define.
pub fn check_with(source: Source, default: Option<&DefaultBackend>) -> Result<Checked, Problems> {
    let text = &source.text;
    if text.len() > MAX_FILE_BYTES {
        let message = format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20);
        return Err(Problems::of_file(source, Problem::new("", Place::default(), message)));
    }
    let node = match yaml::parse(text) {
        Ok(node) => node,
        Err(error) => {
            let problem = Problem::new("", error.place.unwrap_or_default(), error.message).help(error.help);
            return Err(Problems::of_file(source, problem));
        }
    };
    if matches!(node.value, Value::Null) {
        // Truncated, and not written again yet.
        let problem = Problem::new("", Place::default(), "the file is empty").help(NO_METRICS_HELP);
        return Err(Problems::of_file(source, problem));
    }
    let (mut problems, mut files, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    let Some(root) = Section::open(&Field::root(&node), ROOT_KEYS, &mut problems) else {
        return Err(Problems::new(source, problems, files));
    };
    let (mut names, mut backends) = check_backends(&root, text, &mut files, &mut problems);
    if let Some(default) = default {
        default.add(&root, names.as_mut(), &mut backends, &mut problems);
    }
    let mut names = BackendNames::new(names, &backends);
    let rules = check_metrics(&root, &mut names, text, &mut problems);
    let adapter = check_adapter(&root, &mut names, text, &mut warnings, &mut problems);
    if !problems.is_empty() {
        return Err(Problems::new(source, problems, files));
    }
    let groups = Groups {
        custom: !adapter.custom.is_empty(),
        external: root.get("metrics").is_some() || !adapter.external.is_empty(),
        resource: adapter.resource.is_some(),
    };
    let mut config = Config { backends, rules, adapter, groups, warnings, fingerprint: source.fingerprint() };
    let of_adapter = std::mem::take(&mut config.warnings);
    config.warnings = general_warnings(&config);
    config.warnings.extend(of_adapter);
    Ok(Checked { config, source, files })
}

/// The names of all backends, invalid ones included, so that a rule that names one is not reported as well; none if
/// they are unknown. And the valid backends.
fn check_backends<'a>(
    root: &Section<'a>,
    source: &'a str,
    files: &mut Vec<NamedFile>,
    problems: &mut Vec<Problem>,
) -> (Option<Vec<&'a str>>, Vec<(BackendName, backend::Options)>) {
    let Some(field) = root.get("backends") else { return (Some(Vec::new()), Vec::new()) };
    let Some(section) = Section::open_free(&field, problems) else { return (None, Vec::new()) };
    let names: Vec<_> = section.fields().map(|(name, _)| name).collect();
    if names.len() > MAX_BACKENDS {
        problems.push(field.problem(format!("more than {MAX_BACKENDS} backends")));
    }
    let check = |(name, field)| check_backend(name, &field, source, files, problems);
    let backends = section.fields().filter_map(check).collect();
    (Some(names), backends)
}

/// Metrics named in one warning; a thousand would hide the other warnings.
const NAMES_SHOWN: usize = 3;

/// The effect of a hold on a `Value` target, which only the HPA knows: one warning for all metrics with a hold.
fn holds(rules: &[Rule]) -> Option<String> {
    let names: Vec<&str> =
        rules.iter().filter(|rule| rule.policies.hold()).map(|rule| rule.name.as_str()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "`hold` serves old values for {}: an HPA with a target of type Value applies the same old ratio \
             at every sync and scales to its maximum or minimum; use targets of type AverageValue, or `error`, which \
             keeps the number of replicas",
            named(&names)
        )
    })
}

/// The first of these metrics, and how many there are besides.
fn named(names: &[&str]) -> String {
    let shown = names.iter().take(NAMES_SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Functions that only some backends have, with the metrics whose queries call them.
fn functions(rules: &[Rule]) -> impl Iterator<Item = String> {
    let mut notes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for rule in rules {
        for note in rule.native_query().into_iter().flat_map(NativeQuery::notes) {
            notes.entry(note).or_default().push(rule.name.as_str());
        }
    }
    notes.into_iter().map(|(note, names)| format!("{}: {note}", named(&names)))
}

/// Values of a backend in which `$namespace` is probably misspelt. The name behind the `$` is not shown: it may be a
/// part of a password.
fn misspelt(name: &BackendName, options: &backend::Options) -> impl Iterator<Item = String> {
    let in_key = |key, values: &[(String, NamespacedText)]| {
        let other = values.iter().filter(|(_, text)| text.has_other_name());
        other.map(|(value, _)| format!("{key} `{value}`")).collect::<BTreeSet<_>>()
    };
    let found = [in_key("header", &options.headers), in_key("query parameter", &options.parameters)];
    let name = name.0.clone();
    found.into_iter().flatten().map(move |value| {
        format!("backend `{name}`: {value} has a `$` that is sent as it is: only `$namespace` is replaced")
    })
}

fn general_warnings(config: &Config) -> Vec<String> {
    let Config { backends, rules, adapter, .. } = config;
    let mut warnings = Vec::new();
    if rules.is_empty() && adapter.is_empty() {
        warnings.push("no metrics are configured: every read is answered with 404".to_owned());
    }
    warnings.extend(holds(rules));
    warnings.extend(functions(rules));
    for (name, options) in backends {
        if options.exposes_credentials() {
            warnings.push(format!("backend `{}` sends credentials over unencrypted http: use https", name.0));
        }
        if options.skips_verification() {
            let name = &name.0;
            warnings.push(format!(
                "backend `{name}` does not verify the server certificate: name its CA instead"
            ));
        }
        warnings.extend(misspelt(name, options));
        let is_used =
            rules.iter().any(|rule| rule.backend == *name) || adapter.backends().any(|used| used == name);
        if !is_used {
            warnings.push(format!("backend `{}` is not used by any metric", name.0));
        }
    }
    warnings
}
