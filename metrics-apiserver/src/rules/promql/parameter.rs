//! Parameters in the values of matchers: `$name` and `${name}`, filled from a request.
//!
//! A value takes the place of its parameter literally. In a regular expression it is escaped, and a parameter is
//! refused where even escaped text would mean something else, such as in the middle of an escape.

use super::error::PromqlError;
use crate::rules::matcher::{Comparison, Matcher, write_literal_regex};

/// The parameter that is filled with the namespace of the request.
pub(in crate::rules) const NAMESPACE: &str = "namespace";

/// A part of a matcher's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Text(String),
    Parameter {
        name: String,
        /// Whether it is in a regular expression.
        is_regex: bool,
    },
}

/// The parts of a matcher's value.
pub(super) fn segments(matcher: &Matcher<'_>) -> Result<Vec<Segment>, PromqlError> {
    let is_regex = matches!(matcher.operator, Comparison::Regex | Comparison::NotRegex);
    let mut reader = Reader { text: &matcher.value, next: 0, copied: 0, is_regex, parts: Vec::new() };
    if is_regex {
        reader.regex()?;
    } else {
        reader.plain();
    }
    reader.copy(reader.text.len(), reader.text.len());
    Ok(reader.parts)
}

/// The matcher with the values of its parameters: that of each by name, and whether it is in a regular expression.
pub(in crate::rules) fn fill<'a>(
    matcher: Matcher<'static>,
    value: impl Fn(&str, bool) -> Option<&'a str>,
) -> Matcher<'static> {
    let Ok(parts) = segments(&matcher) else { return matcher };
    let mut text = String::with_capacity(matcher.value.len());
    for part in parts {
        match part {
            Segment::Text(part) => text.push_str(&part),
            Segment::Parameter { name, is_regex } => {
                let value = value(&name, is_regex).unwrap_or_default();
                if is_regex { write_literal_regex(value, &mut text) } else { text.push_str(value) }
            }
        }
    }
    Matcher { value: text.into(), ..matcher }
}

/// Whether the matcher binds its selector to the namespace of a request: the label must equal it. Not by a label that
/// Prometheus sets itself: a series may have a namespace's name.
pub(in crate::rules) fn binds_namespace(matcher: &Matcher<'_>) -> bool {
    let is_whole = matcher
        .value
        .strip_prefix('$')
        .and_then(name)
        .is_some_and(|(known, rest)| known == NAMESPACE && rest.is_empty());
    is_whole && matcher.operator == Comparison::Equal && !matcher.label.starts_with("__")
}

/// Whether a text has a parameter.
pub(super) fn mentions_parameter(text: &str) -> bool {
    text.split('$').skip(1).any(|rest| name(rest).is_some())
}

/// The name behind a `$`, and the text behind the parameter.
fn name(text: &str) -> Option<(&str, &str)> {
    let starts = |name: &str| name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if let Some(rest) = text.strip_prefix('{') {
        let (name, rest) = rest.split_once('}')?;
        let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
        return (starts(name) && name.chars().all(is_key)).then_some((name, rest));
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at_checked(end).filter(|(name, _)| starts(name))
}

struct Reader<'a> {
    text: &'a str,
    next: usize,
    /// Up to here the text is in the parts.
    copied: usize,
    is_regex: bool,
    parts: Vec<Segment>,
}

