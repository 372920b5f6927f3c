//! Typed access to the written tree, noting problems instead of stopping at them.

use std::fmt::Display;
use std::time::Duration;

use super::duration::parse_duration;
use super::file::{Entry, Node, Value};
use super::problem::{ENOUGH, Place, Problem, nearest};

/// A mapping of the file whose keys are known.
#[derive(Debug)]
pub(super) struct Section<'a> {
    path: String,
    place: Place,
    entries: &'a [Entry],
}

/// A value of the file with the path that leads to it.
#[derive(Debug, Clone)]
pub(super) struct Field<'a> {
    /// Its path, such as `metrics[0].query`.
    pub(super) path: String,
    /// Where its key stands (for the item of a list: where the item stands).
    pub(super) key_place: Place,
    /// The value.
    pub(super) node: &'a Node,
}

impl<'a> Section<'a> {
    /// Opens a mapping; unknown and repeated keys are noted.
    pub(super) fn open(field: &Field<'a>, known: &[&str], problems: &mut Vec<Problem>) -> Option<Self> {
        let section = Self::open_free(field, problems)?;
        let unknown = section.entries.iter().filter(|entry| !known.contains(&entry.key.as_str()));
        for entry in unknown.take(ENOUGH) {
            problems.push(unknown_key(&section.path_of(&entry.key), entry, known));
        }
        Some(section)
    }

    /// Opens a mapping whose keys are names; repeated keys are noted.
    pub(super) fn open_free(field: &Field<'a>, problems: &mut Vec<Problem>) -> Option<Self> {
        let entries: &[Entry] = match &field.node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            other => {
                let help =
                    matches!(other, Value::List(_)).then(|| "write `key: value`, without `- `".to_owned());
                problems.push(Problem { help, ..field.expected("a mapping", other) });
                return None;
            }
        };
        // A place in a list is the item's; an item that is a mapping begins with its first key.
        let section = Self { path: field.path.clone(), place: field.key_place, entries };
        section.note_repeated_keys(problems);
        Some(section)
    }

    fn note_repeated_keys(&self, problems: &mut Vec<Problem>) {
        let mut first = std::collections::HashMap::new();
        for entry in self.entries {
            let seen = *first.entry(entry.key.as_str()).or_insert(entry.place);
            if seen != entry.place {
                let problem = Problem::new(
                    self.path_of(&entry.key),
                    entry.place,
                    format!("the key `{}` is given twice", entry.key),
                );
                problems.push(problem.related(seen, "first given here").help("keep one of them"));
            }
        }
    }

    /// The value of a key; a key without a value counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<Field<'a>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        (!matches!(entry.node.value, Value::Null)).then(|| self.field(entry))
    }

    /// The value of a key that must be there.
    pub(super) fn required(&self, key: &str, problems: &mut Vec<Problem>) -> Option<Field<'a>> {
        let found = self.get(key);
        if found.is_none() {
            problems.push(
                Problem::new(self.path.clone(), self.place, format!("`{key}` is missing"))
                    .help(format!("add `{key}: …` here")),
            );
        }
        found
    }

    /// Every key with its value, in the file's order.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'a str, Field<'a>)> {
        self.entries.iter().map(|entry| (entry.key.as_str(), self.field(entry)))
    }

    /// A problem with the section as a whole.
    pub(super) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(self.path.clone(), self.place, message)
    }

    fn field(&self, entry: &'a Entry) -> Field<'a> {
        Field { path: self.path_of(&entry.key), key_place: entry.place, node: &entry.node }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl<'a> Field<'a> {
    /// The whole file.
    pub(super) fn root(node: &'a Node) -> Self {
        Self { path: String::new(), key_place: node.place, node }
    }

    /// A problem with this value.
    pub(super) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(self.path.clone(), self.node.place, message)
    }

    fn expected(&self, what: &str, found: &Value) -> Problem {
        self.problem(format!("expected {what}, found {}", found.kind()))
    }

    /// The value as a text.
    pub(super) fn text(&self, problems: &mut Vec<Problem>) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            other => {
                let help = match other {
                    Value::Bool(_) | Value::Number(_) => Some("put it in quotes"),
                    // PromQL may begin so, which is YAML's as well.
                    Value::Map(_) | Value::List(_) => Some("a text that begins with `{` or `[` needs quotes"),
                    Value::Null | Value::Text(_) => None,
                };
                problems.push(Problem { help: help.map(str::to_owned), ..self.expected("a text", other) });
                None
            }
        }
    }

    /// The value as `true` or `false`.
    pub(super) fn boolean(&self, problems: &mut Vec<Problem>) -> Option<bool> {
        match &self.node.value {
            Value::Bool(value) => Some(*value),
            other => {
                problems.push(self.expected("true or false", other));
                None
            }
        }
    }

    /// The value as a text that `parse` accepts.
    pub(super) fn parsed<T, E: Display>(
        &self,
        problems: &mut Vec<Problem>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(problems)?;
        self.noted(parse(text), problems)
    }

    /// The value as a duration: a text, or a number, which lacks its unit if it is not zero.
    pub(super) fn duration(&self, problems: &mut Vec<Problem>) -> Option<Duration> {
        match &self.node.value {
            Value::Number(number) => self.noted(parse_duration(&number.to_string()), problems),
            _ => self.parsed(problems, parse_duration),
        }
    }

    fn noted<T, E: Display>(&self, outcome: Result<T, E>, problems: &mut Vec<Problem>) -> Option<T> {
        outcome.map_err(|error| problems.push(self.problem(error.to_string()))).ok()
    }

    /// The items of a list.
    pub(super) fn items(&self, problems: &mut Vec<Problem>) -> Option<Vec<Self>> {
        let Value::List(items) = &self.node.value else {
            problems.push(self.expected("a list", &self.node.value).help("begin each item with `- `"));
            return None;
        };
        let item = |(index, node): (usize, &'a Node)| Field {
            path: format!("{}[{index}]", self.path),
            key_place: node.place,
            node,
        };
        Some(items.iter().enumerate().map(item).collect())
    }
}

fn unknown_key(path: &str, entry: &Entry, known: &[&str]) -> Problem {
    let key = entry.key.as_str();
    let message = match key {
        "rules" | "externalRules" | "resourceRules" => {
            format!("`{key}` is not served: this version reads only `metrics` rules")
        }
        _ => format!("unknown key `{key}`"),
    };
    let help = match key {
        "rules" => "custom.metrics.k8s.io is not served: keep prometheus-adapter for it, or write the metric under `metrics` \
                    and make it External in the HPA"
            .to_owned(),
        "resourceRules" => {
            "metrics.k8s.io is not served: keep prometheus-adapter or metrics-server for it".to_owned()
        }
        "externalRules" => "write each metric under `metrics` with a name and a query (docs/configuration.md, \
                            \"From prometheus-adapter\")"
            .to_owned(),
        "password" => "use `passwordFile`: secrets are read from files".to_owned(),
        "bearerToken" | "token" => "use `bearerTokenFile`: secrets are read from files".to_owned(),
        _ => nearest(key, known.iter().copied()).map_or_else(
            || format!("the keys here are {}", known.join(", ")),
            |near| format!("did you mean `{near}`?"),
        ),
    };
    Problem::new(path, entry.place, message).help(help).of_unknown_key()
}
