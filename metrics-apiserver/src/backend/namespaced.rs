//! Values of headers and query parameters, in which `$namespace` stands for the namespace of a request.
//!
//! A [`Namespace`] is a DNS label: it has no character that means anything in a header, and in a URL the value is
//! percent-encoded as a whole. So a value is never more than one value.

use std::borrow::Cow;
use std::fmt;

use crate::metric::Namespace;

/// What stands for the namespace.
const PLACEHOLDER: &str = "$namespace";

/// A value that is sent with every call. It may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct NamespacedText {
    /// What is before, between and after the placeholders: one part if there are none.
    parts: Vec<String>,
    /// Whether it has a `$` before another name, which is sent as it is.
    has_other_name: bool,
}

/// Why a text is not a value. Does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseNamespacedError {
    /// `${namespace}`.
    #[error("`${{namespace}}` is not replaced by the namespace; write `$namespace`")]
    Braces,
    /// `$namespaces`.
    #[error("`$namespace` must not be followed by a letter, a digit or `_`")]
    Longer,
}

impl NamespacedText {
    /// A text that is sent as it is.
    pub fn literal(text: impl Into<String>) -> Self {
        Self { parts: vec![text.into()], has_other_name: false }
    }

    /// A text in which `$namespace` stands for the namespace. Any other `$` is sent as it is.
    pub fn parse(text: &str) -> Result<Self, ParseNamespacedError> {
        if text.contains("${namespace}") {
            return Err(ParseNamespacedError::Braces);
        }
        let parts: Vec<String> = text.split(PLACEHOLDER).map(str::to_owned).collect();
        let continues = |part: &String| part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if parts.iter().skip(1).any(continues) {
            return Err(ParseNamespacedError::Longer);
        }
        let has_other_name = parts.iter().any(|part| has_name(part));
        Ok(Self { parts, has_other_name })
    }

    /// Whether it has another name behind a `$`, such as a misspelt `$namespace`.
    pub fn has_other_name(&self) -> bool {
        self.has_other_name
    }

    /// Whether it has a placeholder.
    pub fn needs_namespace(&self) -> bool {
        self.parts.len() > 1
    }

    /// The value for a namespace; none if it needs one and there is none.
    pub(super) fn fill(&self, namespace: Option<&Namespace>) -> Option<Cow<'_, str>> {
        match (&self.parts[..], namespace) {
            ([whole], _) => Some(whole.into()),
            (parts, Some(namespace)) => Some(parts.join(namespace.as_str()).into()),
            (_, None) => None,
        }
    }

    /// What of it is the same for all namespaces.
    pub(super) fn parts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(String::as_str)
    }
}

/// Whether a text has `$name` or `${name}`.
fn has_name(text: &str) -> bool {
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.split('$').skip(1).any(|rest| rest.strip_prefix('{').unwrap_or(rest).starts_with(starts))
}

impl fmt::Debug for NamespacedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_takes_the_place_of_each_placeholder_and_of_nothing_else() {
        let shop = Namespace::parse("shop").unwrap();
        for (text, filled) in [
            ("$namespace", "shop"),
            ("{namespace=\"$namespace\"}", "{namespace=\"shop\"}"),
            ("$namespace-$namespace/", "shop-shop/"),
            ("a$b$$namespace", "a$b$shop"),
            ("$Namespace $name", "$Namespace $name"),
            ("", ""),
        ] {
            let text = NamespacedText::parse(text).unwrap();
            assert_eq!(text.fill(Some(&shop)).unwrap(), filled);
            assert_eq!(text.fill(None).is_none(), text.needs_namespace());
        }
        let literal = NamespacedText::literal("$namespace");
        assert_eq!(literal.fill(Some(&shop)).unwrap(), "$namespace");
        assert!(!literal.needs_namespace());
    }

    #[test]
    fn another_name_behind_a_dollar_is_known() {
        for (text, has_other_name) in [
            ("$namespace", false),
            ("$ns", true),
            ("${ns}", true),
            ("$namespace/$Namespace", true),
            ("x=~\"a$|b$\"", false),
            ("$1 $ $$", false),
        ] {
            assert_eq!(NamespacedText::parse(text).unwrap().has_other_name(), has_other_name, "{text}");
        }
        assert!(!NamespacedText::literal("$ns").has_other_name());
    }

    #[test]
    fn what_only_looks_like_the_placeholder_is_refused() {
        assert_eq!(NamespacedText::parse("a-${namespace}"), Err(ParseNamespacedError::Braces));
        for text in ["$namespaces", "$namespace_x", "$namespace1"] {
            assert_eq!(NamespacedText::parse(text), Err(ParseNamespacedError::Longer), "{text}");
        }
    }
}
