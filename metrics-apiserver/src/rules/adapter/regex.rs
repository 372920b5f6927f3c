//! Go's regular expressions: its syntax, on top of the crate `regex`, which searches the same way.
//!
//! What Go knows and the crate does not, or means differently, is translated: a brace that is no repetition, `\Q…\E`,
//! classes, octal escapes, ASCII `\d`, `\s`, `\w` and `\b`, names of groups.

mod class;
mod error;
mod expand;
mod translate;

use regex::{Regex, RegexBuilder};

pub use error::RegexError;

/// Longest expression, in bytes.
const MAX_TEXT: usize = 16 * 1024;
/// Largest compiled expression, in bytes: as much as a thousand repetitions of a small class take.
const MAX_COMPILED: usize = 4 * 1024 * 1024;

/// A compiled expression of Go's syntax. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct GoRegex {
    text: Box<str>,
    regex: Regex,
    /// The names of its groups; the group 0 is the match.
    names: Box<[Option<Box<str>>]>,
}

/// By the text, which says everything else.
impl PartialEq for GoRegex {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for GoRegex {}

impl GoRegex {
    /// Parses and compiles an expression.
    pub fn parse(text: &str) -> Result<Self, RegexError> {
        if text.len() > MAX_TEXT {
            let message =
                format!("the regular expression has {} bytes; at most {MAX_TEXT} are allowed", text.len());
            return Err(RegexError::at(MAX_TEXT, message));
        }
        let translated = translate::translate(text)?;
        let regex = RegexBuilder::new(&translated.regex).size_limit(MAX_COMPILED).build();
        let regex = regex.map_err(|error| RegexError::at(0, reason(&error)))?;
        Ok(Self { text: text.into(), regex, names: translated.names.into() })
    }

    /// The text that was parsed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it matches anywhere in the text.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The number of capture groups, without the whole match.
    pub fn groups(&self) -> usize {
        self.names.len() - 1
    }

    /// The names of the groups, and the number of each.
    pub fn names(&self) -> impl Iterator<Item = (&str, usize)> {
        self.names.iter().enumerate().filter_map(|(index, name)| Some((name.as_deref()?, index)))
    }

    /// The text of a group in the first match; none if nothing matches, empty if the group takes no part in it.
    pub fn group<'t>(&self, text: &'t str, group: usize) -> Option<&'t str> {
        let captures = self.regex.captures(text)?;
        Some(captures.get(group).map_or("", |found| found.as_str()))
    }

    /// Go's `Regexp.Expand` for the first match: the template with the texts of groups for `$1`, `${1}`, `$name`.
    /// None if nothing matches.
    pub fn expand(&self, text: &str, template: &str) -> Option<String> {
        let captures = self.regex.captures(text)?;
        let group = |group: expand::Group<'_>| match group {
            expand::Group::Number(number) => captures.get(number),
            expand::Group::Name(name) => {
                let mut same = self.names().filter(|(known, _)| *known == name);
                same.find_map(|(_, index)| captures.get(index))
            }
        };
        Some(expand::expand(template, |name| group(name).map_or("", |found| found.as_str())))
    }

    /// The groups that a template for [`Self::expand`] names and that do not exist, as they are written.
    pub fn missing_groups(&self, template: &str) -> Vec<String> {
        let mut missing = Vec::new();
        expand::expand(template, |group| {
            match group {
                expand::Group::Number(number) if number > self.groups() => missing.push(number.to_string()),
                expand::Group::Name(name) if self.names().all(|(known, _)| known != name) => {
                    missing.push(name.to_owned());
                }
                _ => {}
            }
            ""
        });
        missing
    }
}

/// The last line of what the crate says; the lines before it repeat the expression, which was translated.
fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => {
            "the regular expression is too large when compiled; use fewer or smaller repetitions".to_owned()
        }
        error => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            format!("not a regular expression: {}", last.trim_start_matches("error: "))
        }
    }
}

#[cfg(test)]
mod tests;
