//! The keys that native and adapter rules have in common: `backend` and `maxAge`.

use std::time::Duration;

use super::problem::{Problem, nearest};
use super::section::{Field, Section};
use crate::backend::Options;
use crate::rules::BackendName;

/// The backend of rules that name none.
pub(super) const DEFAULT_BACKEND: &str = "default";

/// A reading older than an hour says nothing about what to scale now.
const MAX_AGE_LIMIT: Duration = Duration::from_secs(3600);

/// The backends that a rule may name.
#[derive(Debug)]
pub(super) struct BackendNames<'a> {
    /// Invalid ones included, so that a rule that names one is not reported as well; none if they are unknown.
    pub(super) names: Option<Vec<&'a str>>,
    /// Those that are told the namespace of each request.
    namespaced: Vec<BackendName>,
    /// A missing default backend is reported once, however many rules need it.
    is_default_reported: bool,
}

impl<'a> BackendNames<'a> {
    pub(super) fn new(names: Option<Vec<&'a str>>, backends: &[(BackendName, Options)]) -> Self {
        let namespaced = backends.iter().filter(|(_, options)| options.needs_namespace());
        let namespaced = namespaced.map(|(name, _)| name.clone()).collect();
        Self { names, namespaced, is_default_reported: false }
    }

    /// Whether a backend is told the namespace of each request.
    pub(super) fn is_told_namespace(&self, backend: &BackendName) -> bool {
        self.namespaced.contains(backend)
    }

    /// The backend of rules whose queries are not of one namespace, such as a list of series; `why` says so.
    pub(super) fn of_all_namespaces(
        &mut self,
        section: &Section<'_>,
        why: &str,
        problems: &mut Vec<Problem>,
    ) -> BackendName {
        let backend = self.of(section, problems);
        if self.is_told_namespace(&backend) {
            let message =
                format!("backend `{}` answers for one namespace (`$namespace`), but {why}", backend.0);
            let problem = section
                .get("backend")
                .map_or_else(|| section.problem(message.clone()), |field| field.problem(message.clone()));
            problems.push(problem.help("use a backend without `$namespace`, or `metrics` instead"));
        }
        backend
    }

    /// The backend of a rule.
    pub(super) fn of(&mut self, section: &Section<'_>, problems: &mut Vec<Problem>) -> BackendName {
        let field = section.get("backend");
        let name = field.as_ref().and_then(|field| field.text(problems)).unwrap_or(DEFAULT_BACKEND);
        let Some(backends) = &self.names else { return BackendName(name.into()) };
        let is_reported = field.is_none() && self.is_default_reported;
        if !backends.contains(&name) && !is_reported {
            let problem = match &field {
                Some(field) => field.problem(format!("there is no backend `{name}`")),
                None => section.problem("`backend` is missing, and there is no backend `default`"),
            };
            self.is_default_reported |= field.is_none();
            problems.push(problem.help(match nearest(name, backends.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if backends.is_empty() => format!("add `backends: {{{name}: {{url: …}}}}`"),
                None => format!("configured backends: {}", backends.join(", ")),
            }));
        }
        BackendName(name.into())
    }
}

/// The value of `maxAge`.
pub(super) fn max_age(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Duration> {
    let field: Field<'_> = section.get("maxAge")?;
    let age = field.duration(problems)?;
    if age > MAX_AGE_LIMIT {
        problems.push(field.problem("`maxAge` must be at most 1h"));
        return None;
    }
    Some(age)
}
