//! Typed access to the YAML tree. Problems are collected, so that the check continues after them.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use super::keys::Key;
use super::problem::{ENOUGH, Place, Problem, nearest};
use super::yaml::{Entry, Node, Value};
use crate::syntax::parse_duration;

/// A mapping of the file.
#[derive(Debug)]
pub(super) struct Section<'a> {
    path: String,
    place: Place,
    entries: &'a [Entry],
}

/// A value of the file with its path.
#[derive(Debug, Clone)]
pub(super) struct Field<'a> {
    /// Its path, such as `metrics[0].query`.
    pub(super) path: String,
    /// The place of its key; for the item of a list that of the item.
    pub(super) key_place: Place,
    /// The value.
    pub(super) node: &'a Node,
}

impl<'a> Section<'a> {
    /// Opens a mapping; unknown and duplicate keys are reported.
    pub(super) fn open(field: &Field<'a>, known: &[Key], problems: &mut Vec<Problem>) -> Option<Self> {
        let section = Self::open_free(field, problems)?;
        let is_known = |entry: &&Entry| known.iter().any(|key| key.name == entry.key);
        let unknown = section.entries.iter().filter(|entry| !is_known(entry));
        for entry in unknown.take(ENOUGH) {
            problems.push(unknown_key(&section.path_of(&entry.key), entry, known));
        }
        Some(section)
    }

    /// Opens a mapping whose keys are names; duplicate keys are reported.
    pub(super) fn open_free(field: &Field<'a>, problems: &mut Vec<Problem>) -> Option<Self> {
        let entries: &[Entry] = match &field.node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            other => {
                let help =
                    matches!(other, Value::List(_)).then(|| "use `key: value`, without `- `".to_owned());
                problems.push(Problem { help, ..field.expected("a mapping", other) });
                return None;
            }
        };
        let section = Self { path: field.path.clone(), place: field.key_place, entries };
        section.report_duplicate_keys(problems);
        Some(section)
    }

    fn report_duplicate_keys(&self, problems: &mut Vec<Problem>) {
        let mut first = std::collections::HashMap::new();
        for entry in self.entries {
            let seen = *first.entry(entry.key.as_str()).or_insert(entry.place);
            if seen != entry.place {
                let problem = self.field(entry).key_problem(format!("duplicate key `{}`", entry.key));
                problems.push(problem.related(seen, "first given here").help("keep one of them"));
            }
        }
    }

    /// The value of a key; a key without a value counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<Field<'a>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        (!matches!(entry.node.value, Value::Null)).then(|| self.field(entry))
    }

    /// The value of a required key.
    pub(super) fn required(&self, key: &str, problems: &mut Vec<Problem>) -> Option<Field<'a>> {
        let found = self.get(key);
        if found.is_none() {
            problems.push(self.problem(format!("`{key}` is missing")).help(format!("add `{key}: …`")));
        }
        found
    }

    /// Every key with its value, in the order of the file.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'a str, Field<'a>)> {
        self.entries.iter().map(|entry| (entry.key.as_str(), self.field(entry)))
    }

    /// Its path, and the place of its key.
    pub(super) fn position(&self) -> (&str, Place) {
        (&self.path, self.place)
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

    /// A problem with its key.
    pub(super) fn key_problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(self.path.clone(), self.key_place, message)
    }

    /// The problem that this key and another one are both given.
    pub(super) fn excludes(&self, other: &Self, message: &str) -> Problem {
        self.key_problem(message).related(other.key_place, "the other is here").help("keep one of them")
    }

    fn expected(&self, what: &str, found: &Value) -> Problem {
        self.problem(format!("expected {what}, found {}", found.kind()))
    }

    /// The value as a string.
    pub(super) fn text(&self, problems: &mut Vec<Problem>) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            other => {
                let help = match other {
                    Value::Bool(_) | Value::Number(_) => Some("put it in quotes"),
                    // PromQL may begin like a flow mapping of YAML.
                    Value::Map(_) | Value::List(_) => {
                        Some("a string that begins with `{` or `[` needs quotes")
                    }
                    Value::Null | Value::Text(_) => None,
                };
                problems.push(Problem { help: help.map(str::to_owned), ..self.expected("a string", other) });
                None
            }
        }
    }

    /// The value as Go's yaml.v2 decodes it into a string: numbers and booleans are strings as well, as they are
    /// written in `source`, the text of the file.
    pub(super) fn scalar(&self, source: &'a str, problems: &mut Vec<Problem>) -> Option<Cow<'a, str>> {
        match &self.node.value {
            Value::Number(_) | Value::Bool(_) => {
                source.get(self.node.written.clone()).map(|written| written.trim_end().into())
            }
            _ => self.text(problems).map(Cow::Borrowed),
        }
    }

    /// The value as Go's yaml.v2 decodes it into a boolean: YAML 1.1 has further words for `true` and `false`.
    pub(super) fn yaml_1_1_boolean(&self, source: &str, problems: &mut Vec<Problem>) -> Option<bool> {
        let is_plain = |text: &str| source.get(self.node.written.clone()).map(str::trim_end) == Some(text);
        let word = match &self.node.value {
            Value::Text(text) if is_plain(text) => text.as_str(),
            _ => "",
        };
        match word {
            "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
            "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
            _ => self.boolean(problems),
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

    /// The value as a string that `parse` accepts.
    pub(super) fn parsed<T, E: Display>(
        &self,
        problems: &mut Vec<Problem>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(problems)?;
        self.reported(parse(text), problems)
    }

    /// The value as a duration: a string, or a number, which lacks its unit unless it is zero.
    pub(super) fn duration(&self, problems: &mut Vec<Problem>) -> Option<Duration> {
        match &self.node.value {
            Value::Number(number) => self.reported(parse_duration(&number.to_string()), problems),
            _ => self.parsed(problems, parse_duration),
        }
    }

    fn reported<T, E: Display>(&self, outcome: Result<T, E>, problems: &mut Vec<Problem>) -> Option<T> {
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

fn unknown_key(path: &str, entry: &Entry, known: &[Key]) -> Problem {
    let key = entry.key.as_str();
    let help = match key {
        "password" => "use `passwordFile`: secrets are read from files".to_owned(),
        "bearerToken" | "token" => "use `bearerTokenFile`: secrets are read from files".to_owned(),
        _ => suggestion(key, known),
    };
    Problem::new(path, entry.place, format!("unknown key `{key}`")).help(help).of_unknown_key()
}

/// The key that was probably meant, or all of them.
fn suggestion(key: &str, known: &[Key]) -> String {
    let names = || known.iter().map(|known| known.name);
    match nearest(key, names()).and_then(|near| known.iter().find(|known| known.name == near)) {
        Some(Key { name, meaning }) => format!("did you mean `{name}`? ({meaning})"),
        None => format!("valid keys are {}", names().collect::<Vec<_>>().join(", ")),
    }
}