/// What the text before a parameter leaves open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// A number, to which digits could be added: `\1`, `\x4`.
    Escape,
    /// A count, which digits and `}` would make complete: `{`, `{2,`.
    Count,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.next..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Goes on behind the first of these characters.
    fn skip_behind(&mut self, ends: &[char]) {
        let rest = self.rest();
        self.next += rest.find(ends).map_or(rest.len(), |end| end + 1);
    }

    /// Adds the text up to `end` to the parts, and goes on at `next`.
    fn copy(&mut self, end: usize, next: usize) {
        let text = self.text.get(self.copied..end).unwrap_or_default();
        if !text.is_empty() {
            self.parts.push(Segment::Text(text.to_owned()));
        }
        (self.copied, self.next) = (next, next);
    }

    /// Takes the parameter behind the `$` that was read, if there is one.
    fn parameter(&mut self) -> bool {
        let dollar = self.next - 1;
        let Some((name, rest)) = name(self.rest()) else { return false };
        let (name, next) = (name.to_owned(), self.text.len() - rest.len());
        self.copy(dollar, next);
        self.parts.push(Segment::Parameter { name, is_regex: self.is_regex });
        true
    }

    fn plain(&mut self) {
        while let Some(dollar) = self.rest().find('$') {
            self.next += dollar + 1;
            self.parameter();
        }
    }

    fn regex(&mut self) -> Result<(), PromqlError> {
        let mut before = Before::Nothing;
        while let Some(character) = self.peek() {
            self.next += character.len_utf8();
            before = match character {
                '$' => {
                    if name(self.rest()).is_some() && before != Before::Nothing {
                        return Err(self.refused("behind an open escape or count; close or escape it"));
                    }
                    if self.parameter() {
                        self.group_if_repeated();
                    }
                    Before::Nothing
                }
                '\\' => self.escape()?,
                '[' => {
                    self.class();
                    Before::Nothing
                }
                '(' if self.rest().starts_with('?') => {
                    let is_named = self.rest().starts_with("?P<") || self.rest().starts_with("?<");
                    self.skip_behind(if is_named { &['>'] } else { &[':', ')'] });
                    Before::Nothing
                }
                '{' => {
                    self.next += repeat(self.rest());
                    if self.text.get(..self.next).is_some_and(|text| text.ends_with('{')) {
                        Before::Count
                    } else {
                        Before::Nothing
                    }
                }
                '0'..='9' | ',' if before == Before::Count => Before::Count,
                _ => Before::Nothing,
            };
        }
        Ok(())
    }

    /// A repetition behind a parameter is one of the whole value.
    fn group_if_repeated(&mut self) {
        let is_repeated = match self.peek() {
            Some('*' | '+' | '?') => true,
            Some('{') => repeat(self.rest().get(1..).unwrap_or_default()) > 0,
            _ => false,
        };
        if let Some(parameter) = self.parts.pop_if(|_| is_repeated) {
            self.parts.extend([Segment::Text("(?:".to_owned()), parameter, Segment::Text(")".to_owned())]);
        }
    }

    /// Reads an escape behind its backslash.
    fn escape(&mut self) -> Result<Before, PromqlError> {
        let Some(character) = self.peek() else { return Ok(Before::Nothing) };
        self.next += character.len_utf8();
        let digits = |radix, most: usize, rest: &str| {
            rest.chars().take(most).take_while(|c| c.is_digit(radix)).count()
        };
        let is_complete = match character {
            'Q' => {
                let rest = self.rest();
                let end = rest.find("\\E").map_or(rest.len(), |end| end + 2);
                if mentions_parameter(rest.get(..end).unwrap_or_default()) {
                    return Err(self.refused("between \\Q and \\E; escape the text by itself"));
                }
                self.next += end;
                true
            }
            'x' | 'p' | 'P' if self.rest().starts_with('{') => {
                self.skip_behind(&['}']);
                true
            }
            'x' => {
                let found = digits(16, 2, self.rest());
                self.next += found;
                found == 2
            }
            'p' | 'P' => {
                self.next += self.peek().map_or(0, char::len_utf8);
                true
            }
            '0'..='7' => {
                let found = digits(8, 2, self.rest());
                self.next += found;
                found == 2
            }
            _ => true,
        };
        Ok(if is_complete { Before::Nothing } else { Before::Escape })
    }

    /// Reads a character class behind its bracket. A `$` is itself in it.
    fn class(&mut self) {
        self.next += usize::from(self.peek() == Some('^'));
        self.next += usize::from(self.peek() == Some(']'));
        while let Some(character) = self.peek() {
            self.next += character.len_utf8();
            match character {
                ']' => return,
                '\\' => self.next += self.peek().map_or(0, char::len_utf8),
                '[' if self.rest().starts_with(':') => {
                    self.next += self.rest().find(":]").map_or(0, |end| end + 2);
                }
                _ => {}
            }
        }
    }

    fn refused(&self, place: &str) -> PromqlError {
        let text = self.text;
        PromqlError::somewhere(format!("a parameter cannot stand {place}; found {text:?}"))
    }
}

