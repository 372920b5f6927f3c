//! Parses a [`Selector`] by the grammar of apimachinery's `labels.Parse`.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::{Operator, Requirement, Selector};
use crate::metric::name::is_dns_label;

/// Longest selector, in bytes: proxies limit URLs to about this length.
const MAX_TEXT: usize = 8 * 1024;
/// Most requirements: each becomes a matcher in every selector of a query.
const MAX_REQUIREMENTS: usize = 64;
/// Longest name part of a key, and longest value, in bytes (Kubernetes' qualified names and label values).
const MAX_NAME: usize = 63;
/// Longest prefix of a key, in bytes (a DNS-1123 subdomain).
const MAX_PREFIX: usize = 253;

/// Why a text is not a valid label selector. Positions are byte offsets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseSelectorError {
    /// More than `MAX_TEXT` bytes.
    #[error("the label selector has {0} bytes; at most {MAX_TEXT} are allowed")]
    TooLong(usize),
    /// More than `MAX_REQUIREMENTS`.
    #[error("the label selector has more than {MAX_REQUIREMENTS} requirements")]
    TooMany,
    /// A token that the grammar does not allow here.
    #[error("unable to parse the label selector at position {position}: found {found}, expected {expected}")]
    Unexpected {
        /// Its position.
        position: usize,
        /// The token, quoted.
        found: String,
        /// What the grammar allows.
        expected: &'static str,
    },
    /// Not a qualified name.
    #[error(
        "unable to parse the label selector at position {position}: {key:?} is not a valid label key (1 to {MAX_NAME} \
         letters, digits, '-', '_' or '.', after an optional DNS prefix and '/'; must start and end with a letter or \
         digit)"
    )]
    Key {
        /// Its position.
        position: usize,
        /// The text.
        key: String,
    },
    /// Not a label value.
    #[error(
        "unable to parse the label selector at position {position}: {value:?} is not a valid label value (up to \
         {MAX_NAME} letters, digits, '-', '_' or '.'; must start and end with a letter or digit)"
    )]
    Value {
        /// Its position.
        position: usize,
        /// The text.
        value: String,
    },
    /// `>` and `<` compare integers.
    #[error(
        "unable to parse the label selector at position {position}: {value:?} is not an integer; '>' and '<' compare \
         integers"
    )]
    NotAnInteger {
        /// Its position.
        position: usize,
        /// The text.
        value: String,
    },
}

impl FromStr for Selector {
    type Err = ParseSelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_TEXT {
            return Err(ParseSelectorError::TooLong(text.len()));
        }
        let mut parser = Parser { text, next: 0 };
        let mut requirements = Vec::new();
        if parser.peek().is_end() {
            return Ok(Self::default());
        }
        loop {
            if requirements.len() == MAX_REQUIREMENTS {
                return Err(ParseSelectorError::TooMany);
            }
            requirements.push(parser.requirement()?);
            let token = parser.take();
            match token.text {
                "" => break,
                "," => {}
                _ => return Err(token.unexpected("',' or the end of the selector")),
            }
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements })
    }
}

/// A token: an operator, a word, or empty at the end of the text.
#[derive(Clone, Copy)]
struct Token<'a> {
    position: usize,
    text: &'a str,
}

impl<'a> Token<'a> {
    fn is_end(self) -> bool {
        self.text.is_empty()
    }

    /// The word, if it is one; `in` and `notin` are words wherever an operator cannot stand.
    fn word(self) -> Option<&'a str> {
        let word = !self.is_end() && !self.text.starts_with(is_special);
        word.then_some(self.text)
    }

    fn unexpected(self, expected: &'static str) -> ParseSelectorError {
        let found = if self.is_end() { "the end".to_owned() } else { format!("{:?}", self.text) };
        ParseSelectorError::Unexpected { position: self.position, found, expected }
    }
}