/// The length of the count of a repetition behind its bracket, `2}` or `2,5}`; zero if it is none.
fn repeat(text: &str) -> usize {
    let Some((count, _)) = text.split_once('}') else { return 0 };
    let (least, most) = count.split_once(',').unwrap_or((count, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if least.is_empty() || !is_number(least) || !is_number(most) { 0 } else { count.len() + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(operator: Comparison, value: &'static str, with: &str) -> Option<String> {
        let matcher = Matcher { label: "x".into(), operator, value: value.into() };
        segments(&matcher).ok()?;
        let known = ["app", "a_1", "n", "app.kubernetes.io/name"];
        Some(fill(matcher, |name, _| known.contains(&name).then_some(with)).value.into_owned())
    }

    #[test]
    fn a_parameter_can_be_any_part_of_a_value() {
        for (value, expected) in [
            ("$app", "v.w"),
            ("${app}", "v.w"),
            ("meta-llama/$app", "meta-llama/v.w"),
            ("$app-$a_1.$app", "v.w-v.w.v.w"),
            ("${app}s", "v.ws"),
            ("${app.kubernetes.io/name}", "v.w"),
            ("5$", "5$"),
            ("$5", "$5"),
            ("$$app", "$v.w"),
            ("${}", "${}"),
            ("${app", "${app"),
            ("[$app]{$n}\\$app", "[v.w]{v.w}\\v.w"),
        ] {
            assert_eq!(filled(Comparison::Equal, value, "v.w").as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn a_value_is_literal_in_a_regular_expression_and_repeated_as_a_whole() {
        for (value, expected) in [
            ("$app@.*", "v\\.w@.*"),
            (".*/$app", ".*/v\\.w"),
            ("^(a|$app)$", "^(a|v\\.w)$"),
            ("$app*", "(?:v\\.w)*"),
            ("a$app{2,}b", "a(?:v\\.w){2,}b"),
            ("$app{x}", "v\\.w{x}"),
            ("\\$app", "\\$app"),
            ("\\\\$app", "\\\\v\\.w"),
            ("[$app]", "[$app]"),
            ("[]$app]$n", "[]$app]v\\.w"),
            ("[^][:alpha:]$app\\]]$n", "[^][:alpha:]$app\\]]v\\.w"),
            ("(?i)$app", "(?i)v\\.w"),
            ("(?P<app>$app)", "(?P<app>v\\.w)"),
            ("(?i:$app)", "(?i:v\\.w)"),
            ("a{2}$app", "a{2}v\\.w"),
            ("\\x41$app\\pL$app\\101$app", "\\x41v\\.w\\pLv\\.w\\101v\\.w"),
            ("\\x{4}$app", "\\x{4}v\\.w"),
            ("{x$app}", "{xv\\.w}"),
            ("b$|c", "b$|c"),
        ] {
            assert_eq!(filled(Comparison::Regex, value, "v.w").as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn a_parameter_is_refused_where_a_value_would_mean_something_else() {
        for value in ["a{$n}", "a{2,$n}", "\\x4$n", "\\1$n", "\\07$n", "\\Q$app\\E", "\\Qa\\b$app"] {
            assert_eq!(filled(Comparison::Regex, value, "3"), None, "{value}");
            assert_eq!(filled(Comparison::NotRegex, value, "3"), None, "{value}");
        }
    }

    #[test]
    fn only_the_whole_value_of_an_equality_binds_a_selector() {
        let binds = |label: &'static str, operator, value: &'static str| {
            binds_namespace(&Matcher { label: label.into(), operator, value: value.into() })
        };
        assert!(binds("exported_namespace", Comparison::Equal, "$namespace"));
        assert!(binds("k8s.namespace.name", Comparison::Equal, "${namespace}"));
        assert!(!binds("a", Comparison::NotEqual, "$namespace"));
        assert!(!binds("a", Comparison::Regex, "$namespace"));
        assert!(!binds("a", Comparison::Equal, "$namespace-x"));
        assert!(!binds("a", Comparison::Equal, "$namespace_x"));
        assert!(!binds("__name__", Comparison::Equal, "$namespace"));
    }
}