fn is_special(character: char) -> bool {
    matches!(character, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

struct Parser<'a> {
    text: &'a str,
    next: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        let rest = self.text.get(self.next..).unwrap_or_default();
        let trimmed = rest.trim_start_matches(is_space);
        let length = if trimmed.starts_with("==") || trimmed.starts_with("!=") {
            2
        } else if trimmed.starts_with(is_special) {
            1
        } else {
            trimmed.find(|c| is_special(c) || is_space(c)).unwrap_or(trimmed.len())
        };
        let text = trimmed.get(..length).unwrap_or_default();
        Token { position: self.text.len() - trimmed.len(), text }
    }

    fn take(&mut self) -> Token<'a> {
        let token = self.peek();
        self.next = token.position + token.text.len();
        token
    }

    fn requirement(&mut self) -> Result<Requirement, ParseSelectorError> {
        let mut token = self.take();
        let negated = token.text == "!";
        if negated {
            token = self.take();
        }
        let expected = if negated { "a label key" } else { "a label key or '!'" };
        let key = token.word().ok_or_else(|| token.unexpected(expected))?.to_owned();
        if !is_key(&key) {
            return Err(ParseSelectorError::Key { position: token.position, key });
        }
        let operator = match self.peek().text {
            _ if negated => Operator::DoesNotExist,
            "" | "," => Operator::Exists,
            _ => self.operator()?,
        };
        Ok(Requirement { key, operator })
    }

    fn operator(&mut self) -> Result<Operator, ParseSelectorError> {
        let token = self.take();
        Ok(match token.text {
            "=" | "==" => Operator::Equals(self.value()?.to_owned()),
            "!=" => Operator::NotEquals(self.value()?.to_owned()),
            "in" => Operator::In(self.values()?),
            "notin" => Operator::NotIn(self.values()?),
            ">" => Operator::GreaterThan(self.integer()?),
            "<" => Operator::LessThan(self.integer()?),
            _ => return Err(token.unexpected("one of =, ==, !=, in, notin, >, <, or ',' or the end")),
        })
    }

    /// One value; nothing before a comma or the end is the empty value.
    fn value(&mut self) -> Result<&'a str, ParseSelectorError> {
        let token = self.peek();
        if matches!(token.text, "" | ",") {
            return Ok("");
        }
        token.word().ok_or_else(|| token.unexpected("a label value"))?;
        checked(self.take())
    }

    fn integer(&mut self) -> Result<i64, ParseSelectorError> {
        let position = self.peek().position;
        let value = self.value()?;
        value.parse().map_err(|_| ParseSelectorError::NotAnInteger { position, value: value.to_owned() })
    }

    /// The values between brackets; nothing between two commas is the empty value.
    fn values(&mut self) -> Result<BTreeSet<String>, ParseSelectorError> {
        let open = self.take();
        if open.text != "(" {
            return Err(open.unexpected("'('"));
        }
        let mut values = BTreeSet::new();
        loop {
            let mut value = "";
            if self.peek().word().is_some() {
                value = checked(self.take())?;
            }
            values.insert(value.to_owned());
            let token = self.take();
            match token.text {
                "," => {}
                ")" => return Ok(values),
                _ => return Err(token.unexpected("',' or ')'")),
            }
        }
    }
}

fn checked(token: Token<'_>) -> Result<&str, ParseSelectorError> {
    if is_name(token.text) {
        Ok(token.text)
    } else {
        Err(ParseSelectorError::Value { position: token.position, value: token.text.to_owned() })
    }
}

/// Kubernetes' `IsQualifiedName`.
fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_name(name),
        None => is_name(key),
    }
}

/// Letters, digits, `-`, `_` and `.`, with a letter or digit at both ends.
fn is_name(name: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    name.len() <= MAX_NAME
        && name.starts_with(edge)
        && name.ends_with(edge)
        && name.chars().all(|c| edge(c) || matches!(c, '-' | '_' | '.'))
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= MAX_PREFIX && text.split('.').all(is_dns_label)
}
